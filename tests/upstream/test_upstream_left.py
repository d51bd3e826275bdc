"""What of a request had left when its answer was complete, over both versions, plain and over TLS."""

import h2.events
import pytest
import trio
from h2.settings import SettingCodes

from edged.upstream.connection import ClientSettings, HttpChoice, open_client
from tests.support.upstream_body import GET, post
from tests.support.upstream_peer import Http2Wire, Script, Wire, listen
from tests.upstream.conftest import Certificates

BODY_BYTES = 30_000_000
ONE = ClientSettings(http=HttpChoice.ONE)
TWO = ClientSettings(http=HttpChoice.TWO)


async def serve_one(wire: Wire) -> None:
    while True:
        await wire.request()
        await wire.answer()


async def serve_two(wire: Wire) -> None:
    peer = Http2Wire(wire)
    await peer.hello()
    while True:
        stream_id, _, _ = await peer.request()
        await peer.answer(stream_id)


def early_one(after: int, *, reads: bool = False) -> Script:
    """Answer with 200 and a body after so many bytes of the request's body."""

    async def script(wire: Wire) -> None:
        await wire.head()
        await wire.exactly(after)
        await wire.answer(200, b"stored")
        if reads:
            await wire.closed()
        await trio.sleep_forever()

    return script


def early_two(window: int, frames: int) -> Script:
    """The same over HTTP/2, after so many frames, with a window of so many bytes that is never made wider."""

    async def script(wire: Wire) -> None:
        settings = {SettingCodes.INITIAL_WINDOW_SIZE: window, SettingCodes.MAX_FRAME_SIZE: 16_384}
        peer = Http2Wire(wire, settings)
        peer.protocol.initiate_connection()
        peer.protocol.increment_flow_control_window(window)
        await peer.flush()
        head = await peer.until(h2.events.RequestReceived)
        for _ in range(frames):
            await peer.until(h2.events.DataReceived)
        await peer.answer(head.stream_id or 0, body=b"stored")
        await trio.sleep_forever()

    return script


@pytest.mark.parametrize(("script", "settings"), [(serve_one, ONE), (serve_two, TWO)])
@pytest.mark.parametrize("secure", [False, True])
async def test_of_what_was_answered_in_time_all_has_left(
    script: Script, settings: ClientSettings, secure: bool, certificates: Certificates
) -> None:
    version = "h2" if settings is TWO else "http/1.1"
    context = certificates.server_context(version) if secure else None
    settings = ClientSettings(http=settings.http, tls=certificates.trusting)
    async with listen(script, context) as peer, open_client(peer.endpoint, settings) as client:
        for size in [0, 1, 65_536, 131_072, 131_073, 3_000_000] * 20:
            response = await client.request(post(size))
            assert (response.request_sent, response.sent_bytes) == (True, size)
        response = await client.request(GET)
        assert (response.request_sent, response.sent_bytes) == (True, 0)


@pytest.mark.parametrize("reads", [False, True])
@pytest.mark.parametrize("after", [0, 1, 1000, BODY_BYTES // 2])
async def test_an_early_200_says_what_had_left(after: int, reads: bool) -> None:
    script = early_one(after, reads=reads)
    async with listen(script) as peer, open_client(peer.endpoint, ONE) as client:
        response = await client.request(post(BODY_BYTES))
    assert (response.status, response.body, response.request_sent) == (200, b"stored", False)
    assert response.sent_bytes < BODY_BYTES


@pytest.mark.parametrize("window", [65_535, 2**31 - 1 - 65_535])
@pytest.mark.parametrize("frames", [0, 1, 3])
async def test_an_early_200_over_http2_says_what_had_left(frames: int, window: int) -> None:
    async with listen(early_two(window, frames)) as peer, open_client(peer.endpoint, TWO) as client:
        response = await client.request(post(BODY_BYTES))
    assert (response.status, response.body, response.request_sent) == (200, b"stored", False)
    assert response.sent_bytes < BODY_BYTES


async def test_the_last_byte_counts() -> None:
    """A peer that answers one byte too early, and would have taken it."""
    async with listen(early_two(65_535, 0)) as peer, open_client(peer.endpoint, TWO) as client:
        response = await client.request(post(65_536))
    assert (response.request_sent, response.sent_bytes) == (False, 65_535)
