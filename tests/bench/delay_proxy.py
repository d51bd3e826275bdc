"""A long way in between: `python -m tests.bench.delay_proxy PORT ONE_WAY_MS MB_PER_S` prints its port.

Each way is a link that all connections share: it takes so many bytes a second, and what it took comes out so much
later. It knows nothing of TCP's own windows: what is measured through it is what a sender makes of time and bandwidth.
At most some 64 MiB are on their way on a connection; a sender is held up then, and while the link is full.
"""

import sys
from dataclasses import dataclass, field
from functools import partial

import trio

PIECE_BYTES = 64 << 10
MOST_PIECES = 1024
FULL_S = 0.005
"""So far ahead a link is booked before senders wait: timers are not exact."""


@dataclass
class Link:
    """One way: its bandwidth in bytes per second, and how long it is."""

    bytes_per_s: float
    delay_s: float
    free_s: float = 0.0
    turn: trio.Lock = field(default_factory=trio.Lock)

    async def admit(self) -> None:
        """Wait until the link has room, whoever came first first."""
        async with self.turn:
            await trio.sleep_until(self.free_s - FULL_S)

    def enter(self, size: int) -> float:
        """Put bytes on the link; return when they come out."""
        self.free_s = max(self.free_s, trio.current_time()) + size / self.bytes_per_s
        return self.free_s + self.delay_s


async def main(port: int, delay_s: float, bytes_per_s: float) -> None:
    """Serve until killed."""
    there, back = Link(bytes_per_s, delay_s), Link(bytes_per_s, delay_s)
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    print(listeners[0].socket.getsockname()[1], flush=True)
    await trio.serve_listeners(partial(_connect, port=port, there=there, back=back), listeners)


async def _connect(near: trio.SocketStream, port: int, there: Link, back: Link) -> None:
    far = await trio.open_tcp_stream("127.0.0.1", port)
    async with near, far, trio.open_nursery() as nursery:
        nursery.start_soon(_carry, near, far, there)
        nursery.start_soon(_carry, far, near, back)


async def _carry(source: trio.SocketStream, to: trio.SocketStream, link: Link) -> None:
    """Carry one way until its end, which is carried too."""
    into, out = trio.open_memory_channel[tuple[float, bytes]](MOST_PIECES)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_deliver, out, to)
        async with into:
            while data := await _receive(source):
                await link.admit()
                await into.send((link.enter(len(data)), data))


async def _receive(source: trio.SocketStream) -> bytes:
    try:
        return bytes(await source.receive_some(PIECE_BYTES))
    except trio.BrokenResourceError:
        return b""


async def _deliver(out: trio.MemoryReceiveChannel[tuple[float, bytes]], to: trio.SocketStream) -> None:
    try:
        async for due_s, data in out:
            await trio.sleep_until(due_s)
            await to.send_all(data)
        await to.send_eof()
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        await to.aclose()


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]), float(sys.argv[2]) / 1000, float(sys.argv[3]) * 1e6)
