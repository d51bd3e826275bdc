"""Drives an ASGI application without a server: one request, its body in pieces, one answer.

What may live here: `call` sends a body piece by piece, or breaks it off with a disconnect, and gathers the answer
whole. It insists on what a server would insist on: one start, a body as long as its Content-Length, nothing after the
end. Of edged it knows one thing: whatever its origin server answers has a status that it announces (`announced`).
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import trio

from tests.support.announced import announced

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

LOOPBACK = ("127.0.0.1", 40000)
PIECE = 1 << 16


@dataclass(frozen=True, slots=True)
class Asked:
    """A request. `gone` breaks the connection off after the body's pieces."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Iterable[bytes] = b""
    gone: bool = False
    client: tuple[str, int] | None = LOOPBACK
    extensions: Mapping[str, Any] = field(default_factory=dict)

    def scope(self) -> Message:
        """The ASGI connection scope."""
        headers = {"host": "localhost:8080", **{name.lower(): value for name, value in self.headers.items()}}
        if isinstance(self.body, bytes) and self.body and "transfer-encoding" not in headers:
            headers.setdefault("content-length", str(len(self.body)))
        path, _, query = self.path.partition("?")
        return {
            "type": "http",
            "method": self.method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers.items()],
            "client": self.client,
            "server": ("127.0.0.1", 8080),
            "extensions": dict(self.extensions),
        }

    def pieces(self) -> Iterable[bytes]:
        """The body as a server would hand it over."""
        if not isinstance(self.body, bytes):
            return self.body
        return (self.body[at : at + PIECE] for at in range(0, len(self.body), PIECE))


@dataclass(slots=True)
class Answer:
    """What came back."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    ended: bool = False


async def call(application: Application, asked: Asked) -> Answer:
    """Make one request and return the whole answer."""
    answer = Answer()
    messages = _messages(asked)

    async def receive() -> Message:
        await trio.lowlevel.checkpoint()
        message = next(messages, None)
        if message is None:
            await trio.sleep_forever()
            raise AssertionError("unreachable")
        return message

    async def send(message: Message) -> None:
        await trio.lowlevel.checkpoint()
        assert not answer.ended
        if message["type"] == "http.response.start":
            assert not answer.status
            answer.status = message["status"]
            answer.headers = {name.decode(): value.decode("latin-1") for name, value in message["headers"]}
            assert len(answer.headers) == len(message["headers"]), "a header stands twice"
            return
        assert message["type"] == "http.response.body"
        assert answer.status
        answer.body += message["body"]
        answer.ended = not message.get("more_body", False)

    await application(asked.scope(), receive, send)
    assert not answer.status or answer.status in announced(application, asked.scope()), f"{answer.status} is news"
    if answer.ended and asked.method != "HEAD" and answer.status not in {204, 304}:
        assert int(answer.headers["content-length"]) == len(answer.body)
    return answer


def _messages(asked: Asked) -> Iterator[Message]:
    for piece in asked.pieces():
        yield {"type": "http.request", "body": piece, "more_body": True}
    if not asked.gone:
        yield {"type": "http.request", "body": b"", "more_body": False}
    yield {"type": "http.disconnect"}
