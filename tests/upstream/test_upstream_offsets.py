"""A destination that ends, or refuses, at any octet: of its answer, and of the request that it reads."""

import h2.events
import h2.settings
import pytest

from edged.upstream.connection import ClientSettings, HttpChoice, open_client
from edged.upstream.message import NoAnswer, Response
from tests.support.upstream_body import post
from tests.support.upstream_octets import http2_answer, response_to
from tests.support.upstream_peer import Http2Wire, Wire, listen

ONE = b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"
TWO = http2_answer()
TWO_ENDS = TWO.index(b"hello") + len(b"hello")
"""Where the answer is whole; a PING and a GOAWAY follow."""
SIZE = 400_000
WINDOW = 65_535


@pytest.mark.parametrize(
    ("answer", "ends", "http2"),
    [(ONE, len(ONE), False), (CHUNKED, len(CHUNKED), False), (TWO, TWO_ENDS, True)],
    ids=["1.1", "1.1 chunked", "2"],
)
def test_an_answer_that_ends_anywhere_is_whole_or_none(answer: bytes, ends: int, http2: bool) -> None:
    for end in range(len(answer) + 1):
        result = response_to([answer[:end]] if end else [], http2=http2)
        if end < ends:
            assert isinstance(result, NoAnswer), (end, result)
            assert not result.not_processed
        else:
            assert isinstance(result, Response), (end, result)
            assert (result.status, result.body, result.truncated) == (200, b"hello", False)


@pytest.mark.parametrize("ending", ["stays", "closes", "resets"])
@pytest.mark.parametrize("read", [0, 1, 17, 65_535, 65_536, 131_072, 200_000, SIZE - 1, SIZE])
async def test_a_refusal_at_any_octet_of_the_body_is_heard(read: int, ending: str) -> None:
    async def script(wire: Wire) -> None:
        while True:
            await wire.head()
            await wire.exactly(read)
            await wire.answer(413, b"enough")
            if ending != "stays":
                break
            await wire.exactly(SIZE - read)  # all of it was on its way, or the client is gone
        if ending == "resets":
            wire.reset()

    settings = ClientSettings(HttpChoice.ONE)
    async with listen(script) as peer, open_client(peer.endpoint, settings) as client:
        for _ in range(3):
            response = await client.request(post(SIZE))
            assert (response.status, response.body) == (413, b"enough")
            assert response.sent_bytes >= read


@pytest.mark.parametrize("reset", [False, True], ids=["leaves the stream", "resets the stream"])
@pytest.mark.parametrize("read", [0, 1, 16_384, 16_385, 65_535, 200_000, SIZE])
async def test_a_refusal_at_any_octet_of_the_body_is_heard_over_http_2(read: int, reset: bool) -> None:
    async def script(wire: Wire) -> None:
        peer = Http2Wire(wire)
        await peer.hello()
        had, stream_id, answered = 0, 0, False
        while True:
            event = await peer.until(h2.events.Event)
            if isinstance(event, h2.events.RequestReceived):
                had, stream_id, answered = 0, event.stream_id, False
            elif isinstance(event, h2.events.DataReceived):
                peer.protocol.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                await peer.flush()
                had += len(event.data) if event.stream_id == stream_id else 0
            if stream_id and had >= read and not answered:
                answered = True
                await peer.answer(stream_id, 413, b"enough")
                if reset and had < SIZE:
                    peer.protocol.reset_stream(stream_id, 0)
                    await peer.flush()

    settings = ClientSettings(HttpChoice.TWO)
    async with listen(script) as peer, open_client(peer.endpoint, settings) as client:
        for _ in range(3):
            response = await client.request(post(SIZE))
            assert (response.status, response.body, response.http_version) == (413, b"enough", "2")
        assert peer.accepted == 1
