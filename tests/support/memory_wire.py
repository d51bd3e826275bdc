"""A wire without a socket: two ends in memory, so that a client can run in virtual time."""

from collections.abc import Awaitable, Callable

import trio
import trio.testing

from edged.upstream.dial import Connector
from edged.upstream.transport import Transport, Wire

Half = trio.StapledStream[trio.testing.MemorySendStream, trio.testing.MemoryReceiveStream]


class MemoryWire(Wire):
    """One end; what has come and was not read is kept here, so that it can be asked for."""

    def __init__(self, stream: Half) -> None:
        self._stream = stream

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        try:
            await self._stream.send_all(data)
        except trio.BrokenResourceError:
            self.send_failed = True

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        return await self._stream.receive_some(max_bytes)

    async def aclose(self) -> None:
        self.close()
        await trio.lowlevel.checkpoint()

    def has_unread(self) -> bool:
        return False  # a peer in memory says nothing unasked

    def close(self) -> None:
        self._stream.send_stream.close()
        self._stream.receive_stream.close()


def connector(nursery: trio.Nursery, serve: Callable[[Half], Awaitable[None]]) -> Connector:
    """Connect by giving one end to the client and the other to `serve`, in a task of its own."""

    async def connect(*_: object) -> Transport:
        await trio.lowlevel.checkpoint()
        near, far = trio.testing.memory_stream_pair()
        nursery.start_soon(serve, far)
        return Transport(MemoryWire(near))

    return connect
