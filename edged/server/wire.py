"""The octets of one accepted connection: reading, writing with a deadline, ending.

What may live here: everything that touches a connection's socket or TLS layer, nothing of HTTP. Strategy:
whatever way a peer goes away, the reading side says `b""` and the writing side raises `Disconnected`.
Invariants: no write waits longer than `write_s` without that the peer has taken an octet, nor do writes go on below
the floor of their pace, and nobody is cut who keeps both; after a write that did not finish (deadline, cancellation)
nothing more is written, for nobody knows how much of it has arrived; ending never waits for the peer longer than it
was told.
"""

import contextlib
import fcntl
import math
import os
import socket
import ssl
import struct
import sys
import termios
from collections.abc import Callable, Sequence
from typing import NoReturn

import trio

from edged.server.limits import KIB
from edged.server.pace import Pace

READ_BYTES = 128 * KIB  # more is slower: objects beyond this come from fresh pages, and those cost more than the turns
TURN_BYTES = 1024 * KIB  # uploads at once shall end one after the other, so that one commits while the next is read
LEAST_COUNTED_BYTES = 16 * KIB  # of a turn, for each read: small ones cost time, not bytes
LEAST_RECORD_BYTES = KIB  # the same for each record of TLS, of which one read may hold 6,000
RECORD_BYTES = 16 * KIB  # of TLS (RFC 8446 5.1)
SEAL_BYTES = 64 * KIB  # what is encrypted and held at a time
JOIN_BYTES = 64 * KIB  # below this, one copy is cheaper than one more system call
UNSENT_BYTES = 256 * KIB  # trio's 16 KiB means a wake-up per 16 KiB on a fast network
UNTAKEN = bytes(4)  # the int that the kernel fills in
CLOSE_S = 1.0  # a closing TLS alert
LINGER_PAUSES = 6  # how long a peer is read on that goes on sending, in pauses; nginx has the same 30 s and 5 s

Octets = bytes | bytearray | memoryview
TCPStream = trio.SocketStream
TLSStream = trio.SSLStream[trio.SocketStream]


class Disconnected(OSError):
    """The client is gone, or was let go; nothing more can be sent. ASGI: what `send` raises then."""


