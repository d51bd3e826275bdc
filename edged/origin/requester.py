"""Who asks, as far as that was found out: the name that the audit log gets, and the roles (DESIGN §6 [access]).

What may live here: the value that `access` makes and that the rest of the origin server reads from a request.
"""

from dataclasses import dataclass
from enum import StrEnum

from edged.config.choices import Role


class Proof(StrEnum):
    """What a requester is known by."""

    NONE = "none"
    TOKEN = "token"  # noqa: S105
    PASSWORD = "password"  # noqa: S105
    CERTIFICATE = "certificate"
    PEER = "peer"


@dataclass(frozen=True, slots=True)
class Requester:
    """Who asks, and what he may do; the name is that of the credential in the settings."""

    name: str
    proof: Proof = Proof.NONE
    roles: frozenset[Role] = frozenset()


NOBODY = Requester("anonymous")
