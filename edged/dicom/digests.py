"""The digests of instances: SHA-256, taken of a beginning and of a body apart, and then of both results.

The body begins with the first long value (pixels, mostly). A file and its data set differ in their beginnings and
nearly always share the body, so that it is hashed once for both digests: hashing it twice was a quarter of what storing
an image costs in processor time. Processors with SHA instructions (Raspberry Pi 5, current x86) do SHA-256 about twice
as fast as BLAKE2b.
"""

import hashlib
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from hashlib import _Hash


class Digest(Protocol):
    """What bytes are hashed with."""

    def update(self, data: bytes | memoryview, /) -> None:
        """Take the next bytes."""


def new_digest() -> "_Hash":
    """Return a running digest: `update` it, then ask for its `digest`, 32 bytes."""
    return hashlib.sha256(usedforsecurity=False)


def joined(beginning: bytes, body: bytes) -> bytes:
    """Return the digest of what has these digests of its beginning and its body."""
    return hashlib.sha256(beginning + body, usedforsecurity=False).digest()


class FileDigest:
    """The running digest of a file whose body begins at `body_offset`."""

    def __init__(self, body_offset: int) -> None:
        self._left = body_offset
        self._beginning, self._body = new_digest(), new_digest()

    def update(self, data: bytes | memoryview, /) -> None:
        """Take the next bytes."""
        if self._left:
            view = memoryview(data)
            self._beginning.update(view[: self._left])
            data = view[self._left :]
            self._left -= len(view) - len(data)
        self._body.update(data)

    def digest(self) -> bytes:
        """Return the digest of all bytes so far, 32 bytes."""
        return joined(self._beginning.digest(), self._body.digest())
