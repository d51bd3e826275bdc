"""The words that a setting may be one of.

One enumeration per setting with a closed list; its values are what stands in the file, its order is
the order in the documentation. A word whose part of edged does not exist yet stands in `unavailable`
too, or there alone, so that it can never be taken for a choice.
"""

from enum import StrEnum


class ClockMode(StrEnum):
    """`box.clock`: whether the clock must be known to be set."""

    AUTO = "auto"
    TRUST = "trust"


class Role(StrEnum):
    """What a requester may do."""

    STORE = "store"
    READ = "read"
    ADMIN = "admin"
    MONITOR = "monitor"


class ClientCertificate(StrEnum):
    """`origin.client_certificate`: whether a client must show one, where `client_ca` is set."""

    REQUIRED = "required"
    OPTIONAL = "optional"


class Exemption(StrEnum):
    """`access.plain_off_loopback`: the listeners that are exempt from TLS and authentication."""

    ORIGIN = "origin"


class Duplicate(StrEnum):
    """`store.duplicate`: what happens to another data set under a known SOP Instance UID."""

    REFUSE = "refuse"
    KEEP_BOTH = "keep-both"
    REPLACE = "replace"


class HTTPVersion(StrEnum):
    """`destination.http`: the HTTP version towards a destination."""

    AUTO = "auto"
    HTTP_1_1 = "1.1"
    HTTP_2 = "2"


class Proof(StrEnum):
    """The kinds of proof that a destination has an instance, strongest first."""

    DICOMWEB = "dicomweb"
    DIMSE = "dimse"
    SEARCH = "search"
    STORED = "stored"


class AuthKind(StrEnum):
    """`destination.auth.kind`: how the box shows a destination who it is."""

    NONE = "none"
    BASIC = "basic"
    BEARER = "bearer"
    OAUTH2 = "oauth2"
    JWT = "jwt"
    MTLS = "mtls"


class SignatureAlgorithm(StrEnum):
    """`destination.auth.algorithm`: how the box signs who it is (RFC 7518 3.1)."""

    RS256 = "RS256"
    ES256 = "ES256"


class Transcode(StrEnum):
    """`destination.transcode`: whether compressed pixel data may leave in another transfer syntax."""

    NO = "no"
    EXPLICIT = "explicit"


class Verify(StrEnum):
    """`destination.verify`: what is compared when a destination says that it has an instance already."""

    METADATA = "metadata"
    RETRIEVE = "retrieve"


class ReasonVerdict(StrEnum):
    """`destination.reasons`: the verdicts that may be given to a failure reason; "sent" is never one."""

    LATER = "later"
    DOUBTFUL = "doubtful"
    VERIFY = "verify"
    VERIFY_LATER = "verify-later"
    PARK = "park"


class Evidence(StrEnum):
    """`commitment.evidence`: whose word the box's own answers to commitment requests rest on."""

    UPSTREAM = "upstream"
    LOCAL = "local"
