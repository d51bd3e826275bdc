"""HTTP/2 when there is no answer: resets, deadlines, broken connections and bodies, cancellation."""

import h2.errors
import h2.events
import h2.exceptions
import pytest
import trio
from h2.settings import SettingCodes
from hyperframe.frame import PingFrame

from edged.telemetry.live import Phase
from edged.upstream import http2
from edged.upstream.connection import Client, ClientSettings, HttpChoice, open_client
from edged.upstream.dial import Timeouts
from edged.upstream.message import BodyLengthError, NoAnswer, Request
from tests.support.upstream_body import GET, Zeros, post
from tests.support.upstream_peer import Http2Wire, Script, Wire, listen

TWO = ClientSettings(http=HttpChoice.TWO)
SHORT = ClientSettings(http=HttpChoice.TWO, timeouts=Timeouts(send_s=0.2, answer_s=0.2, body_s=0.2))


async def serve(wire: Wire) -> None:
    """Answer every request with the size of its body."""
    peer = Http2Wire(wire)
    await peer.hello()
    while True:
        stream_id, _, size = await peer.request()
        await peer.answer(stream_id, body=b"%d" % size)


async def failure(script: Script, request: Request = GET, settings: ClientSettings = TWO) -> NoAnswer:
    async with listen(script) as peer, open_client(peer.endpoint, settings) as client:
        with pytest.raises(NoAnswer) as caught:
            await client.request(request)
        assert f"localhost:{peer.port}" in caught.value.text
        return caught.value


async def test_a_peer_that_allows_no_stream() -> None:
    async def script(wire: Wire) -> None:
        await Http2Wire(wire, {SettingCodes.MAX_CONCURRENT_STREAMS: 0}).hello()
        await wire.closed()

    error = await failure(script, GET, SHORT)
    assert (error.phase, error.not_processed) == (Phase.HTTP, True)


@pytest.mark.parametrize(
    ("code", "not_processed"),
    [
        (h2.errors.ErrorCodes.REFUSED_STREAM, True),
        (h2.errors.ErrorCodes.INTERNAL_ERROR, False),
        (h2.errors.ErrorCodes.NO_ERROR, False),
    ],
)
async def test_a_reset_stream(code: h2.errors.ErrorCodes, not_processed: bool) -> None:
    async def script(wire: Wire) -> None:
        peer = Http2Wire(wire)
        await peer.hello()
        head = await peer.until(h2.events.RequestReceived)
        peer.protocol.reset_stream(head.stream_id, code)
        await peer.flush()
        stream_id, _, _ = await peer.request()
        await peer.answer(stream_id)
        await wire.closed()

    async with listen(script) as peer, open_client(peer.endpoint, TWO) as client:
        with pytest.raises(NoAnswer, match=code.name) as caught:
            await client.request(post(1 << 20))
        assert (caught.value.not_processed, caught.value.http2) == (not_processed, True)
        assert (await client.request(GET)).status == 200
        assert peer.accepted == 1


@pytest.mark.parametrize("said", [b"HTTP/1.1 4OO Bad\r\n\r\n", b"", b"\0\0\0\4\0\0\0\0\1"])
async def test_a_peer_that_does_not_speak_http_2(said: bytes) -> None:
    async def script(wire: Wire) -> None:
        await wire.read_some()
        await wire.send(said)

    error = await failure(script, post(1 << 20))
    assert (error.phase, error.not_processed, error.sent_bytes) == (Phase.HTTP, True, 0)


async def test_deadline_for_the_settings() -> None:
    async def script(wire: Wire) -> None:
        await wire.closed()

    error = await failure(script, GET, ClientSettings(http=HttpChoice.TWO, timeouts=Timeouts(tls_s=0.2)))
    assert (error.phase, error.not_processed) == (Phase.HTTP, True)
    assert "no HTTP/2" in error.text


async def test_deadline_for_a_window() -> None:
    async def script(wire: Wire) -> None:
        peer = Http2Wire(wire)
        await peer.hello()
        await peer.until(h2.events.StreamEnded)

    error = await failure(script, post(1 << 20), SHORT)
    assert (error.phase, error.sent_bytes) == (Phase.BODY, 65_535)


async def test_deadline_for_sending() -> None:
    async def script(wire: Wire) -> None:
        peer = Http2Wire(wire, {SettingCodes.INITIAL_WINDOW_SIZE: 2**31 - 1})
        peer.protocol.initiate_connection()
        peer.protocol.increment_flow_control_window(2**30)
        await peer.flush()
        await trio.sleep_forever()

    error = await failure(script, post(64 << 20), SHORT)
    assert error.phase is Phase.BODY
    assert error.sent_bytes < 64 << 20


