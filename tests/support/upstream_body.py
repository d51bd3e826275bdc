"""Bodies and requests for the tests of the HTTP client."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from edged.upstream.message import Request

GET = Request("GET", "/dicom-web/studies")


@dataclass(frozen=True, slots=True)
class Zeros:
    """A body of zeros, given in pieces; `given` bytes of them where it breaks its word."""

    length: int
    given: int | None = None
    piece: int = 1 << 20

    async def pieces(self) -> AsyncGenerator[bytes | memoryview, None]:
        """Give views, as the store does."""
        left = self.length if self.given is None else self.given
        while left:
            yield memoryview(bytes(min(left, self.piece)))
            left -= min(left, self.piece)


def post(length: int = 0) -> Request:
    """A request with so many bytes of body."""
    return Request("POST", "/dicom-web/studies", (("Content-Type", "text/plain"),), Zeros(length))
