"""The frozen settings: every section, every key, its default.

Each field is annotated with the key that it comes from (`keys`), and is named with its unit: `_s` for
seconds, `_bytes` for bytes. A value that is None was not set. What is here has been read and judged
(`reading`, `checks`); nobody downstream validates again. docs/configure.md documents each key, and a
test compares the two.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

from msgspec import Struct

from edged.config import values
from edged.config.binds import binds
from edged.config.choices import (
    AuthKind,
    ClientCertificate,
    ClockMode,
    Duplicate,
    Evidence,
    Exemption,
    HTTPVersion,
    Proof,
    ReasonVerdict,
    Role,
    SignatureAlgorithm,
    Transcode,
    Verify,
)
from edged.config.keys import FileKey, FilesKey, Key, Table, Tables
from edged.config.networks import Proxies, host_names, origins, proxies
from edged.config.rates import Rates, rates
from edged.config.rules import Patterns, attribute_patterns, destination_names, patterns
from edged.config.scrypt import PasswordHash
from edged.config.units import DAY, GIB, KIB, MIB, MINUTE, read_duration

LEAST_CAPACITY_BYTES = 256 * MIB  # below this the reserve leaves no room to work: DESIGN 3


class Box(Struct, frozen=True, kw_only=True):
    """[box]: who the box is and where it lives."""

    name: Annotated[str, Key("name", values.text)] = "edged"
    data_dir: Annotated[Path, Key("data_dir", values.path)] = Path("edged-data")
    control: Annotated[Path, Key("control", values.path)] = Path("edged-data/control.sock")
    ae_title: Annotated[str, Key("ae_title", values.ae_title)] = "EDGED"
    clock: Annotated[ClockMode, Key("clock", values.choice(ClockMode))] = ClockMode.AUTO


class Origin(Struct, frozen=True, kw_only=True):
    """[origin]: the DICOMweb origin server."""

    bind: Annotated[tuple[str, ...], Key("bind", binds)] = ("http://127.0.0.1:8080",)
    base_path: Annotated[str, Key("base_path", values.base_path)] = "/"
    base_url: Annotated[str | None, Key("base_url", values.optional_url)] = None
    names: Annotated[tuple[str, ...], Key("names", host_names)] = ()
    certificate: Annotated[Path | None, FileKey("certificate")] = None
    private_key: Annotated[Path | None, FileKey("private_key")] = None
    client_ca: Annotated[Path | None, FileKey("client_ca")] = None
    client_certificate: Annotated[ClientCertificate, Key("client_certificate", values.choice(ClientCertificate))] = (
        ClientCertificate.REQUIRED
    )
    trusted_proxies: Annotated[Proxies, Key("trusted_proxies", proxies)] = Proxies()
    cors: Annotated[tuple[str, ...], Key("cors", origins)] = ()
    max_requests: Annotated[int, Key("max_requests", values.whole(1, 10_000))] = 100
    max_instance_bytes: Annotated[int, Key("max_instance", values.size(MIB))] = 8 * GIB


class Token(Struct, frozen=True, kw_only=True):
    """[[access.token]]: a bearer token, known by its digest."""

    name: Annotated[str, Key("name", values.credential_name)]
    sha256: Annotated[str, Key("sha256", values.sha256, secret=True)]
    roles: Annotated[tuple[Role, ...], Key("roles", values.choices(Role, least=1))]


class Password(Struct, frozen=True, kw_only=True):
    """[[access.password]]: a user name and a password, known by its digest."""

    name: Annotated[str, Key("name", values.credential_name)]
    scrypt: Annotated[PasswordHash, Key("scrypt", PasswordHash.parse, secret=True)]
    roles: Annotated[tuple[Role, ...], Key("roles", values.choices(Role, least=1))]


class Certificate(Struct, frozen=True, kw_only=True):
    """[[access.certificate]]: a client certificate, by its fingerprint or by a name in it; one of the two is set."""

    name: Annotated[str, Key("name", values.credential_name)]
    sha256: Annotated[str | None, Key("sha256", values.fingerprint)] = None
    subject: Annotated[str | None, Key("subject", values.text)] = None
    roles: Annotated[tuple[Role, ...], Key("roles", values.choices(Role, least=1))]


class Access(Struct, frozen=True, kw_only=True):
    """[access]: who may do what. `anonymous` None: all roles on loopback, none elsewhere."""

    anonymous: Annotated[tuple[Role, ...] | None, Key("anonymous", values.choices(Role))] = None
    plain_off_loopback: Annotated[tuple[Exemption, ...], Key("plain_off_loopback", values.choices(Exemption))] = ()
    audit: Annotated[bool, Key("audit", values.boolean)] = True
    audit_size_bytes: Annotated[int, Key("audit_size", values.size(64 * KIB))] = 16 * MIB
    audit_patient: Annotated[bool, Key("audit_patient", values.boolean)] = False
    tokens: Annotated[tuple[Token, ...], Tables("token", Token)] = ()
    passwords: Annotated[tuple[Password, ...], Tables("password", Password)] = ()
    certificates: Annotated[tuple[Certificate, ...], Tables("certificate", Certificate)] = ()


class Store(Struct, frozen=True, kw_only=True):
    """[store]: how much is kept and for how long. `capacity_bytes` None: 80 % of what is free at creation."""

    capacity_bytes: Annotated[int | None, Key("capacity", values.optional_size(LEAST_CAPACITY_BYTES))] = None
    keep_committed_s: Annotated[float, Key("keep_committed", read_duration)] = 7 * DAY
    duplicate: Annotated[Duplicate, Key("duplicate", values.choice(Duplicate))] = Duplicate.REFUSE
    remember: Annotated[int, Key("remember", values.whole(0, 100_000_000))] = 1_000_000
    reconcile: Annotated[float, Key("reconcile", values.share)] = 0.01


class Auth(Struct, frozen=True, kw_only=True):
    """[destination.auth]: how the box shows a destination who it is."""

    kind: Annotated[AuthKind, Key("kind", values.choice(AuthKind))] = AuthKind.NONE
    username: Annotated[str | None, Key("username", values.text)] = None
    password_file: Annotated[Path | None, FileKey("password_file")] = None
    token_file: Annotated[Path | None, FileKey("token_file")] = None
    token_url: Annotated[str | None, Key("token_url", values.optional_url)] = None
    client_id: Annotated[str | None, Key("client_id", values.text)] = None
    client_secret_file: Annotated[Path | None, FileKey("client_secret_file")] = None
    scope: Annotated[str | None, Key("scope", values.text)] = None
    audience: Annotated[str | None, Key("audience", values.text)] = None
    resource: Annotated[str | None, Key("resource", values.text)] = None
    key_file: Annotated[Path | None, FileKey("key_file")] = None
    key_id: Annotated[str | None, Key("key_id", values.text)] = None
    issuer: Annotated[str | None, Key("issuer", values.text)] = None
    subject: Annotated[str | None, Key("subject", values.text)] = None
    algorithm: Annotated[SignatureAlgorithm | None, Key("algorithm", values.choice(SignatureAlgorithm))] = None


class DestinationTLS(Struct, frozen=True, kw_only=True):
    """[destination.tls]: whom the box trusts, and its own certificate towards a destination."""

    ca: Annotated[Path | None, FileKey("ca")] = None
    certificate: Annotated[Path | None, FileKey("certificate")] = None
    private_key: Annotated[Path | None, FileKey("private_key")] = None
    pin: Annotated[tuple[str, ...], Key("pin", values.fingerprints)] = ()


class Proxy(Struct, frozen=True, kw_only=True):
    """[destination.proxy]: an HTTP proxy on the way to a destination. `url` None: there is none."""

    url: Annotated[str | None, Key("url", values.optional_url)] = None
    username: Annotated[str | None, Key("username", values.text)] = None
    password_file: Annotated[Path | None, FileKey("password_file")] = None


class Destination(Struct, frozen=True, kw_only=True):
    """[[destination]]: an archive. A size that is None has no limit."""

    name: Annotated[str, Key("name", values.name)]
    url: Annotated[str, Key("url", values.url)]
    http: Annotated[HTTPVersion, Key("http", values.choice(HTTPVersion))] = HTTPVersion.AUTO
    parallel: Annotated[int, Key("parallel", values.whole(1, 64))] = 4
    commitment: Annotated[tuple[Proof, ...], Key("commitment", values.choices(Proof, least=1))] = (Proof.DICOMWEB,)
    commitment_instances: Annotated[int, Key("commitment_instances", values.whole(1, 20_000))] = 500
    notifications: Annotated[str, Key("notifications", values.notifications)] = "auto"
    required: Annotated[bool, Key("required", values.boolean)] = True
    visible_within_s: Annotated[float, Key("visible_within", read_duration)] = 15 * MINUTE
    rate: Annotated[Rates, Key("rate", rates)] = ()
    batch_instances: Annotated[int, Key("batch_instances", values.whole(1, 1000))] = 64
    batch_bytes: Annotated[int, Key("batch_bytes", values.size(64 * KIB))] = 64 * MIB
    batch_seconds: Annotated[float, Key("batch_seconds", read_duration)] = 5.0
    max_instance_bytes: Annotated[int | None, Key("max_instance", values.optional_size(1))] = None
    max_request_bytes: Annotated[int | None, Key("max_request", values.optional_size(1))] = None
    headers: Annotated[tuple[tuple[str, str], ...], Key("headers", values.headers)] = ()
    header_files: Annotated[tuple[tuple[str, Path], ...], FilesKey("header_files", values.header_names)] = ()
    transcode: Annotated[Transcode, Key("transcode", values.choice(Transcode))] = Transcode.NO
    verify: Annotated[Verify, Key("verify", values.choice(Verify))] = Verify.METADATA
    reasons: Annotated[Mapping[int, ReasonVerdict], Key("reasons", values.reasons)] = MappingProxyType({})
    auth: Annotated[Auth, Table("auth", Auth)] = Auth()
    tls: Annotated[DestinationTLS, Table("tls", DestinationTLS)] = DestinationTLS()
    proxy: Annotated[Proxy, Table("proxy", Proxy)] = Proxy()


class When(Struct, frozen=True, kw_only=True):
    """[route.when]: what an instance must be for a rule to hold; what is None is not looked at."""

    modality: Annotated[Patterns | None, Key("modality", patterns)] = None
    called_ae: Annotated[Patterns | None, Key("called_ae", patterns)] = None
    source: Annotated[Patterns | None, Key("source", patterns)] = None
    sop_class: Annotated[Patterns | None, Key("sop_class", patterns)] = None
    attribute: Annotated[Mapping[str, Patterns], Key("attribute", attribute_patterns)] = MappingProxyType({})


class Route(Struct, frozen=True, kw_only=True):
    """[[route]]: where instances of some kind go, and how. `to` None: to every destination."""

    name: Annotated[str, Key("name", values.name)]
    to: Annotated[tuple[str, ...] | None, Key("to", destination_names)] = None
    urgent: Annotated[bool, Key("urgent", values.boolean)] = False
    hold: Annotated[bool, Key("hold", values.boolean)] = False
    when: Annotated[When, Table("when", When)] = When()


class Commitment(Struct, frozen=True, kw_only=True):
    """[commitment]: what the box's own answers to commitment requests rest on."""

    evidence: Annotated[Evidence, Key("evidence", values.choice(Evidence))] = Evidence.UPSTREAM
    accept_proof: Annotated[tuple[Proof, ...], Key("accept_proof", values.choices(Proof, least=1))] = (
        Proof.DICOMWEB,
        Proof.DIMSE,
        Proof.SEARCH,
    )
    grace_s: Annotated[float, Key("grace", read_duration)] = 10 * MINUTE
    keep_results_s: Annotated[float, Key("keep_results", read_duration)] = 90 * DAY
    memory: Annotated[int, Key("memory", values.whole(0, 100_000_000))] = 10_000_000


class Notifications(Struct, frozen=True, kw_only=True):
    """[notifications]: the event stream."""

    keep_s: Annotated[float, Key("keep", read_duration)] = 30 * DAY


class Intake(Struct, frozen=True, kw_only=True):
    """[intake]: the other ways in; there are none yet (`unavailable`)."""


class Settings(Struct, frozen=True, kw_only=True):
    """The whole configuration."""

    box: Annotated[Box, Table("box", Box)] = Box()
    origin: Annotated[Origin, Table("origin", Origin)] = Origin()
    access: Annotated[Access, Table("access", Access)] = Access()
    store: Annotated[Store, Table("store", Store)] = Store()
    destinations: Annotated[tuple[Destination, ...], Tables("destination", Destination)] = ()
    routes: Annotated[tuple[Route, ...], Tables("route", Route)] = ()
    commitment: Annotated[Commitment, Table("commitment", Commitment)] = Commitment()
    notifications: Annotated[Notifications, Table("notifications", Notifications)] = Notifications()
    intake: Annotated[Intake, Table("intake", Intake)] = Intake()
