"""Room in memory for what is worked with as a whole: bodies that are parsed, answers that are written at once.

What may live here: counting, waiting, and whose turn it is; nothing of what is held. Strategy: there is one room for
the windows of decoders, one for what comes and one for what goes. Who needs room takes all of it at once and holds none
of that kind while it waits; who has a window waits at most for what comes, and that for what goes, and that for clients
only, so no two wait for one another. Whoever holds room and keeps it waiting for its client for long is cut off when
another wants it. What is as small as a piece of a stream is not counted: the number of requests bounds it.

Trees are many times as large as the text they are read from or written to, so one is in memory at a time: `alone`.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Protocol, TypeVar

import trio

T = TypeVar("T")

ROOM_BYTES = 16 << 20
"""Of each of the two: twice the largest request, and the largest answer, 20,000 failures in XML, once."""

WINDOWS_BYTES = 16 << 20
"""Of what decoders look back upon: two zstd bodies at once, or one that was coded twice."""

SMALL_BYTES = 64 << 10

LARGE = 500
"""Items from which on writing or reading a tree of them takes more than some 10 ms."""

WAIT_S = 15.0
WAITING = 16
"""How many may wait for room; each keeps a turn."""

HELD_S = 10.0
"""From then on, who holds room and waits for its client gives way."""

LOOK_AGAIN_S = 0.5


class NoRoom(Exception):
    """There was none in time."""


class Client(Protocol):
    """Whom a request is waited for."""

    @property
    def waits_since(self) -> float | None:
        """Since when its request waits for it, None while it does not."""
        ...

    def cut(self) -> None:
        """End its request."""
        ...


class Room:
    """A number of bytes, first come first served."""

    def __init__(self, total: int = ROOM_BYTES) -> None:
        self.total = total
        self.free = total
        self._holders: dict[Share, None] = {}
        self._line = trio.Lock()
        self._freed = trio.Event()

    async def take(self, share: "Share", amount: int) -> None:
        """Take room for a share that has none; raises NoRoom."""
        if self._line.statistics().tasks_waiting >= WAITING:
            raise NoRoom
        with trio.move_on_after(WAIT_S):
            async with self._line:
                await self._wait_free(amount)
                self.free -= amount
                self._holders[share] = None
                share.begin(amount)
        if not share.bytes:
            raise NoRoom

    def give_back(self, share: "Share", amount: int) -> None:
        """Take back room of a share that keeps some or none."""
        self.free += amount
        if not share.bytes:
            self._holders.pop(share, None)
        self._freed.set()

    async def _wait_free(self, amount: int) -> None:
        while self.free < amount:
            self._cut_oldest(trio.current_time() - HELD_S)
            self._freed = trio.Event()
            with trio.move_on_after(LOOK_AGAIN_S):
                await self._freed.wait()

    def _cut_oldest(self, before: float) -> None:
        """End the first of those who took their room before a time and wait for their client."""
        for share in self._holders:
            if share.since <= before and share.client is not None and share.client.waits_since is not None:
                share.client.cut()
                return


class Share:
    """What one request holds of a room."""

    __slots__ = ("_room", "bytes", "client", "since")

    def __init__(self, room: Room, client: Client | None) -> None:
        self._room = room
        self.client = client
        self.bytes = 0
        self.since = 0.0

    async def hold(self, amount: int) -> None:
        """Hold `amount` bytes, as many as there are at most, while it holds none; raises NoRoom."""
        assert not self.bytes, "who waits for room holds none"
        if amount > SMALL_BYTES:
            await self._room.take(self, min(amount, self._room.total))

    def begin(self, amount: int) -> None:
        """The room gives so many bytes now."""
        self.bytes = amount
        self.since = trio.current_time()

    def keep(self, amount: int) -> None:
        """Give back what is held beyond `amount` bytes."""
        spare = self.bytes - amount
        if spare > 0:
            self.bytes = amount
            self._room.give_back(self, spare)


class Rooms:
    """The rooms of one service."""

    def __init__(self) -> None:
        self.coming = Room()
        self.going = Room()
        self.windows = Room(WINDOWS_BYTES)
        self.line = trio.Lock()


class Memory:
    """What one request may hold: of its body, of its answer, and whether it works alone."""

    __slots__ = ("_line", "coming", "going", "windows")

    def __init__(self, rooms: Rooms, client: Client | None = None) -> None:
        self.coming = Share(rooms.coming, client)
        self.going = Share(rooms.going, client)
        self.windows = Share(rooms.windows, client)
        self._line = rooms.line

    @asynccontextmanager
    async def alone(self, *, large: bool) -> AsyncIterator[Callable[[Callable[[], T]], Awaitable[T]]]:
        """Have what does work on trees: of a large one in a worker thread, while no other request has a large one."""
        if not large:
            yield _here
            return
        async with self._line:
            yield _apart

    def release(self) -> None:
        """The request is over."""
        self.coming.keep(0)
        self.going.keep(0)
        self.windows.keep(0)


async def _here(work: Callable[[], T]) -> T:
    return work()


async def _apart(work: Callable[[], T]) -> T:
    return await trio.to_thread.run_sync(work)
