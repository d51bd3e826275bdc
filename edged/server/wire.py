"""The octets of one accepted connection: reading, writing with a deadline, ending.

What may live here: everything that touches a connection's socket or TLS layer, nothing of HTTP. Strategy:
whatever way a peer goes away, the reading side says `b""` and the writing side raises `Disconnected`.
Invariants: no write waits longer than `write_s` without progress, nor do writes go on below the floor of their
pace; after a write that did not finish (deadline, cancellation) nothing more is written, for nobody knows how
much of it has arrived; ending never waits for the peer longer than it was told.
"""

import contextlib
import math
import os
import socket
import ssl
import struct
from collections.abc import Sequence

import trio

from edged.server.limits import KIB
from edged.server.pace import Pace

READ_BYTES = 128 * KIB  # more is slower: objects beyond this come from fresh pages, and those cost more than the turns
TURN_BYTES = 1024 * KIB  # uploads at once shall end one after the other, so that one commits while the next is read
LEAST_COUNTED_BYTES = 16 * KIB  # of a turn, for each read: small ones cost time, not bytes
LEAST_RECORD_BYTES = KIB  # the same for each record of TLS, of which one read may hold 6,000
RECORD_BYTES = 16 * KIB  # of TLS (RFC 8446 5.1)
WRITE_BYTES = 64 * KIB  # the unit of progress of the write deadline: 1.1 kB/s keep a connection at 60 s
JOIN_BYTES = 64 * KIB  # below this, one copy is cheaper than one more system call
UNSENT_BYTES = 256 * KIB  # trio's 16 KiB means a wake-up per 16 KiB on a fast network
CLOSE_S = 1.0  # a closing TLS alert
LINGER_PAUSES = 6  # how long a peer is read on that goes on sending, in pauses; nginx has the same 30 s and 5 s

Octets = bytes | bytearray | memoryview
TCPStream = trio.SocketStream
TLSStream = trio.SSLStream[trio.SocketStream]


class Disconnected(OSError):
    """The client is gone, or was let go; nothing more can be sent. ASGI: what `send` raises then."""


class Wire:
    """One connection. Reading and writing may happen at the same time, each by one task after the other."""

    def __init__(self, stream: TCPStream | TLSStream, *, write_s: float, pace: Pace | None = None) -> None:
        self._stream = stream
        self._tcp = stream if isinstance(stream, trio.SocketStream) else stream.transport_stream
        self._write_s = write_s
        self._pace = pace or Pace()  # of writing
        self._writing = trio.Lock()
        self.broken = False
        self._turn_bytes = 0  # read since other tasks had their turn
        with contextlib.suppress(OSError):  # not on a Unix socket
            self._tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)

    async def receive(self, *, deadline: float = math.inf) -> bytes:
        """The next octets, READ_BYTES at most; b"" when the peer has ended or the connection is broken.

        What is there already is taken whatever the time is; raises TooSlowError when nothing comes until `deadline`.
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
        if deadline == math.inf:
            return await self._wait_octets()
        with trio.fail_at(deadline):
            return await self._wait_octets()

    async def send(self, pieces: Sequence[Octets]) -> None:
        """Hand over all octets of `pieces`, in order; raises Disconnected."""
        try:
            self._writing.acquire_nowait()
        except trio.WouldBlock:
            await self._writing.acquire()
        try:
            left = self._write(pieces)
            for piece in left:
                await self._send_piece(piece)
        finally:
            self._writing.release()
        if not left:
            await trio.lowlevel.checkpoint()

    async def linger(self, pause_s: float) -> None:
        """End the sending side and read on, so that the last answer is not lost.

        Until the peer ends too, sends nothing for `pause_s`, or has gone on sending for LINGER_PAUSES of them.
        """
        if self.broken:
            return
        with trio.move_on_after(LINGER_PAUSES * pause_s), contextlib.suppress(trio.TooSlowError):
            with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError), trio.fail_after(pause_s):
                await self._say_end()
            while await self.receive(deadline=trio.current_time() + pause_s):
                pass

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
            await secured._retry(secured._ssl_object.unwrap, ignore_want_read=True)
        await self._tcp.send_eof()

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
            return (b"".join(pieces),) if sum(map(len, pieces)) <= JOIN_BYTES else pieces
        try:
            written = os.writev(self._tcp.socket.fileno(), pieces)
        except BlockingIOError:
            return pieces
        except OSError:
            self.broken = True
            raise Disconnected("the client is gone") from None
        self._pace.moved(written)
        left = []
        for piece in pieces:
            if written < len(piece):
                left.append(memoryview(piece)[written:])
            written = max(0, written - len(piece))
        return left

    async def _send_piece(self, piece: Octets) -> None:
        view = memoryview(piece)
        while view:
            self.broken = True  # until this piece is out, also if this task is cancelled meanwhile
            began, part = trio.current_time(), view[:WRITE_BYTES]
            with trio.move_on_after(self._write_s):
                try:
                    await self._stream.send_all(part)
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    raise Disconnected("the client is gone") from None
                self.broken = False
            if self.broken:
                raise Disconnected("the client stopped reading")
            self._pace.moved(len(part))
            if self._pace.is_slow_after(trio.current_time() - began):
                self.broken = True
                raise Disconnected("the client reads too slowly")
            view = view[WRITE_BYTES:]


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
