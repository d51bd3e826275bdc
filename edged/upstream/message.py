"""What goes to a destination and what comes back: requests, responses, and why there was none.

Values only, no I/O. A request names its body by length and can give its pieces again, so that a retry needs no copy.
A response's body is bounded: reports are small, and a peer that sends more is cut, visibly. What may be large goes into
the request's sink as it comes.

Invariants: a `Request` that exists can be written to a wire as it is (no header injection, no framing fields: those
belong to the connection). Everything that is not a complete response is a `NoAnswer`, named by phase.
"""

import re
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Protocol

from edged.telemetry.live import Phase
from edged.upstream.answer_coding import AnswerCoding

ANSWER_LIMIT_BYTES = 4 << 20
"""Kept of one response: a store report of some 20,000 instances."""
DRAIN_LIMIT_BYTES = 16 << 20
"""Read and dropped beyond it, to keep the connection; what is longer ends the exchange."""
FIRST_REFUSAL = 300
"""From this status on the rest of a request's body is unwanted; a 2xx may begin while the peer still reads."""

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TARGET = re.compile(r"(?:/[!-~]*|\*)")
_FIELD_VALUE = re.compile(r"(?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?")
_CONNECTION_FIELDS = frozenset(
    ("connection", "content-length", "expect", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade")
)


class Body(Protocol):
    """The payload of a request: its length in bytes is known before the first piece."""

    @property
    def length(self) -> int:
        """Bytes in all."""

    def pieces(self) -> AsyncGenerator[bytes | memoryview, None]:
        """Give the bytes from the start, again for each try. A piece stays as it is: it may leave after the next."""


class Sink(Protocol):
    """Takes an answer's body as it comes, instead of the response; what it raises ends the exchange."""

    def wants(self, status: int, headers: Mapping[str, str]) -> bool:
        """Whether the body of this answer is for it; raises nothing. Any other body goes into the response.

        The names of the headers are in lower case.
        """

    async def add(self, data: bytes | bytearray) -> None:
        """Take the next bytes; the peer's next ones wait until this returns."""


@dataclass(frozen=True, slots=True)
class BytesBody:
    """A small body that is in memory already."""

    content: bytes

    @property
    def length(self) -> int:
        """Bytes in all."""
        return len(self.content)

    async def pieces(self) -> AsyncGenerator[bytes | memoryview, None]:
        """Give the whole in one piece."""
        if self.content:
            yield self.content


class BodyLengthError(ValueError):
    """A body gave more or fewer bytes than its length: a defect on this side, never the peer's."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request to an endpoint: `target` in origin-form, header fields without those that frame the message.

    `sink` takes the body of the answer, if it wants it. `once`: a second one would be answered in another way, so that
    it is never repeated by the client. Raises ValueError where a part could not be sent as it is.
    Source: RFC 9110 5.1, 5.5; RFC 9112 3.2.1.
    """

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: Body | None = None
    sink: Sink | None = None
    once: bool = False

    def __post_init__(self) -> None:
        if not _TOKEN.fullmatch(self.method):
            raise ValueError(f"not a method: {self.method!r}")
        if not _TARGET.fullmatch(self.target):
            raise ValueError(f"not a target in origin-form: {self.target!r}")
        for name, value in self.headers:
            if not _TOKEN.fullmatch(name):
                raise ValueError(f"not a header field name: {name!r}")
            if name.lower() in _CONNECTION_FIELDS:
                raise ValueError(f"the connection writes this header field itself: {name}")
            if not _FIELD_VALUE.fullmatch(value):
                raise ValueError(f"the value of header field {name} cannot be sent")

    @property
    def content_length(self) -> int | None:
        """The Content-Length to send, None where none belongs. Source: RFC 9110 8.6."""
        if self.body is not None:
            return self.body.length
        return 0 if self.method in {"POST", "PUT", "PATCH"} else None


@dataclass(frozen=True, slots=True)
class Response:
    """One final response. `headers` have lower-case names; `truncated` says that `body` is only the beginning.

    The content coding is undone, and not among the headers any more; where it cannot be, `body` is `truncated`.
    `request_sent` says that all of the request had left when it was complete, `sent_bytes` how much of its body had.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes = field(repr=False)
    truncated: bool
    http_version: str
    request_sent: bool = True
    sent_bytes: int = 0


class NoAnswer(Exception):
    """No complete response was had.

    `text` names host and port, never credentials; `said` is what the peer said instead of an answer, in its own words.
    `sent_bytes` counts what of the body was handed to the socket.
    `not_processed` is True only where the peer provably did not act on the request.
    """

    def __init__(
        self,
        phase: Phase,
        text: str,
        *,
        sent_bytes: int = 0,
        not_processed: bool = False,
        http2: bool = False,
    ) -> None:
        super().__init__(f"{phase}: {text}")
        self.phase = phase
        self.text = text
        self.sent_bytes = sent_bytes
        self.not_processed = not_processed
        self.http2 = http2
        self.said = ""


class IdleEnded(NoAnswer):
    """A connection that had been idle ended without an answer: the peer may well have closed it before it was asked."""


class Answer:
    """A response while it comes in; keeps at most `limit` bytes of its body and counts what it dropped."""

    __slots__ = ("_coding", "_dropped", "_kept", "_limit", "_offered", "headers", "sink", "status")

    def __init__(self, limit: int = ANSWER_LIMIT_BYTES, *, offered: Sink | None = None) -> None:
        self.status: int | None = None
        self.headers: tuple[tuple[str, str], ...] = ()
        self.sink: Sink | None = None
        self._offered = offered
        self._kept = bytearray()
        self._dropped = 0
        self._limit = limit
        self._coding = AnswerCoding(())

    def begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Take the final head."""
        self.status = status
        fields = tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in headers)
        self._coding = AnswerCoding(fields)
        self.headers = self._coding.headers
        if self._offered is not None and not self._coding.broken and self._offered.wants(status, dict(self.headers)):
            self.sink = self._offered

    def add(self, data: bytes | bytearray) -> None:
        """Take some of the body."""
        for piece in self._coding.feed(data):
            room = self._limit - len(self._kept)
            self._kept += piece[:room]
            self._dropped += max(0, len(piece) - room)
            if self.too_long:
                break

    def pieces(self, data: bytes | bytearray) -> Iterator[bytes | bytearray]:
        """Give what some of the body is for the sink."""
        return self._coding.feed(data)

    def end(self) -> None:
        """Take the end of the body."""
        self._coding.finish()

    @property
    def broken(self) -> bool:
        """The body is not what its Content-Encoding says, or cannot be decoded here."""
        return self._coding.broken

    @property
    def refuses(self) -> bool:
        """A final status that wants no more of the request."""
        return self.status is not None and self.status >= FIRST_REFUSAL

    @property
    def too_long(self) -> bool:
        """More than is worth reading to the end."""
        return self._dropped > DRAIN_LIMIT_BYTES

    def response(self, http_version: str, *, request_sent: bool = True, sent_bytes: int = 0) -> Response:
        """The response, once its head has come; the rest as in `Response`."""
        if self.status is None:
            raise AssertionError("a response is made after its head")
        truncated = self._dropped > 0 or self.broken
        return Response(
            self.status,
            self.headers,
            bytes(self._kept),
            truncated,
            http_version,
            request_sent=request_sent,
            sent_bytes=sent_bytes,
        )


async def parts(body: Body, size: int) -> AsyncGenerator[memoryview, None]:
    """Give the body in parts of at most `size` bytes, none empty, exactly `body.length` bytes in all.

    Raises BodyLengthError where the body breaks its word; the exceptions of its pieces pass through.
    """
    left = body.length
    async with aclosing(body.pieces()) as pieces:
        async for piece in pieces:
            view = memoryview(piece).cast("B")
            left -= len(view)
            if left < 0:
                raise BodyLengthError(f"the body gave more than its {body.length} bytes")
            for start in range(0, len(view), size):
                yield view[start : start + size]
    if left:
        raise BodyLengthError(f"the body ended {left} bytes before its {body.length}")