@pytest.mark.parametrize(("begun", "phase"), [(False, Phase.HTTP), (True, Phase.BODY)])
async def test_deadline_for_the_answer(begun: bool, phase: Phase) -> None:
    async def script(wire: Wire) -> None:
        peer = Http2Wire(wire)
        await peer.hello()
        stream_id, _, _ = await peer.request()
        if begun:
            peer.protocol.send_headers(stream_id, [(":status", "200")])
            await peer.flush()
        await trio.sleep_forever()

    error = await failure(script, post(10), SHORT)
    assert (error.phase, error.sent_bytes, error.not_processed) == (phase, 10, False)


@pytest.mark.parametrize("ending", ["close", "reset", "garbage", "wrong length"])
async def test_a_connection_that_breaks_fails_all_its_requests(ending: str) -> None:
    async def script(wire: Wire) -> None:
        peer = Http2Wire(wire)
        await peer.hello()
        heads = [await peer.until(h2.events.RequestReceived) for _ in range(5)]
        if ending == "reset":
            wire.reset()
        elif ending == "garbage":
            await wire.send(b"\xff" * 100)
        elif ending == "wrong length":
            peer.protocol.send_headers(heads[0].stream_id, [(":status", "200"), ("content-length", "9")])
            peer.protocol.send_data(heads[0].stream_id, b"short", end_stream=True)
            await peer.flush()
            await wire.closed()

    failures: list[NoAnswer] = []

    async def ask(client: Client) -> None:
        with pytest.raises(NoAnswer) as caught:
            await client.request(post(1 << 20))
        failures.append(caught.value)

    async with listen(script) as peer, open_client(peer.endpoint, TWO) as client, trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(ask, client)
    assert len(failures) == 5
    assert not any(error.not_processed for error in failures)


@pytest.mark.parametrize("where", ["sending", "waiting", "reading"])
async def test_a_cancelled_request_resets_its_stream_only(where: str) -> None:
    reached = trio.Event()

    async def script(wire: Wire) -> None:
        peer = Http2Wire(wire)
        await peer.hello()
        head = await peer.until(h2.events.RequestReceived)
        if where != "sending":
            await peer.until(h2.events.StreamEnded)
        if where == "reading":
            peer.protocol.send_headers(head.stream_id, [(":status", "200")])
            peer.protocol.send_data(head.stream_id, b"x" * 100)
            await peer.flush()
        reached.set()
        assert (await peer.until(h2.events.StreamReset)).error_code == h2.errors.ErrorCodes.CANCEL
        peer.protocol.increment_flow_control_window(1 << 20)
        await peer.flush()
        stream_id, _, size = await peer.request()
        await peer.answer(stream_id, body=b"%d" % size)
        await wire.closed()

    length = 1 << 20 if where == "sending" else 1000
    async with listen(script) as peer, open_client(peer.endpoint, TWO) as client:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.request, post(length))
            await reached.wait()
            nursery.cancel_scope.cancel()
        assert (await client.request(post(200_000))).body == b"200000"
        assert peer.accepted == 1


@pytest.mark.parametrize("given", [999, 1001])
async def test_a_body_that_breaks_its_word_resets_its_stream(given: int) -> None:
    async with listen(serve) as peer, open_client(peer.endpoint, TWO) as client:
        with pytest.raises(BodyLengthError):
            await client.request(Request("POST", "/", (), Zeros(1000, given=given)))


async def test_a_peer_that_asks_without_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http2, "QUEUE_BYTES", 1 << 10)  # less to fill

    async def script(wire: Wire) -> None:
        peer = Http2Wire(wire)
        await peer.hello()
        await peer.until(h2.events.RequestReceived)
        pings = PingFrame(0, b"12345678").serialize() * 1000
        while True:
            await wire.send(pings)

    async with listen(script) as peer, open_client(peer.endpoint, TWO) as client:
        with pytest.raises(NoAnswer, match="asks for more than it takes"):
            await client.request(GET)


async def test_a_closed_client_takes_no_requests() -> None:
    async with listen(serve) as peer, open_client(peer.endpoint, TWO) as client:
        await client.request(GET)
        await client.aclose()
        with pytest.raises(trio.ClosedResourceError):
            await client.request(GET)


async def test_closing_fails_what_runs() -> None:
    reached = trio.Event()

    async def script(wire: Wire) -> None:
        peer = Http2Wire(wire)
        await peer.hello()
        await peer.request()
        reached.set()
        await wire.closed()

    async def ask(client: Client) -> None:
        with pytest.raises(NoAnswer, match="on this side"):
            await client.request(GET)

    async with listen(script) as peer, open_client(peer.endpoint, TWO) as client, trio.open_nursery() as nursery:
        nursery.start_soon(ask, client)
        await reached.wait()
        await client.aclose()
