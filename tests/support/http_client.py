"""A small HTTP/1.1 user agent over a real socket, for tests: h11 on one kept connection.

What may live here: sending a request as a test wants it on the wire (a length, chunks, one byte at a time, cut off)
and gathering the answer. `Connection` is reused for as long as the server keeps it.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import h11
import trio


@dataclass(frozen=True, slots=True)
class Answered:
    """A whole answer."""

    status: int
    headers: dict[str, str]
    body: bytes


class Connection:
    """One connection to a server."""

    def __init__(self, stream: trio.SocketStream, host: str, base_path: str = "") -> None:
        self.stream = stream
        self._host = host
        self._base_path = base_path
        self._h11 = h11.Connection(h11.CLIENT)

    async def ask(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes | Iterable[bytes] = b""
    ) -> Answered:
        """Make a request; bytes go with a Content-Length, anything else in chunks as it is cut."""
        given = {"Host": self._host, **(headers or {})}
        if isinstance(body, bytes):
            given |= {"Content-Length": str(len(body))} if body else {}
            body = [body] if body else []
        else:
            given["Transfer-Encoding"] = "chunked"
        await self._send(h11.Request(method=method, target=self._base_path + path, headers=list(given.items())))
        for piece in body:
            await self._send(h11.Data(data=piece))
        await self._send(h11.EndOfMessage())
        return await self.answer()

    async def answer(self) -> Answered:
        """Read an answer to its end."""
        status, headers, out = 0, {}, bytearray()
        while not isinstance(event := await self._next(), h11.EndOfMessage):
            if isinstance(event, h11.Response):
                status = event.status_code
                headers = {name.decode(): value.decode() for name, value in event.headers}
            elif isinstance(event, h11.Data):
                out += event.data
        if self._h11.our_state is self._h11.their_state is h11.DONE:
            self._h11.start_next_cycle()
        return Answered(status, headers, bytes(out))

    async def _send(self, event: h11.Event) -> None:
        await self.stream.send_all(self._h11.send(event) or b"")

    async def _next(self) -> h11.Event:
        while not isinstance(event := self._h11.next_event(), h11.Event):
            self._h11.receive_data(bytes(await self.stream.receive_some()))
        return event


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Connection]:
    """A connection to the server of an http URL; the URL's path goes before that of every request."""
    parts = urlsplit(url)
    async with await trio.open_tcp_stream(parts.hostname or "", parts.port or 80) as stream:
        yield Connection(stream, parts.netloc, parts.path)


@asynccontextmanager
async def connected_locally(path: str, base_path: str = "") -> AsyncIterator[Connection]:
    """A connection to the server of a Unix socket."""
    async with await trio.open_unix_socket(path) as stream:
        yield Connection(stream, "localhost", base_path)
