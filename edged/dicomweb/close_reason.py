"""How a notification connection is closed: a code of WebSocket, and the Standard's own in the reason (CP-1871 8.10.6).

What may live here: the codes, and writing and reading of a reason; pure. The Standard's codes are above the range that
WebSocket has, 0xC308 and 0xB301 even above what a close frame can carry as private ones. So a reason begins with the
four hexadecimal digits of such a code, and the close code beside it is one of 4000 to 4999.
"""

import re
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

MOST_BYTES: Final = 123
"""Of a reason: what a control frame has room for beside the code (RFC 6455 5.5)."""

_REASON: Final = re.compile(r"([0-9A-Fa-f]{4})(?:[ :]+(.*))?", re.DOTALL)


class CloseCode(IntEnum):
    """Why a connection is closed: IANA's WebSocket Close Code Number Registry, and from 4000 on edged's own."""

    NORMAL = 1000
    GOING_AWAY = 1001
    POLICY_VIOLATION = 1008
    MESSAGE_TOO_BIG = 1009
    INTERNAL_ERROR = 1011
    TRY_AGAIN_LATER = 1013
    REPLACED = 4001
    """Another connection of the same requester has come."""
    REFUSED = 4002
    """The reason begins with a code of Table 8.10.6-1."""


class ReasonCode(IntEnum):
    """The Standard's reasons for closing. Source: CP-1871 Table 8.10.6-1."""

    SUCCESS = 0x0000
    DELETION_LOCK_NOT_GRANTED = 0xB301
    NO_SUCH_INSTANCE = 0xC307
    RECEIVING_AE_TITLE_UNKNOWN = 0xC308
    ACTION_NOT_APPROPRIATE = 0xC314
    EVENT_REPORTS_NOT_SUPPORTED = 0xC315


@dataclass(frozen=True, slots=True)
class Reason:
    """What a close frame says beside its code; `code` is the Standard's, if one was given."""

    text: str
    code: ReasonCode | None = None


def write_reason(reason: Reason) -> str:
    """Return a reason of at most MOST_BYTES bytes of UTF-8."""
    said = reason.text if reason.code is None else f"{reason.code:04X} {reason.text}".rstrip()
    return said.encode()[:MOST_BYTES].decode(errors="ignore")


def read_reason(said: str | None) -> Reason:
    """Read whatever a peer has said."""
    found = _REASON.fullmatch(said or "")
    if found is None or int(found[1], 16) not in set(ReasonCode):
        return Reason(said or "")
    return Reason(found[2] or "", ReasonCode(int(found[1], 16)))
