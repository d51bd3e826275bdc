"""One connection as an archive of the tests has it: a socket or a pair in memory, on which anything may go wrong.

`suffer` is what ends a connection; a fault that is `armed` strikes by itself when so many bytes of an answer are out.
"""

import socket
import struct

import trio
import trio.testing

from tests.support.archive.values import Fault, Kind

Half = trio.StapledStream[trio.testing.MemorySendStream, trio.testing.MemoryReceiveStream]
Stream = trio.SocketStream | Half
RECEIVE_BYTES = 1 << 16
TRICKLE_BYTES = 60


class LineEnded(Exception):
    """The connection is over, by either side."""


class Line:
    """The archive's end."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._reading = False
        self._stalled = False
        self._over = trio.Event()
        self._armed: Fault | None = None
        self._left = 0

    def arm(self, fault: Fault | None) -> None:
        """Let a fault strike when so many more bytes were sent; None disarms."""
        self._armed, self._left = fault, fault.at if fault else 0

    async def receive(self) -> bytes:
        """Give what has come; raises LineEnded. While it is stalled nothing comes any more but the end."""
        self._reading = True
        try:
            while data := bytes(await self._stream.receive_some(RECEIVE_BYTES)):
                if not self._stalled:
                    return data
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            self._reading = False
        self._over.set()
        raise LineEnded

    async def send(self, data: bytes) -> None:
        """Send all of it, or what the armed fault lets through; raises LineEnded."""
        fault = self._armed
        if fault is None:
            await self._out(data)
            return
        whole, rest = data[: self._left], data[self._left :]
        self._left -= len(whole)
        await self._out(whole)
        if fault.kind is Kind.TRICKLE:
            for at in range(0, len(rest), TRICKLE_BYTES):
                await self._out(rest[at : at + TRICKLE_BYTES])
                await trio.sleep(fault.seconds)
        elif rest:
            await self.suffer(fault)

    async def suffer(self, fault: Fault) -> None:
        """End as the fault says; raises LineEnded."""
        if fault.kind is Kind.STALL:
            self._stalled = True
            await (self._over.wait() if self._reading else self.receive())
            raise LineEnded
        if fault.kind is Kind.GARBAGE:
            await self._out(fault.garbage())
        self.close(reset=fault.kind is not Kind.CUT)
        raise LineEnded

    def close(self, *, reset: bool = False) -> None:
        """Close, by an RST where it is a socket."""
        self._over.set()
        if isinstance(self._stream, trio.SocketStream):
            is_open = self._stream.socket.fileno() != -1  # of two requests on it both may break it off
            if reset and is_open:
                self._stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._stream.socket.close()
        else:
            self._stream.send_stream.close()
            self._stream.receive_stream.close()

    async def _out(self, data: bytes) -> None:
        if self._stalled:
            await self._over.wait()
            raise LineEnded
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise LineEnded from None
