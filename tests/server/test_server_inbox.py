"""The inbox and the window pools: the small parts, without sockets."""

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from edged.server.inbox import MESSAGE_BYTES, PIECE_BYTES, ROOM_BYTES, Inbox, Message
from edged.server.limits import Limits
from edged.server.pace import Moved, Pace


def piece(body: bytes, *, more: bool = True) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


END = {"type": "http.disconnect"}


@given(st.lists(st.binary(max_size=9000), max_size=20), st.booleans())
def test_what_is_put_comes_out_in_order_and_in_fewer_pieces(pieces: list[bytes], complete: bool) -> None:
    async def run() -> None:
        inbox = Inbox(stall_s=1)
        taken: list[int] = []
        inbox.on_taken = taken.append
        for body in pieces:
            inbox.put_nowait(piece(body))
        await inbox.put(piece(b"", more=False) if complete else END)
        body, messages = b"", 0
        while (message := await inbox.receive()) != END:
            body += message["body"]
            messages += 1
            if not message["more_body"]:
                break
        assert body == b"".join(pieces)
        assert (message == END) is not complete
        assert sum(taken) == len(body)
        assert inbox.queued_bytes == 0
        assert messages <= 1 + len(body) // PIECE_BYTES

    trio.run(run)


async def test_put_waits_for_room_and_the_end_does_not() -> None:
    inbox = Inbox(stall_s=1)
    await inbox.put(piece(bytes(ROOM_BYTES)))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(inbox.put, piece(b"late"))
        await trio.testing.wait_all_tasks_blocked()
        assert inbox.queued_bytes == ROOM_BYTES
        await inbox.put(END)  # and releases who waits: nothing is queued after the end
    assert len((await inbox.receive())["body"]) == ROOM_BYTES
    assert await inbox.receive() == END
    assert await inbox.receive() == END


async def test_single_octets_do_not_cost_a_message_each() -> None:
    inbox = Inbox(stall_s=1)
    for _ in range(5000):
        inbox.put_nowait(piece(b"x"))
    assert len(inbox._messages) <= 3
    assert inbox.drop() == 5000


async def test_a_body_that_stalls_ends(autojump_clock: trio.abc.Clock) -> None:
    inbox = Inbox(stall_s=60)

    await inbox.put(piece(b"x"))
    assert await inbox.receive() == piece(b"x")
    began = trio.current_time()
    assert await inbox.receive() == END
    assert trio.current_time() - began == pytest.approx(60)
    assert inbox.slow


async def test_a_body_below_its_floor_ends(autojump_clock: trio.abc.Clock) -> None:
    inbox = Inbox(stall_s=60, pace=Pace(Limits(pace_window_s=100, floor_bytes_per_s=1)))

    async def send_a_little() -> None:
        for _ in range(20):
            await trio.sleep(10)
            inbox.put_nowait(piece(b"xx"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send_a_little)
        began, pieces = trio.current_time(), 0
        while await inbox.receive() != END:
            pieces += 1
    assert inbox.slow
    assert (pieces, trio.current_time() - began) == (10, 200)


async def test_empty_messages_take_room_as_well() -> None:
    inbox, put = Inbox(), []

    async def put_for_ever() -> None:
        while True:
            await inbox.put({"type": "websocket.receive", "bytes": b""})
            put.append(1)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(put_for_ever)
        await trio.testing.wait_all_tasks_blocked()
        assert len(put) == ROOM_BYTES // MESSAGE_BYTES
        await inbox.receive()
        await trio.testing.wait_all_tasks_blocked()
        assert len(put) == ROOM_BYTES // MESSAGE_BYTES + 1
        nursery.cancel_scope.cancel()


async def send_slowly(inbox: Inbox) -> None:
    """A hundred octets every ten seconds, twenty times."""
    for _ in range(20):
        await trio.sleep(10)
        inbox.put_nowait(piece(bytes(100)))


async def test_a_body_may_wait_while_another_one_comes_on_its_line(autojump_clock: trio.abc.Clock) -> None:
    limits, moved = Limits(pace_window_s=100, floor_bytes_per_s=1), Moved()
    first, second = (Inbox(stall_s=30, pace=Pace(limits, moved)) for _ in range(2))

    async def send() -> None:
        await send_slowly(first)
        await send_slowly(second)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        began, pieces = trio.current_time(), 0
        while await second.receive() != END:
            pieces += 1
        assert (pieces, trio.current_time() - began) == (20, 430)  # and then nothing comes: that is a stall


async def test_all_bodies_of_a_line_have_one_floor(autojump_clock: trio.abc.Clock) -> None:
    limits, moved = Limits(pace_window_s=100, floor_bytes_per_s=20), Moved()
    first, second = (Inbox(stall_s=30, pace=Pace(limits, moved)) for _ in range(2))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send_slowly, first)
        assert await second.receive() == END
        nursery.cancel_scope.cancel()
    assert second.slow


async def test_a_complete_body_may_be_waited_after_for_ever(autojump_clock: trio.abc.Clock) -> None:
    inbox = Inbox(stall_s=60)
    await inbox.put(piece(b"x", more=False))
    await inbox.receive()
    with trio.move_on_after(10_000) as patience:
        await inbox.receive()
    assert patience.cancelled_caught
