"""HTTP/2 against scripted peers: multiplexing, windows, GOAWAY, early and long answers."""

import contextlib

import h2.errors
import h2.events
import h2.exceptions
import pytest
import trio
from h2.settings import SettingCodes
from hyperframe.frame import GoAwayFrame, PingFrame

from edged.upstream.connection import Client, ClientSettings, HttpChoice, open_client
from edged.upstream.dial import Timeouts
from edged.upstream.http2_protocol import STREAM_WINDOW_BYTES
from edged.upstream.message import ANSWER_LIMIT_BYTES, NoAnswer
from tests.support.upstream_body import GET, post
from tests.support.upstream_peer import Http2Wire, Wire, listen

TWO = ClientSettings(http=HttpChoice.TWO)


async def serve(wire: Wire) -> None:
    """Answer every request with the size of its body."""
    peer = Http2Wire(wire)
    await peer.hello()
    while True:
        stream_id, _, size = await peer.request()
        await peer.answer(stream_id, body=b"%d" % size)


async def test_a_request_and_its_answer() -> None:
    heads: list[dict[str, str]] = []

    async def script(wire: Wire) -> None:
        peer = Http2Wire(wire)
        await peer.hello()
        stream_id, head, _ = await peer.request()
        heads.append(head)
        await peer.answer(stream_id, 202, b"ok")
        await wire.closed()

    async with listen(script) as peer, open_client(peer.endpoint, TWO) as client:
        response = await client.request(post(3))
        assert client.http_version == "2"
    assert (response.status, response.body, response.truncated, response.http_version) == (202, b"ok", False, "2")
    assert response.headers == (("content-length", "2"),)
    assert heads == [
        {
            ":method": "POST",
            ":scheme": "http",
            ":authority": f"localhost:{peer.port}",
            ":path": "/dicom-web/studies",
            "content-type": "text/plain",
            "content-length": "3",
        }
    ]


async def test_many_requests_share_one_connection() -> None:
    sizes = [0, 1, 16_383, 16_384, 65_535, 65_536, 1_000_000, 3_000_000]

    async def ask(client: Client, size: int) -> None:
        assert (await client.request(post(size))).body == b"%d" % size

    async def script(wire: Wire) -> None:
        peer = Http2Wire(wire)
        await peer.hello()
        bodies: dict[int, int] = {}
        while True:
            event = await peer.until(h2.events.Event)
            if isinstance(event, h2.events.DataReceived):
                bodies[event.stream_id] = bodies.get(event.stream_id, 0) + len(event.data)
                peer.protocol.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                await peer.flush()
            if isinstance(event, h2.events.StreamEnded):
                await peer.answer(event.stream_id, body=b"%d" % bodies.get(event.stream_id, 0))

    async with listen(script) as peer, open_client(peer.endpoint, TWO) as client:
        async with trio.open_nursery() as nursery:
            for size in sizes * 3:
                nursery.start_soon(ask, client, size)
        assert client.connections_opened == peer.accepted == 1


async def test_the_peers_limit_of_streams_is_kept() -> None:
    most = 0

    async def script(wire: Wire) -> None:
        nonlocal most
        peer = Http2Wire(wire, {SettingCodes.MAX_CONCURRENT_STREAMS: 2})
        await peer.hello()
        running: list[int] = []
        while True:
            event = await peer.until(h2.events.StreamEnded)
            running.append(event.stream_id)
            most = max(most, len(running))
            if len(running) == 2:
                while running:
                    await peer.answer(running.pop())

    async with listen(script) as peer, open_client(peer.endpoint, TWO) as client, trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(client.request, GET)
    assert most == 2


async def test_windows_and_frame_sizes_follow_the_peers_settings() -> None:
    sizes: list[int] = []

    async def script(wire: Wire) -> None:
        peer = Http2Wire(wire, {SettingCodes.INITIAL_WINDOW_SIZE: 10, SettingCodes.MAX_FRAME_SIZE: 50_000})
        await peer.hello()
        head = await peer.until(h2.events.RequestReceived)
        sizes.append(len((await peer.until(h2.events.DataReceived)).data))
        peer.protocol.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 60_000})
        await peer.flush()
        sizes.append(len((await peer.until(h2.events.DataReceived)).data))
        await peer.until(h2.events.StreamEnded)
        await peer.answer(head.stream_id)
        await wire.closed()

    async with listen(script) as peer, open_client(peer.endpoint, TWO) as client:
        assert (await client.request(post(60_000))).status == 200
    assert sizes == [10, 50_000]


