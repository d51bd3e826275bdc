"""A network between followers and their box that can be cut: a proxy of TCP, whose far end may change.

A cut is a reset at both ends; what was on its way is lost.
"""

import random
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import trio

GONE = (trio.BrokenResourceError, trio.ClosedResourceError, OSError)
RESET = struct.pack("ii", 1, 0)


class Proxy:
    """Carries connections to `port`, while there is one."""

    def __init__(self) -> None:
        self.port: int | None = None
        self.url = ""
        self._open: list[tuple[trio.SocketStream, trio.SocketStream]] = []

    def cut(self, chance: random.Random) -> bool:
        """Cut one of the connections; whether there was any."""
        if not self._open:
            return False
        for end in chance.choice(self._open):
            with suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            end.socket.close()
        return True

    async def serve(self, near: trio.SocketStream) -> None:
        """Carry one connection."""
        async with near:
            try:
                far = await trio.open_tcp_stream("127.0.0.1", self.port or 1)
            except OSError:
                return
            ends = near, far
            self._open.append(ends)
            async with far, trio.open_nursery() as nursery:
                nursery.start_soon(self._carry, near, far, nursery.cancel_scope)
                nursery.start_soon(self._carry, far, near, nursery.cancel_scope)
            self._open.remove(ends)

    async def _carry(self, source: trio.SocketStream, sink: trio.SocketStream, scope: trio.CancelScope) -> None:
        with suppress(*GONE):
            while data := await source.receive_some():
                await sink.send_all(data)
            await sink.send_eof()
            return
        scope.cancel()


@asynccontextmanager
async def proxy() -> AsyncIterator[Proxy]:
    """A proxy for the block."""
    found = Proxy()
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, found.serve, 0)
        found.url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        yield found
        nursery.cancel_scope.cancel()
