"""One byte stream to a peer, plain or TLS, that can still be read when it can no longer be written.

A peer that refuses an upload often answers, closes, and resets what is still coming. The answer then lies in the
receive buffer while sending fails. So a failed send is a fact to ask for, not an exception, and it stays below TLS,
whose stream would otherwise refuse to decrypt what has already arrived.

Invariants: one task sends, one task receives. `close` is immediate, may be called at any time and any number of
times, and ends both. No method raises for what the peer did, but `handshake`.
"""

import select
import ssl
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import trio

RECEIVE_BYTES = 64 << 10

Data = bytes | bytearray | memoryview
Taken = Callable[[int], None]


def _untold(_: int) -> None:
    """Nobody wants to know."""


class Wire(trio.abc.Stream):
    """The bytes below TLS; a socket, or whatever stands for one. A failed send is remembered and not raised.

    `taken` is told of the bytes that left, as they leave, if the wire knows.
    """

    send_failed = False
    taken: Taken = staticmethod(_untold)

    async def send_each(self, data: Sequence[Data]) -> None:
        """Send all of several buffers, as `send_all` does."""
        for each in data:
            await self.send_all(each)

    @abstractmethod
    def has_unread(self) -> bool:
        """Tell without waiting whether there are bytes, an end or an error to read."""

    @abstractmethod
    def close(self) -> None:
        """Close at once, any number of times; tasks that wait on it are woken."""


class Transport:
    """A connected stream; `alpn` is what TLS negotiated, None on plain sockets."""

    def __init__(
        self, stream: trio.SocketStream | Wire, context: ssl.SSLContext | None = None, *, server_hostname: str = ""
    ) -> None:
        self._socket = stream if isinstance(stream, Wire) else _Socket(stream)
        self._tls: trio.SSLStream[Wire] | None = None
        if context is not None:
            self._tls = trio.SSLStream(self._socket, context, server_hostname=server_hostname, https_compatible=True)
        self._stream: trio.abc.Stream = self._tls or self._socket
        self.alpn: str | None = None
        self.tls_fault: str | None = None
        self._early = b""

    @property
    def secure(self) -> bool:
        """True over TLS."""
        return self._tls is not None

    async def handshake(self) -> None:
        """Do the TLS handshake. Raises trio.BrokenResourceError from what was wrong."""
        if self._tls is not None:
            await self._tls.do_handshake()
            self.alpn = self._tls.selected_alpn_protocol()

    def certificate(self) -> bytes | None:
        """Give the certificate that the peer showed, in DER; None without TLS."""
        return None if self._tls is None else self._tls.getpeercert(binary_form=True)

    async def send(self, *data: bytes | memoryview) -> bool:
        """Send all of it, in this order; False when the peer takes no more."""
        try:
            if self._tls is None:
                await self._socket.send_each(data)
            else:
                await self._tls.send_all(data[0] if len(data) == 1 else b"".join(data))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return False
        return not self._socket.send_failed

    @contextmanager
    def telling(self, taken: Taken) -> Iterator[None]:
        """Tell how many bytes leave, each time that some do, until the block ends; over TLS they are encrypted ones."""
        self._socket.taken = taken
        try:
            yield
        finally:
            self._socket.taken = _untold

    async def receive(self) -> bytes | bytearray:
        """Give what has come; empty when nothing will come any more, whatever the reason."""
        if self._early:
            early, self._early = self._early, b""
            return early
        try:
            return await self._stream.receive_some(RECEIVE_BYTES)
        except trio.BrokenResourceError as error:
            if isinstance(error.__cause__, ssl.SSLError):
                self.tls_fault = (error.__cause__.reason or "broken").lower().replace("_", " ")
            return b""
        except trio.ClosedResourceError:
            return b""

    def put_back(self, data: bytes) -> None:
        """Let what was received be received again, by whoever goes on in another protocol."""
        self._early = data + self._early

    def has_unread(self) -> bool:
        """Tell without waiting whether the socket has bytes, an end or an error to read."""
        return self._socket.has_unread()

    def close(self) -> None:
        """Close the socket; tasks that wait on it are woken."""
        self._socket.close()


class _Socket(Wire):
    """A socket as a wire."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream

    async def send_all(self, data: Data) -> None:
        await self.send_each((data,))

    async def send_each(self, data: Sequence[Data]) -> None:
        left = [memoryview(each) for each in data if each]
        try:
            while left:
                size = await self._stream.socket.sendmsg(left)
                self.taken(size)
                _drop(left, size)
        except OSError:
            self.send_failed = True

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        return await self._stream.receive_some(max_bytes)

    async def aclose(self) -> None:
        await self._stream.aclose()

    def has_unread(self) -> bool:
        poll = select.poll()
        poll.register(self._stream.socket.fileno(), select.POLLIN | select.POLLRDHUP)
        return bool(poll.poll(0))

    def close(self) -> None:
        self._stream.socket.close()


def _drop(left: list[memoryview], size: int) -> None:
    """Take so many bytes from the front."""
    while left and size >= len(left[0]):
        size -= len(left.pop(0))
    if size:
        left[0] = left[0][size:]
