"""The inbox, the window pools and the quiet codec: the small parts, without sockets."""

import h2.config
import h2.connection
import h2.events
import pytest
import trio
from hyperframe.frame import DataFrame
from hypothesis import given
from hypothesis import strategies as st

from edged.server.http2_codec import Codec
from edged.server.inbox import PIECE_BYTES, ROOM_BYTES, Inbox, Message
from edged.server.limits import Limits
from edged.server.windows import WindowPool


def piece(body: bytes, *, more: bool = True) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


END = {"type": "http.disconnect"}


@given(st.lists(st.binary(max_size=9000), max_size=20), st.booleans())
def test_what_is_put_comes_out_in_order_and_in_fewer_pieces(pieces: list[bytes], complete: bool) -> None:
    async def run() -> None:
        inbox = Inbox(stall_s=1, room_bytes=1 << 20)
        taken: list[int] = []
        inbox.on_taken = taken.append
        for body in pieces:
            await inbox.put(piece(body))
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
    inbox = Inbox(stall_s=1, room_bytes=1 << 20)
    for _ in range(5000):
        await inbox.put(piece(b"x"))
    assert len(inbox._messages) <= 3
    assert inbox.drop() == 5000


async def test_a_body_that_stalls_ends(autojump_clock: trio.abc.Clock) -> None:
    inbox = Inbox(stall_s=60)

    async def stall() -> None:
        await inbox.put(END)

    inbox.on_stall = stall
    await inbox.put(piece(b"x"))
    assert await inbox.receive() == piece(b"x")
    began = trio.current_time()
    assert await inbox.receive() == END
    assert trio.current_time() - began == pytest.approx(60)


async def test_a_complete_body_may_be_waited_after_for_ever(autojump_clock: trio.abc.Clock) -> None:
    inbox = Inbox(stall_s=60)
    await inbox.put(piece(b"x", more=False))
    await inbox.receive()
    with trio.move_on_after(10_000) as patience:
        await inbox.receive()
    assert patience.cancelled_caught


@given(st.lists(st.integers(0, 60)), st.integers(0, 100), st.integers(0, 100))
def test_pools_lend_no_more_than_they_have(sizes: list[int], total: int, shared: int) -> None:
    parent = WindowPool(shared)
    pools = [WindowPool(total, parent=parent) for _ in range(3)]
    lent = []
    for number, size in enumerate(sizes):
        if pools[number % 3].take(size):
            lent.append((number % 3, size))
        assert parent.free_bytes >= 0
        assert all(pool.free_bytes >= 0 for pool in pools)
    assert sum(size for _, size in lent) == shared - parent.free_bytes
    for number, size in lent:
        pools[number].give(size)
    assert parent.free_bytes == shared
    assert all(pool.free_bytes == total for pool in pools)


def codecs() -> tuple[Codec, h2.connection.H2Connection]:
    client = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding=None))
    client.initiate_connection()
    server = Codec(Limits())
    server.begin()
    server.receive_data(client.data_to_send())
    client.receive_data(server.data_to_send())
    client.send_headers(1, [(b":method", b"POST"), (b":path", b"/"), (b":scheme", b"http"), (b":authority", b"box")])
    return server, client


def test_data_frames_are_not_described(monkeypatch: pytest.MonkeyPatch) -> None:
    server, client = codecs()
    client.send_data(1, b"abc")

    def described(frame: DataFrame) -> bytes:
        raise AssertionError

    octets = client.data_to_send()
    monkeypatch.setattr(DataFrame, "serialize_body", described)
    events = server.receive_data(octets)
    assert [event.data for event in events if isinstance(event, h2.events.DataReceived)] == [b"abc"]


def test_the_end_can_be_announced_before_it_comes() -> None:
    server, client = codecs()
    server.receive_data(client.data_to_send())
    server.announce_end()
    assert server.unsent_bytes > 0
    assert not server.ended
    server.send_headers(1, [(b":status", b"200")], end_stream=True)
    events = client.receive_data(server.data_to_send()[:17])
    assert [event.last_stream_id for event in events if isinstance(event, h2.events.ConnectionTerminated)] == [1]
    server.close_connection()
    assert server.ended
