"""Clients that are a burden: idle ones, slow ones and ones that do not read, held at a server during a block.

What may live here: plain sockets and one thread. The idle have asked once or never; the slow dribble a request body,
one octet at a time, so that as many as there are turns would keep all others out; the stalled have asked for a large
answer through a small window and never read it.
`Crowd.staying` says how many the server has neither let go nor, but for the stalled, answered.
"""

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass

DRIBBLE_S = 0.2
WINDOW_BYTES = 4096
GOOD = b"HTTP/1.1 200 "
FIRST = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
SLOW_BODY = (
    b"POST /studies HTTP/1.1\r\nHost: localhost\r\nAccept: application/dicom+json\r\nContent-Length: 1000000\r\n"
    b'Content-Type: multipart/related; type="application/dicom"; boundary=b\r\n\r\n'
    b"--b\r\nContent-Type: application/dicom\r\n\r\n"
)


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many of each kind."""

    idle: int = 500
    slow: int = 100
    stalled: int = 50

    @property
    def total(self) -> int:
        return self.idle + self.slow + self.stalled


class Crowd:
    """The connections of a crowd."""

    def __init__(self, port: int, sizes: Sizes, path: bytes) -> None:
        """Connect all of them; the stalled ask for `path`."""
        self._idle = [_idle(port, asks=number % 2 == 0) for number in range(sizes.idle)]
        self._slow = [_slow(port) for _ in range(sizes.slow)]
        self._stalled = [_stalled(port, path) for _ in range(sizes.stalled)]
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._dribble)
        self._thread.start()

    @property
    def staying(self) -> int:
        """How many connections are as they were made to be."""
        waiting = [_waits(stream) for stream in [*self._idle, *self._slow]]
        return sum(waiting) + sum(map(_is_answered, self._stalled))

    def close(self) -> None:
        """Leave."""
        self._ended.set()
        self._thread.join()
        for stream in [*self._idle, *self._slow, *self._stalled]:
            stream.close()

    def _dribble(self) -> None:
        while not self._ended.wait(DRIBBLE_S):
            for stream in self._slow:
                with contextlib.suppress(OSError):  # the server has let it go
                    stream.send(b"a")


@contextlib.contextmanager
def crowd(port: int, sizes: Sizes, path: bytes) -> Iterator[Crowd]:
    """Hold a crowd at a port of this machine for the block; the stalled ask for `path`."""
    held = Crowd(port, sizes, path)
    try:
        yield held
    finally:
        held.close()


def _idle(port: int, *, asks: bool) -> socket.socket:
    stream = socket.create_connection(("127.0.0.1", port))
    if asks:
        stream.sendall(FIRST)
        stream.recv(WINDOW_BYTES)
    return stream


def _slow(port: int) -> socket.socket:
    stream = socket.create_connection(("127.0.0.1", port))
    stream.sendall(SLOW_BODY)
    return stream


def _stalled(port: int, path: bytes) -> socket.socket:
    stream = socket.socket()
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WINDOW_BYTES)
    stream.connect(("127.0.0.1", port))
    stream.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n")
    return stream


def _waits(stream: socket.socket) -> bool:
    """Whether nothing has come, not even the end."""
    try:
        stream.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _is_answered(stream: socket.socket) -> bool:
    """Whether what was asked for has come and not been read."""
    try:
        return stream.recv(len(GOOD), socket.MSG_PEEK) == GOOD
    except OSError:
        return False
