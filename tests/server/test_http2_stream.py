"""One HTTP/2 stream on its own: an answer that went out whole has gone out, whatever the client does next."""

import socket
from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing

from edged.server.http2_stream import Stream
from edged.server.inbox import Inbox
from edged.server.limits import DEFAULT
from edged.server.wire import Disconnected, Wire


@pytest.fixture
async def stream() -> AsyncIterator[Stream]:
    ours, theirs = socket.socketpair()
    with theirs:
        async with trio.SocketStream(trio.socket.from_stdlib_socket(ours)) as line:
            yield Stream(1, Inbox(), DEFAULT, Wire(line, write_s=60.0), safe=True)


async def test_a_client_that_leaves_with_the_whole_answer_has_had_it(stream: Stream) -> None:
    ended = trio.Event()

    async def application() -> None:
        with stream.scope:
            await stream.wait_ended()
            ended.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(application)
        await trio.testing.wait_all_tasks_blocked()
        stream.taken(0, last=True, end_bytes=0)
        stream.leave()
    assert ended.is_set()
    await stream.wait_ended()


async def test_a_client_that_leaves_before_has_not(stream: Stream) -> None:
    stream.leave()
    with pytest.raises(Disconnected):
        await stream.wait_ended()
    assert stream.scope.cancel_called