async def test_a_ping_is_answered_while_an_answer_is_awaited() -> None:
    async def script(wire: Wire) -> None:
        peer = Http2Wire(wire)
        await peer.hello()
        stream_id, _, _ = await peer.request()
        await wire.send(PingFrame(0, b"12345678").serialize())
        peer.protocol.ping(b"abcdefgh")
        await peer.flush()
        ack = await peer.until(h2.events.PingAckReceived)
        await peer.answer(stream_id, body=ack.ping_data)
        await wire.closed()

    async with listen(script) as peer, open_client(peer.endpoint, TWO) as client:
        assert (await client.request(GET)).body == b"12345678"


async def test_a_large_answer_needs_no_patience_with_windows() -> None:
    async def script(wire: Wire) -> None:
        peer = Http2Wire(wire)
        await peer.hello()
        for length in (ANSWER_LIMIT_BYTES, ANSWER_LIMIT_BYTES + 1):
            size = length
            stream_id, _, _ = await peer.request()
            peer.protocol.send_headers(stream_id, [(":status", "200")])
            while size:
                while not (window := peer.protocol.local_flow_control_window(stream_id)):
                    await peer.until(h2.events.WindowUpdated)
                step = min(size, window, peer.protocol.max_outbound_frame_size)
                peer.protocol.send_data(stream_id, bytes(step))
                await peer.flush()
                size -= step
            peer.protocol.end_stream(stream_id)
            await peer.flush()
        await wire.closed()

    async with listen(script) as peer, open_client(peer.endpoint, TWO) as client:
        whole, cut = await client.request(GET), await client.request(GET)
    assert [whole.truncated, cut.truncated] == [False, True]
    assert len(whole.body) == len(cut.body) == ANSWER_LIMIT_BYTES > STREAM_WINDOW_BYTES


async def test_an_endless_answer_is_reset() -> None:
    async def script(wire: Wire) -> None:
        peer = Http2Wire(wire)
        await peer.hello()
        stream_id, _, _ = await peer.request()
        peer.protocol.send_headers(stream_id, [(":status", "200")])
        with contextlib.suppress(h2.exceptions.StreamClosedError):
            event: h2.events.Event | None = None
            while not isinstance(event, h2.events.StreamReset):
                if window := peer.protocol.local_flow_control_window(stream_id):
                    peer.protocol.send_data(stream_id, bytes(min(window, 16_384)))
                    await peer.flush()
                else:
                    event = await peer.until(h2.events.Event)
        stream_id, _, _ = await peer.request()
        await peer.answer(stream_id, 204)
        await wire.closed()

    async with listen(script) as peer, open_client(peer.endpoint, TWO) as client:
        assert (await client.request(GET)).truncated
        assert (await client.request(GET)).status == 204
        assert peer.accepted == 1


@pytest.mark.parametrize("after", ["nothing", "reset", "credit"])
async def test_an_early_answer_ends_the_upload_and_not_the_connection(after: str) -> None:
    async def script(wire: Wire) -> None:
        peer = Http2Wire(wire)
        await peer.hello()
        head = await peer.until(h2.events.RequestReceived)
        peer.protocol.send_headers(head.stream_id, [(":status", "413")])
        peer.protocol.send_data(head.stream_id, b"too large", end_stream=True)
        if after == "reset":
            peer.protocol.reset_stream(head.stream_id, h2.errors.ErrorCodes.NO_ERROR)
        if after == "credit":
            peer.protocol.increment_flow_control_window(1 << 24)
        await peer.flush()
        if after != "reset":
            assert (await peer.until(h2.events.StreamReset)).error_code == h2.errors.ErrorCodes.CANCEL
        peer.protocol.increment_flow_control_window(1 << 20)
        await peer.flush()
        stream_id, _, size = await peer.request()
        await peer.answer(stream_id, body=b"%d" % size)
        await wire.closed()

    async with listen(script) as peer, open_client(peer.endpoint, TWO) as client:
        response = await client.request(post(64 << 20))
        assert (response.status, response.body) == (413, b"too large")
        assert (await client.request(post(300_000))).body == b"300000"
        assert peer.accepted == 1