class Wire:
    """One connection. Reading and writing may happen at the same time, each by one task after the other."""

    def __init__(
        self,
        stream: TCPStream | TLSStream,
        *,
        write_s: float,
        pace: Pace | None = None,
        on_slow: Callable[[str], None] | None = None,
    ) -> None:
        """`on_slow` is told why a peer is let go that does not take what is written, before `send` raises."""
        self._stream = stream
        self._tcp = stream if isinstance(stream, trio.SocketStream) else stream.transport_stream
        self._write_s = write_s
        self._pace = pace or Pace()  # of writing
        self._on_slow = on_slow
        self._handed_bytes = 0  # to the kernel
        self._taken_bytes = 0  # of them by the peer, as far as it was looked at
        self._paced_bytes = 0
        self._writing = trio.Lock()
        self.broken = False
        self.waited_s = 0.0
        """For octets that had to come within some time."""
        self._turn_bytes = 0  # read since other tasks had their turn
        with contextlib.suppress(OSError):  # not on a Unix socket
            self._tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)

    async def receive(self, *, within_s: float = math.inf) -> bytes:
        """The next octets, READ_BYTES at most; b"" when the peer has ended or the connection is broken.

        What is there already is taken at once; raises TooSlowError when nothing comes within `within_s`.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        octets = self._take()
        if octets is not None:
            self._turn_bytes += max(len(octets), LEAST_COUNTED_BYTES)
            if not octets or self._turn_bytes >= TURN_BYTES:
                self._turn_bytes = 0
                await trio.lowlevel.cancel_shielded_checkpoint()
            return octets
        self._turn_bytes = 0
        if within_s == math.inf:
            return await self._wait_octets()
        began = trio.current_time()
        try:
            with trio.fail_at(began + max(within_s, 0.0)):
                return await self._wait_octets()
        finally:
            self.waited_s += trio.current_time() - began

    async def send(self, pieces: Sequence[Octets]) -> None:
        """Hand over all octets of `pieces`, in order; raises Disconnected."""
        try:
            self._writing.acquire_nowait()
        except trio.WouldBlock:
            await self._writing.acquire()
        try:
            left = self._write(pieces)
            if left:
                await self._send_rest(left)
        finally:
            self._writing.release()
        if not left:
            await trio.lowlevel.checkpoint()

    @property
    def handed_bytes(self) -> int:
        """What the kernel was given so far, as it goes over the network."""
        return self._handed_bytes

    @property
    def taken_bytes(self) -> int:
        """What of that the peer has taken: its kernel, for what its program does nobody can see."""
        with contextlib.suppress(OSError, ValueError):  # closed
            found = fcntl.ioctl(self._tcp.socket.fileno(), termios.TIOCOUTQ, UNTAKEN)
            taken_bytes = self._handed_bytes - int.from_bytes(found, sys.byteorder)
            self._taken_bytes = max(self._taken_bytes, taken_bytes)  # a Unix socket counts what it needs besides
        return self._taken_bytes

    async def linger(self, pause_s: float) -> None:
        """End the sending side and read on, so that the last answer is not lost.

        Until the peer ends too, sends nothing for `pause_s`, or has gone on sending for LINGER_PAUSES of them; and as
        long as it takes what was written.
        """
        if self.broken:
            return
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError, Disconnected):
            await self._say_end()
            took_at, before_bytes = trio.current_time(), self.taken_bytes
            with trio.move_on_after(LINGER_PAUSES * pause_s) as patience:
                while (octets := await self._next(pause_s)) != b"":
                    now, taken_bytes = trio.current_time(), self.taken_bytes
                    if taken_bytes > before_bytes:
                        took_at, before_bytes = now, taken_bytes
                    if taken_bytes < self._handed_bytes and now - took_at < self._write_s:
                        patience.deadline = now + LINGER_PAUSES * pause_s
                    elif octets is None:
                        return

    async def close(self) -> None:
        """End the connection in order; at once if a write did not finish."""
        if self.broken:
            self.abort()
            return
        with trio.move_on_after(CLOSE_S, shield=True), contextlib.suppress(trio.BrokenResourceError):
            await self._stream.aclose()
        self._tcp.socket.close()

    def abort(self) -> None:
        """End the connection with a reset: the peer must not take what it has for complete."""
        self.broken = True
        with contextlib.suppress(OSError):
            self._tcp.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._tcp.socket.close()

    async def _say_end(self) -> None:
        """TLS's closing alert (RFC 9112 9.8), then TCP's end; what still comes is dropped as it is."""
        if isinstance(self._stream, trio.SSLStream):
            secured, self._stream = self._stream, self._tcp
            with contextlib.suppress(ssl.SSLError):  # the peer has not said the same yet
                secured._ssl_object.unwrap()
            await self._push(_encrypted(secured))
        await self._tcp.send_eof()

    async def _next(self, within_s: float) -> bytes | None:
        """The next octets, b"" at the end, None when there are none within some time."""
        with contextlib.suppress(trio.TooSlowError):
            return await self.receive(within_s=within_s)
        return None

    def _take(self) -> bytes | None:
        """What can be read at once; None when nothing can, b"" at the end."""
        try:
            octets = os.read(self._tcp.socket.fileno(), READ_BYTES)
        except BlockingIOError:
            octets = None
        except OSError:  # reset, or closed by us
            return b""
        if isinstance(self._stream, trio.SocketStream):
            return octets
        records = _decrypted(self._stream, octets)
        if self._stream._outgoing.pending > RECORD_BYTES:  # answers to the handshake's messages, which nothing sends
            self.broken = True
            return b""
        if records is None:
            return None
        self._turn_bytes += LEAST_RECORD_BYTES * len(records)
        return b"".join(records)

    async def _wait_octets(self) -> bytes:
        try:
            while True:
                await trio.lowlevel.wait_readable(self._tcp.socket)
                octets = self._take()
                if octets is not None:
                    return octets
        except trio.ClosedResourceError:
            return b""

    def _write(self, pieces: Sequence[Octets]) -> Sequence[Octets]:
        """Write what can be written at once; what is left. Raises Disconnected."""
        if self.broken:
            raise Disconnected("the client is gone")
        if not isinstance(self._stream, trio.SocketStream):
            size = sum(map(len, pieces))
            if size > JOIN_BYTES:
                return pieces
            return (b"".join(pieces),) if size else ()
        written = self._hand_over(pieces)
        left = []
        for piece in pieces:
            if written < len(piece):
                left.append(memoryview(piece)[written:])
            written = max(0, written - len(piece))
        return left

    def _hand_over(self, pieces: Sequence[Octets]) -> int:
        """How many octets the kernel has taken. Raises Disconnected."""
        try:
            written = os.writev(self._tcp.socket.fileno(), pieces)
        except BlockingIOError:
            return 0
        except OSError:
            self.broken = True
            raise Disconnected("the client is gone") from None
        self._handed_bytes += written
        return written

    async def _send_rest(self, pieces: Sequence[Octets]) -> None:
        self.broken = True  # until all is out, also if this task is cancelled meanwhile
        for piece in pieces:
            view = memoryview(piece)
            for begin in range(0, len(view), SEAL_BYTES):
                await self._push(self._sealed(view[begin : begin + SEAL_BYTES]))
        self.broken = False

    async def _push(self, octets: Octets) -> None:
        left = memoryview(octets)[self._hand_over((octets,)) :]
        if not left:
            await trio.lowlevel.cancel_shielded_checkpoint()
        while left:
            await self._wait_room()
            left = left[self._hand_over((left,)) :]

    async def _wait_room(self) -> None:
        """Until the socket takes more, or `write_s` have gone; raises Disconnected when the client takes too little."""
        began = trio.current_time()
        with trio.move_on_after(self._write_s) as wait, contextlib.suppress(trio.ClosedResourceError):
            await trio.lowlevel.wait_writable(self._tcp.socket)
        taken_bytes = self.taken_bytes
        moved_bytes, self._paced_bytes = taken_bytes - self._paced_bytes, taken_bytes
        self._pace.moved(moved_bytes)
        if wait.cancelled_caught and not moved_bytes:
            self._let_go("the client stopped reading")
        if self._pace.is_slow_after(trio.current_time() - began):
            self._let_go("the client reads too slowly")

    def _let_go(self, why: str) -> NoReturn:
        if self._on_slow is not None:
            self._on_slow(why)
        raise Disconnected(why)

    def _sealed(self, octets: memoryview) -> Octets:
        """`octets` as they go over the network; raises Disconnected."""
        stream = self._stream
        if isinstance(stream, trio.SocketStream):
            return octets
        try:
            stream._ssl_object.write(octets)
        except ssl.SSLError:
            raise Disconnected("the client is gone") from None
        return _encrypted(stream)


async def handshake(stream: TCPStream, context: ssl.SSLContext, *, within_s: float) -> TLSStream | None:
    """The TLS connection over `stream`, None when the client does not complete it in time."""
    secured = trio.SSLStream(stream, context, server_side=True, https_compatible=True)
    with trio.move_on_after(within_s), contextlib.suppress(trio.BrokenResourceError):
        await secured.do_handshake()
        return secured
    return None


def _decrypted(stream: TLSStream, octets: bytes | None) -> list[bytes] | None:
    """The records in `octets` and what came before them; None when none is whole, an empty list at the end.

    Trio reads 64 KiB and hands over one record of 16 KiB at a time, each with a round of its scheduler: that was
    40 % of an upload's time. Nothing else reads from a connection after its handshake.
    """
    if octets:
        stream._incoming.write(octets)
    elif octets is not None:
        stream._incoming.write_eof()
    records: list[bytes] = []
    try:
        while record := stream._ssl_object.read(RECORD_BYTES):
            records.append(record)
    except ssl.SSLWantReadError:
        return records or None
    except ssl.SSLError:  # the end without a closing alert, or an error that the next read meets again
        pass
    return records


def _encrypted(stream: TLSStream) -> bytes:
    """What there is to send, behind the session tickets that Trio has kept back."""
    tickets, stream._delayed_outgoing = stream._delayed_outgoing or b"", None
    return tickets + stream._outgoing.read()
