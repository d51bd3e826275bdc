"""A token endpoint (RFC 6749 3.2): answers as a test says and keeps what it was asked, on any wire."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import trio

from tests.support.memory_wire import Half


def granted(text: str, **more: Any) -> tuple[int, bytes]:
    """An answer with a token."""
    return 200, json.dumps({"access_token": text, "token_type": "Bearer", **more}).encode()


def failed(status: int = 400, error: str = "invalid_client", description: str = "") -> tuple[int, bytes]:
    """An answer without one."""
    return status, json.dumps({"error": error, "error_description": description}).encode()


@dataclass
class Endpoint:
    """A token endpoint: gives t1, t2 and so on unless `answer` says otherwise."""

    answer: Callable[[int], tuple[int, bytes]] = lambda number: granted(f"t{number}", expires_in=3600)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    delay_s: float = 0.0
    date: str = ""

    async def serve(self, stream: Half | trio.SocketStream) -> None:
        data = b""
        while b"\r\n\r\n" not in data or len(data.split(b"\r\n\r\n", 1)[1]) < _length(data):
            more = bytes(await stream.receive_some())
            if not more:
                return
            data += more
        head, body = data.split(b"\r\n\r\n", 1)
        self.asked.append((head.decode(), dict(parse_qsl(body.decode()))))
        await trio.sleep(self.delay_s)
        status, said = self.answer(len(self.asked))
        date = f"Date: {self.date}\r\n".encode() if self.date else b""
        await stream.send_all(b"HTTP/1.1 %d X\r\n%sContent-Length: %d\r\n\r\n%s" % (status, date, len(said), said))


def _length(data: bytes) -> int:
    lines = [line.partition(b": ") for line in data.split(b"\r\n")]
    return sum(int(value) for name, _, value in lines if name.lower() == b"content-length")