async def test_interim_responses_are_skipped() -> None:
    async def script(wire: Wire) -> None:
        peer = Http2Wire(wire)
        await peer.hello()
        stream_id, _, _ = await peer.request()
        peer.protocol.send_headers(stream_id, [(":status", "103")])
        await peer.answer(stream_id, 200, b"x")
        await wire.closed()

    async with listen(script) as peer, open_client(peer.endpoint, TWO) as client:
        assert (await client.request(GET)).status == 200


async def test_goaway_lets_the_streams_up_to_its_last_finish() -> None:
    first_seen, second_done = trio.Event(), trio.Event()

    async def script(wire: Wire) -> None:
        if wire.number > 1:
            await serve(wire)
        peer = Http2Wire(wire)
        await peer.hello()
        first, _, _ = await peer.request()
        first_seen.set()
        await peer.request()
        await wire.send(GoAwayFrame(0, last_stream_id=first).serialize())
        await second_done.wait()
        await peer.answer(first, body=b"in time")
        await wire.closed()

    async def ask_first(client: Client) -> None:
        assert (await client.request(GET)).body == b"in time"

    async with listen(script) as peer, open_client(peer.endpoint, TWO) as client:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask_first, client)
            await first_seen.wait()
            with pytest.raises(NoAnswer, match="NO_ERROR") as caught:
                await client.request(GET)
            assert caught.value.not_processed
            assert (await client.request(post(5))).body == b"5"
            second_done.set()
        assert peer.accepted == 2


async def test_goaway_in_two_steps_lets_an_upload_finish() -> None:
    async def script(wire: Wire) -> None:
        peer = Http2Wire(wire)
        await peer.hello()
        head = await peer.until(h2.events.RequestReceived)
        await wire.send(GoAwayFrame(0, last_stream_id=2**31 - 1).serialize())
        await wire.send(GoAwayFrame(0, last_stream_id=head.stream_id).serialize())
        size = 0
        while size < 1_000_000:
            data = await peer.until(h2.events.DataReceived)
            peer.protocol.acknowledge_received_data(data.flow_controlled_length, data.stream_id)
            await peer.flush()
            size += len(data.data)
        await peer.answer(head.stream_id, body=b"whole")
        await wire.closed()

    async with listen(script) as peer, open_client(peer.endpoint, TWO) as client:
        for accepted in (1, 2):
            assert (await client.request(post(1_000_000))).body == b"whole"
            assert peer.accepted == accepted


@pytest.mark.parametrize("farewell", ["close", "reset", "goaway"])
async def test_a_connection_that_ended_while_idle_is_replaced(farewell: str) -> None:
    said = trio.Event()

    async def script(wire: Wire) -> None:
        peer = Http2Wire(wire)
        await peer.hello()
        stream_id, _, _ = await peer.request()
        await peer.answer(stream_id)
        if wire.number == 1:
            if farewell == "goaway":
                await wire.send(GoAwayFrame(0, last_stream_id=stream_id).serialize())
            elif farewell == "reset":
                wire.reset()
            else:
                wire.close()
            said.set()
        if farewell == "goaway" or wire.number > 1:
            await wire.closed()

    async with listen(script) as peer, open_client(peer.endpoint, TWO) as client:
        await client.request(GET)
        await said.wait()
        assert (await client.request(GET)).status == 200
        assert peer.accepted == 2


async def test_an_old_idle_connection_is_replaced() -> None:
    settings = ClientSettings(http=HttpChoice.TWO, timeouts=Timeouts(idle_s=-1))
    async with listen(serve) as peer, open_client(peer.endpoint, settings) as client:
        for _ in range(3):
            await client.request(post(10))
        assert peer.accepted == 3
