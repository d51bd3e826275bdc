"""A password as the settings know it: salted, hashed by scrypt (RFC 7914), in one line.

The line is `$scrypt$ln=14,r=8,p=5$SALT$DIGEST`, in base64 without padding, as other programs write it too. Its costs
are bounded on both sides: below, a stolen file would be worth too much; above, a check would take the box's memory.
`matches` is slow on purpose and belongs into a worker thread. Nothing here shows a password or a digest.
"""

import base64
import binascii
import hashlib
import hmac
import re
import unicodedata
from dataclasses import dataclass, field
from typing import Self

LINE_FORM = "write the line that `edged token --password` prints"
LOG2_COST = 14
PARALLEL = 5
BLOCK = 8
SALT_BYTES = 16
DIGEST_BYTES = 32

_LINE = re.compile(
    r"\$scrypt\$ln=([0-9]{1,2}),r=([0-9]{1,2}),p=([0-9]{1,2})\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{22,86})"
)
_LEAST_LOG2_COST = 14
_MOST_MEMORY_BYTES = 64 << 20
_MOST_PARALLEL = 16
_SPARE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class PasswordHash:
    """The digest of one password, its salt and what it costs to make: 128 * 2**log2_cost * block bytes, and time."""

    log2_cost: int
    block: int
    parallel: int
    salt: bytes = field(repr=False)
    digest: bytes = field(repr=False)

    @classmethod
    def parse(cls, line: object) -> Self:
        """Read a line; raises ValueError saying what is allowed, never what was written."""
        match = _LINE.fullmatch(line) if isinstance(line, str) else None
        if match is None:
            raise ValueError(LINE_FORM)
        log2_cost, block, parallel = (int(number) for number in match.groups()[:3])
        if not (_LEAST_LOG2_COST <= log2_cost <= 20 and block >= 1 and 1 <= parallel <= _MOST_PARALLEL):
            raise ValueError(f"{LINE_FORM}: these costs are out of bounds")
        if _memory_bytes(log2_cost, block) > _MOST_MEMORY_BYTES:
            raise ValueError(f"{LINE_FORM}: a check of this one would take more than 64 MiB")
        return cls(log2_cost, block, parallel, _decoded(match[4]), _decoded(match[5]))

    @classmethod
    def of(cls, password: str, salt: bytes, *, parallel: int = PARALLEL) -> Self:
        """Hash a password (RFC 7914 2)."""
        bare = cls(LOG2_COST, BLOCK, parallel, salt, bytes(DIGEST_BYTES))
        return cls(LOG2_COST, BLOCK, parallel, salt, bare._digest_of(password))

    @property
    def cost(self) -> int:
        """What a check takes, in blocks to be mixed."""
        return self.block * self.parallel << self.log2_cost

    def matches(self, password: str) -> bool:
        """Whether this is the password; takes a good part of a second."""
        return hmac.compare_digest(self.digest, self._digest_of(password))

    def __str__(self) -> str:
        salt, digest = _encoded(self.salt), _encoded(self.digest)
        return f"$scrypt$ln={self.log2_cost},r={self.block},p={self.parallel}${salt}${digest}"

    def _digest_of(self, password: str) -> bytes:
        """The same text typed on another machine may come in another composition: RFC 8265 4.2.2."""
        return hashlib.scrypt(
            unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass"),
            salt=self.salt,
            n=1 << self.log2_cost,
            r=self.block,
            p=self.parallel,
            maxmem=_memory_bytes(self.log2_cost, self.block) + _SPARE_BYTES,
            dklen=len(self.digest),
        )


def _memory_bytes(log2_cost: int, block: int) -> int:
    return 128 * block << log2_cost


def _encoded(octets: bytes) -> str:
    return base64.b64encode(octets).decode("ascii").rstrip("=")


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        raise ValueError(LINE_FORM) from None
