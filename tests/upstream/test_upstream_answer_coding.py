"""Answers with a content coding: undone wherever an answer is read, bounded, and never taken for what they are not."""

import gzip
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.upstream.answer_coding import AnswerCoding
from edged.upstream.connection import ClientSettings, HttpChoice, open_client
from edged.upstream.message import ANSWER_LIMIT_BYTES, NoAnswer, Response, Sink
from tests.support.forwarding_kit import destination, forwarding
from tests.support.scripted_archive import Reply, Stow, report, scripted_archive
from tests.support.stow_kit import named
from tests.support.upstream_body import GET
from tests.support.upstream_peer import Http2Wire, Wire, listen

HTTPS = [HttpChoice.ONE, HttpChoice.TWO]
ENCODE: dict[str, Callable[[bytes], bytes]] = {
    "gzip": partial(gzip.compress, mtime=0),
    "deflate": zlib.compress,
    "X-GZip": partial(gzip.compress, mtime=0),
    "gzip, gzip": lambda body: gzip.compress(gzip.compress(body)),
    "deflate, gzip": lambda body: gzip.compress(zlib.compress(body)),
    "identity": bytes,
}


def decoded(coding: str, data: bytes, size: int = 1 << 16) -> tuple[bytes, bool]:
    """Feed in pieces of `size`; what came out, and whether it is whole."""
    answer = AnswerCoding((("content-encoding", coding),))
    got = b"".join(bytes(piece) for at in range(0, len(data), size) for piece in answer.feed(data[at : at + size]))
    answer.finish()
    return got, not answer.broken


@given(st.binary(max_size=300), st.sampled_from(sorted(ENCODE)), st.integers(1, 40))
def test_what_was_encoded_comes_out(body: bytes, coding: str, size: int) -> None:
    assert decoded(coding, ENCODE[coding](body), size) == (body, True)


@given(st.binary(min_size=1, max_size=300), st.sampled_from(["gzip", "deflate", "deflate, gzip"]), st.data())
def test_what_is_cut_short_is_not_whole(body: bytes, coding: str, data: st.DataObject) -> None:
    encoded = ENCODE[coding](body)
    got, whole = decoded(coding, encoded[: data.draw(st.integers(1, len(encoded) - 1))])
    assert (body.startswith(got), whole) == (True, False)


@given(st.binary(max_size=200), st.sampled_from([*ENCODE, "br", "zstd", "gzip, zstd", "gzip," * 9, "\xff", ""]))
def test_any_bytes_give_a_body_or_a_broken_one(data: bytes, coding: str) -> None:
    decoded(coding, data, 7)


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, zstd", "gzip, gzip, gzip"])
def test_a_coding_that_is_not_undone_gives_nothing(coding: str) -> None:
    assert decoded(coding, b"whatever") == (b"", False)


def test_no_body_is_whole() -> None:
    assert decoded("gzip", b"") == (b"", True)


def test_fields_of_the_coded_form_are_gone() -> None:
    fields = (("content-encoding", "gzip"), ("content-type", "a/b"), ("content-length", "9"))
    assert AnswerCoding(fields).headers == (("content-type", "a/b"),)
    assert AnswerCoding(fields[1:]).headers == fields[1:]


async def asked(http: HttpChoice, coding: str, body: bytes, sink: Sink | None = None) -> Response:
    """What a client makes of an answer with this coding and these octets."""

    async def one(wire: Wire) -> None:
        await wire.request()
        await wire.answer(200, body, extra=b"Content-Encoding: %s\r\n" % coding.encode())
        await wire.closed()

    async def two(wire: Wire) -> None:
        peer = Http2Wire(wire)
        await peer.hello()
        stream_id, _, _ = await peer.request()
        peer.protocol.send_headers(stream_id, [(":status", "200"), ("content-encoding", coding)])
        for start in range(0, len(body), 16_384):
            peer.protocol.send_data(stream_id, body[start : start + 16_384])
        peer.protocol.end_stream(stream_id)
        await peer.flush()
        await wire.closed()

    settings = ClientSettings(http=http)
    async with listen(one if http is HttpChoice.ONE else two) as peer, open_client(peer.endpoint, settings) as client:
        return await client.request(replace(GET, sink=sink))


@pytest.mark.parametrize("http", HTTPS)
@pytest.mark.parametrize("coding", ["gzip", "deflate", "deflate, gzip"])
async def test_a_response_is_decoded(http: HttpChoice, coding: str) -> None:
    response = await asked(http, coding, ENCODE[coding](b"a report" * 100))
    assert (response.body, response.truncated, response.status) == (b"a report" * 100, False, 200)
    assert {"content-encoding", "content-length"}.isdisjoint(name for name, _ in response.headers)


@pytest.mark.parametrize("http", HTTPS)
@pytest.mark.parametrize(
    ("coding", "body"),
    [("gzip", b"no gzip"), ("br", b"x"), ("gzip", gzip.compress(b"x")[:-1])],
    ids=["not encoded", "unknown", "cut short"],
)
async def test_a_response_that_cannot_be_decoded_is_not_whole(http: HttpChoice, coding: str, body: bytes) -> None:
    response = await asked(http, coding, body)
    assert (response.status, response.truncated) == (200, True)


@pytest.mark.parametrize("http", HTTPS)
async def test_what_expands_is_bounded(http: HttpChoice) -> None:
    response = await asked(http, "gzip", gzip.compress(bytes(60 << 20), 9))
    assert (len(response.body), response.truncated) == (ANSWER_LIMIT_BYTES, True)


class Taking:
    """A sink of all bodies."""

    def __init__(self) -> None:
        self.got = bytearray()

    def wants(self, status: int, headers: Mapping[str, str]) -> bool:
        return "content-encoding" not in headers

    async def add(self, data: bytes | bytearray) -> None:
        self.got += data


@pytest.mark.parametrize("http", HTTPS)
async def test_a_sink_gets_what_was_encoded(http: HttpChoice) -> None:
    sink, body = Taking(), bytes(range(256)) * 4096
    response = await asked(http, "gzip", gzip.compress(body), sink)
    assert (bytes(sink.got), response.body, response.truncated) == (body, b"", False)


@pytest.mark.parametrize("http", HTTPS)
@pytest.mark.parametrize(
    "encoded",
    [gzip.compress(b"abc")[:-1], b"abc" * 99, gzip.compress(b"abc") + b"abc"],
    ids=["cut short", "not encoded", "with more after it"],
)
async def test_a_sink_is_told_of_what_is_not_whole(http: HttpChoice, encoded: bytes) -> None:
    with pytest.RaisesGroup(
        pytest.RaisesExc(NoAnswer, match="not what its Content-Encoding says"), flatten_subgroups=True
    ):
        await asked(http, "gzip", encoded, Taking())


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_a_report_that_a_proxy_compressed_is_evidence(tmp_path: Path, coding: str) -> None:
    async with scripted_archive() as (archive, _):

        def store(stow: Stow) -> Reply:
            archive.keep(stow)
            plain = report(stow.uids)
            coded = ("content-encoding", coding)
            return replace(plain, body=ENCODE[coding](plain.body), headers=(*plain.headers, coded))

        archive.on_store = store
        archive.on_look = lambda _: Reply(500)
        async with forwarding(tmp_path, destination(archive.url)) as box:
            await box.take_made(named(1))
            await box.until(lambda: box.at() == {"sent": 1})
