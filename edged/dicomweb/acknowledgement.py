"""What a user agent answers to an event report: one message of a notification connection (CP-1871 8.10.5.3).

What may live here: reading and writing of that message; pure. Its first line says whether the report was taken, what
follows the line is a Status Report. The proposal's syntax begins with an opcode, which a frame has anyway: it is read
and left out. So "1" alone is an acknowledgement, "1 0" one with an opcode that says no.
"""

import re
from dataclasses import dataclass
from typing import Final

MOST_BYTES: Final = 65_536
"""Of a whole message: a Status Report is a few lines."""

_FIRST_LINE: Final = re.compile(rb"([ -~]{1,256}?)[ \t]*(?:\r?\n|\Z)")
_SAID: Final = {"1": True, "success": True, "0": False, "failure": False}


class AcknowledgementError(ValueError):
    """A message that is no acknowledgement."""


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Whether a report was taken; the Status Report beside it and its media type are mostly empty."""

    taken: bool
    media_type: str = ""
    status_report: bytes = b""


def read_acknowledgement(message: bytes) -> Acknowledgement:
    """Read a message, text or binary. Raises AcknowledgementError. Source: CP-1871 8.10.5.3.1, DICOM.md §7."""
    line = _FIRST_LINE.match(message) if len(message) <= MOST_BYTES else None
    if line is None:
        raise AcknowledgementError("not an acknowledgement")
    words = line[1].decode("ascii").split()
    if len(words) > 1 and words[1].lower() in _SAID:
        words.pop(0)  # the opcode
    said = _SAID.get(words[0].lower()) if words else None
    if said is None or len(words) > 2 or (len(words) == 2 and "/" not in words[1]):
        raise AcknowledgementError("not an acknowledgement")
    return Acknowledgement(said, words[1] if len(words) == 2 else "", message[line.end() :])


def write_acknowledgement(acknowledgement: Acknowledgement) -> bytes:
    """Return the message, for a binary frame. Source: CP-1871 8.10.5.3.1."""
    said = "success" if acknowledgement.taken else "failure"
    media_type = acknowledgement.media_type or "application/dicom+json"
    return f"{said} {media_type}\r\n".encode() + acknowledgement.status_report
