"""Thousands of connections with damaged octets, thrown at a live server in a process of its own.

What may live here: the throwing, and what must hold after it; what is thrown is each test's. The process lives, nothing
in it fails, what it held comes back, and honest requests are answered all the time. `EDGED_FUZZ_CONNECTIONS=200000`
makes it longer, `EDGED_FUZZ_SEED=1` another run; both are printed, which pytest shows of a failure.
"""

import os
import random
import socket
import struct
from collections.abc import Callable
from enum import Enum, auto
from itertools import pairwise
from typing import Protocol

import trio

from tests.support.server_kit import read_all
from tests.support.sink_server import sink_process

CONNECTIONS = int(os.environ.get("EDGED_FUZZ_CONNECTIONS", "3000"))
SEED = int(os.environ.get("EDGED_FUZZ_SEED", "0"))
SLICES = 20
AT_ONCE = 40
MOST_CUTS = 4
PATIENCE_S = 1.0
"""Of a client that waits for the end of its connection."""

HONEST_S = 20.0
"""Within which an honest request is served, whatever is thrown beside it."""

GROWN_MIB = 16.0
"""What a process may have more after the second half of the connections than after the first."""

SETTINGS = b"\x04"
"""The kind, in its fourth octet, of the frame that an answer in HTTP/2 begins with."""


class Ending(Enum):
    """How a client ends."""

    RESET = auto()
    CLOSE = auto()
    HALF = auto()  # it sends no more, and reads
    PATIENT = auto()  # it waits for the server to end


ENDINGS = [Ending.RESET] * 2 + [Ending.CLOSE] * 2 + [Ending.HALF] * 5 + [Ending.PATIENT]
RESET = struct.pack("ii", 1, 0)

Damage = Callable[[random.Random], bytes]
"""Makes what one connection sends."""


class Victim(Protocol):
    """A server in a process of its own."""

    @property
    def port(self) -> int:
        """Of this machine."""
        ...

    @property
    def resident_mib(self) -> float:
        """The memory that it has for itself."""
        ...

    async def ask_honestly(self) -> None:
        """Make a request that must be served."""
        ...


async def require_unhurt(damage: Damage, *answers: bytes) -> None:
    """Throw at a server with the `sink`, and require what must hold; `answers`: see `throw_at`."""
    async with sink_process() as server:
        await throw_at(server, damage, *answers, count=CONNECTIONS)
        counted = await server.settle()
        assert counted["failed"] == 0, counted
        assert counted["malformed"] > CONNECTIONS // 10, counted
        assert server.descriptors < AT_ONCE, server.descriptors


async def throw_at(server: Victim, damage: Damage, *answers: bytes, count: int) -> None:
    """Throw so many connections, and require that in each slice of them honest requests are served, each in time.

    An answer begins with one of `answers`, or is in HTTP/2; the second half must not need more memory than the first.
    """
    print(f"EDGED_FUZZ_CONNECTIONS={CONNECTIONS} EDGED_FUZZ_SEED={SEED}")
    random_, honest, resident_mib = random.Random(SEED), Honest(server), list[float]()
    left = iter(range(count))

    async def throw_some() -> None:
        for number in left:
            if number % max(1, count // SLICES) == 0:
                await honest.wait_served()
                resident_mib.append(server.resident_mib)
            seen = await _throw(server.port, damage(random_), random_)
            assert not seen or seen.startswith(answers) or seen[3:4] == SETTINGS, seen[:100]

    async with trio.open_nursery() as asking:
        asking.start_soon(honest.ask_on)
        async with trio.open_nursery() as throwing:
            for _ in range(AT_ONCE):
                throwing.start_soon(throw_some)
        await honest.wait_served()
        asking.cancel_scope.cancel()
    grown_mib = server.resident_mib - resident_mib[SLICES // 2]
    assert grown_mib < GROWN_MIB, resident_mib


class Honest:
    """A client that must be served, again and again."""

    def __init__(self, server: Victim) -> None:
        self._server = server
        self._served = 0
        self._again = trio.lowlevel.ParkingLot()

    async def ask_on(self) -> None:
        """Ask for ever; raises TooSlowError, or what else came of it."""
        while True:
            with trio.fail_after(HONEST_S):
                await self._server.ask_honestly()
            self._served += 1
            self._again.unpark_all()

    async def wait_served(self) -> None:
        """Until a request is served that has begun since."""
        enough = self._served + 2
        while self._served < enough:
            await self._again.park()


async def _throw(port: int, octets: bytes, random_: random.Random) -> bytes:
    """One connection: octets in some pieces, then one of the ways to end; what was answered, as far as it was read."""
    cuts = sorted(random_.randrange(len(octets) + 1) for _ in range(random_.randrange(MOST_CUTS)))
    ending = random_.choice(ENDINGS)
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        try:
            for begin, end in pairwise([0, *cuts, len(octets)]):
                await stream.send_all(octets[begin:end])
                await trio.lowlevel.checkpoint()
            if ending is Ending.RESET:
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            elif ending is Ending.HALF:
                await stream.send_eof()
            if ending in {Ending.HALF, Ending.PATIENT}:
                with trio.move_on_after(PATIENCE_S):
                    return await read_all(stream)
        except trio.BrokenResourceError:
            pass
    return b""
