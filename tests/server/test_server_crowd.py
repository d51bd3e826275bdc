"""Beside hundreds of idle, slow and stalled connections honest uploads go through; `tools/bench crowd` times it."""

import trio

from tests.support.crowd import Crowd, Sizes
from tests.support.sink_server import sink_process

SIZES = Sizes(idle=500, slow=100, stalled=50)


async def test_an_upload_beside_a_crowd() -> None:
    async with sink_process("patient") as server:
        held = await trio.to_thread.run_sync(Crowd, server.port, SIZES, b"/large")
        try:
            while (await server.counters())["open"] <= SIZES.total:
                await trio.lowlevel.checkpoint()
            async with trio.open_nursery() as nursery:
                for _ in range(4):
                    nursery.start_soon(server.upload, 20_000_000)
            counted = await server.settle(beside=SIZES.total)
            assert counted["open"] == SIZES.total + 1
            assert held.staying == SIZES.total
            assert (counted["refused"], counted["failed"]) == (0, 0)
        finally:
            await trio.to_thread.run_sync(held.close)
        assert (await server.settle())["failed"] == 0
