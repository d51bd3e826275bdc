"""Writes multipart/related bodies whose exact length is known before the first byte is sent.

A body is, for each part, its head, its data and CRLF, and at the end the closing delimiter. No
piece depends on where it stands, so that a sender streams the data between pieces made here and a
Range answer can be cut from the same sequence. Header values are checked, since a line end in one
would forge a header or a part.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from edged.http.fields import TOKEN, has_control_characters
from edged.http.media_type import MediaType
from edged.http.multipart import MultipartError, is_boundary

PART_TAIL: Final = b"\r\n"


@dataclass(frozen=True, slots=True)
class MultipartWriter:
    """The fixed pieces of a body with one boundary. Raises MultipartError for an illegal boundary."""

    boundary: str

    def __post_init__(self) -> None:
        if not is_boundary(self.boundary):
            raise MultipartError("the boundary is not 1 to 70 of the characters that RFC 2046 allows")

    def media_type(self, part_type: str) -> MediaType:
        """Return the body's media type, `part_type` being the type of its parts. Source: PS3.18 8.7.3.5.1."""
        return MediaType("multipart", "related", {"type": part_type, "boundary": self.boundary})

    def head(self, headers: Sequence[tuple[str, str]]) -> bytes:
        """Return delimiter and head of a part. Raises MultipartError. Source: PS3.18 8.6.1.2.1."""
        for name, value in headers:
            if not TOKEN.fullmatch(name) or has_control_characters(value):
                raise MultipartError(f"not a header field: {name[:80]!r}")
        lines = [f"--{self.boundary}", *(f"{name}: {value}" for name, value in headers), "", ""]
        return "\r\n".join(lines).encode("utf-8")

    @property
    def closing(self) -> bytes:
        """The closing delimiter. Source: PS3.18 8.6.1.2.1."""
        return f"--{self.boundary}--".encode("ascii")

    def content_length(self, parts: Iterable[tuple[int, int]]) -> int:
        """Return the bytes of a body whose parts have these lengths, in bytes, of head and data."""
        return sum(head + data + len(PART_TAIL) for head, data in parts) + len(self.closing)
