"""The digests of instances: SHA-256, taken of a beginning and of a body apart, and then of both results.

The body begins with the first long value (pixels, mostly). A file and its data set differ in their beginnings and
nearly always share the body, so that it is hashed once for both digests: hashing it twice was a quarter of what storing
an image costs in processor time. Processors with SHA instructions (Raspberry Pi 5, current x86) do SHA-256 about twice
as fast as BLAKE2b.
"""

import hashlib
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from hashlib import _Hash

_SHORT_BYTES: Final = 32 << 10
_HELD_BYTES: Final = 31 * 64
"""Of whole blocks of SHA-256, the most that hashlib hashes without letting go of the interpreter."""


class Digest(Protocol):
    """What bytes are hashed with."""

    def update(self, data: bytes | memoryview, /) -> None:
        """Take the next bytes."""


def new_digest() -> "_Hash":
    """Return a running digest: `update` it, then ask for its `digest`, 32 bytes."""
    return hashlib.sha256(usedforsecurity=False)


def update_short(digest: Digest, data: bytes | memoryview) -> None:
    """Update a digest, of what is short without letting another thread have the interpreter meanwhile.

    hashlib lets go of it for every update of 2,048 bytes and more. To hash some KiB takes less time than to get it back
    from a thread that writes to the store, and than that thread loses when it was woken for nothing.
    """
    if len(data) > _SHORT_BYTES:
        digest.update(data)
        return
    for start in range(0, len(data), _HELD_BYTES):
        digest.update(data[start : start + _HELD_BYTES])


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
