"""Every rule of RFC 9113 that a client can break: the right error code, on the stream where that is enough.

After a stream error the connection serves on; whatever happens, other connections and the server do.
"""

import pytest
import trio

from edged.server import Limits
from tests.support.http2_raw import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GET,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    frame,
    headers,
    raw_http2,
    rst_stream,
    settings,
    window_update,
)
from tests.support.http2_rules import FRAME_SIZE_ERROR, PROTOCOL_ERROR, RULES, STREAM_CLOSED, Answer, Connection, Stream
from tests.support.server_kit import curl, exchange_raw, serving, sink

QUICK = Limits(linger_s=0.05, drain_s=0.5, streams=3, stream_window_bytes=65_535)


@pytest.mark.parametrize("rule", RULES)
async def test_rule(rule: str) -> None:
    sent, expected = RULES[rule]

    async def app(scope: dict[str, object], receive: object, send: object) -> None:
        if scope["path"] == "/never":
            assert callable(receive)
            await receive()
            await receive()
        else:
            await sink(scope, receive, send)

    async with serving(app, limits=QUICK) as running:
        async with raw_http2(running) as wire:
            await wire.send(sent)
            match expected:
                case Connection(code):
                    seen = await wire.wait_for(GOAWAY)
                    assert seen is not None
                    assert seen.code == code
                    assert await wire.read_to_end() == []
                case Stream(code, stream_id):
                    seen = await wire.wait_for(RST_STREAM, GOAWAY)
                    assert seen is not None
                    assert (seen.kind, seen.stream_id, seen.code) == (RST_STREAM, stream_id, code)
                    await wire.send(rst_stream(1), headers(101, [*GET[:3], (b":path", b"/early")]))
                    assert await wire.status(101) == 413
                case Answer(status, stream_id):
                    assert await wire.status(stream_id) == status
        assert await curl("--http2-prior-knowledge", running.url) == "0"
        assert running.server.counters.failed == 0


async def test_a_stream_that_has_ended_is_not_used_again() -> None:
    async with serving(sink, limits=QUICK) as running, raw_http2(running) as wire:
        await wire.send(headers(1))
        seen = await wire.wait_for(DATA, stream_id=1)
        assert seen is not None
        assert seen.flags & END_STREAM
        await wire.send(headers(1))
        seen = await wire.wait_for(GOAWAY)
        assert seen is not None
        assert seen.code == STREAM_CLOSED


@pytest.mark.parametrize(
    "octets",
    [
        PREFACE[:18] + b"XX\r\n\r\n" + settings(),
        PREFACE + headers(1),
        PREFACE + frame(SETTINGS, ACK, 0),
        PREFACE + frame(PING, 0, 0, bytes(8)),
        PREFACE + b"GET / HTTP/1.1\r\n\r\n",
    ],
)
async def test_a_bad_preface_is_a_protocol_error(octets: bytes) -> None:
    async with serving(sink, limits=QUICK) as running, raw_http2(running, begin=False) as wire:
        await wire.send(octets)
        seen = await wire.wait_for(GOAWAY)
        assert seen is not None
        assert seen.code in {PROTOCOL_ERROR, FRAME_SIZE_ERROR}
        assert await wire.read_to_end() == []


async def test_a_preface_in_pieces() -> None:
    async with serving(sink, limits=QUICK) as running, raw_http2(running, begin=False) as wire:
        for octet in PREFACE + settings() + headers(1):
            await wire.send(bytes([octet]))
        assert await wire.status(1) == 200


async def test_a_preface_that_breaks_off_ends() -> None:
    async with serving(sink, limits=Limits(head_s=0.1, linger_s=0.05, drain_s=0.1)) as running:
        assert (await exchange_raw(running, PREFACE[:20]))[3:4] == bytes([SETTINGS])


async def test_our_settings_come_first_and_those_of_the_client_are_acknowledged() -> None:
    async with serving(sink, limits=QUICK) as running, raw_http2(running) as wire:
        first = await wire.next()
        assert first is not None
        assert (first.kind, first.flags, first.stream_id) == (SETTINGS, 0, 0)
        said = {first.payload[at + 1]: int.from_bytes(first.payload[at + 2 : at + 6]) for at in range(0, 30, 6)}
        assert said == {3: 3, 5: 65_536, 6: 32_768, 8: 1, 9: 1}
        second = await wire.wait_for(SETTINGS)
        assert second is not None
        assert (second.flags, second.payload) == (ACK, b"")


async def test_a_client_with_a_small_table_can_read_every_answer() -> None:
    async with serving(sink, limits=QUICK) as running:
        command = ["nghttp", "-nv", "-u", "--header-table-size=1024", running.url, running.url + "/early"]
        done = await trio.run_process(command, capture_stdout=True)
        assert done.stdout.count(b":status: ") == 2
        assert b"COMPRESSION_ERROR" not in done.stdout


async def test_a_ping_is_answered_with_its_octets() -> None:
    async with serving(sink, limits=QUICK) as running, raw_http2(running) as wire:
        await wire.send(frame(PING, 0, 0, b"12345678"))
        seen = await wire.wait_for(PING)
        assert seen is not None
        assert (seen.flags, seen.payload) == (ACK, b"12345678")


async def test_an_answer_is_cut_to_the_windows_of_the_client() -> None:
    async with serving(sink, limits=QUICK) as running, raw_http2(running) as wire:
        await wire.send(settings((4, 1)), headers(1, [*GET[:3], (b":path", b"/early")]))
        seen = await wire.wait_for(DATA)
        assert seen is not None
        assert (seen.flags, seen.payload) == (0, b"t")
        await wire.send(settings((4, 4)))
        seen = await wire.wait_for(DATA)
        assert seen is not None
        assert seen.payload == b"oo "
        await wire.send(settings((4, 0)), window_update(1, 3))  # the window is -4 now, and -1 then
        await wire.send(window_update(1, 100))
        seen = await wire.wait_for(DATA)
        assert seen is not None
        assert (seen.flags, seen.payload) == (END_STREAM, b"large")


async def test_an_answer_of_many_fields_goes_on_in_continuation() -> None:
    async def app(scope: object, receive: object, send: object) -> None:
        assert callable(send)
        many = [(b"x-%d" % number, b"y" * 1000) for number in range(40)]
        await send({"type": "http.response.start", "status": 204, "headers": many})
        await send({"type": "http.response.body"})

    async with serving(app, limits=QUICK) as running, raw_http2(running) as wire:
        await wire.send(headers(1))
        kinds = [await wire.wait_for(HEADERS, CONTINUATION) for _ in range(3)]
        flags = [seen.flags for seen in kinds if seen is not None]
        assert flags == [END_STREAM, 0, END_HEADERS]
