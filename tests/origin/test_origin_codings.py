"""Content codings: requests that are encoded, and answers that are (RFC 9110 8.4, 12.5.3; PS3.18 8.6)."""

import gzip
import json
import zlib
from collections.abc import Callable, Iterator

import pytest
import trio

from edged.app.box import Parts
from edged.dicom.reasons import FailureReason
from edged.http.content_coding import Coding, encode
from edged.http.content_decoding import PIECE_BYTES
from edged.http.zstandard import zstd_decompressor
from edged.origin.answering import joined
from edged.origin.bodies import STEPS_A_TURN
from tests.support.asgi_kit import Answer, Asked, call
from tests.support.box_kit import Box
from tests.support.commitment_kit import JSON, sop_form
from tests.support.http_client import connected
from tests.support.stow_kit import MULTIPART, json_report, made, multipart, named, xml_report
from tests.support.work import TurnWatch, counted_calls

ONE, TWO, THREE = named(1), named(2), named(3)
Coder = Callable[[bytes], bytes]


def zstd(body: bytes) -> bytes:
    """The body as one frame."""
    return encode(body, Coding.ZSTD)


CODERS: dict[str, Coder] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "GZip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstd,
    "identity": bytes,
    "deflate, gzip": lambda body: gzip.compress(zlib.compress(body)),
    "zstd, gzip": lambda body: gzip.compress(zstd(body)),
}
DECODERS: dict[str | None, Coder] = {
    "gzip": gzip.decompress,
    "deflate": zlib.decompress,
    "zstd": lambda body: zstd_decompressor().decompress(body),
    None: bytes,
}
OFFERED = "gzip, deflate, zstd"
COMMITMENT = "/commitment-requests/1.2.3"
MIB = 1 << 20


async def post(
    box: Box, coding: str, body: bytes | Iterator[bytes], content_type: str = MULTIPART, accept: str = "*/*"
) -> Answer:
    headers = {"Content-Type": content_type, "Content-Encoding": coding, "Accept": accept}
    return await call(box.application, Asked("POST", "/studies", headers, body))


@pytest.mark.parametrize("coding", CODERS)
@pytest.mark.parametrize("piece", [1 << 16, 7, 1])
async def test_a_store_request_may_be_encoded(box: Box, coding: str, piece: int) -> None:
    body = CODERS[coding](multipart([made(ONE), made(TWO)]))
    answer = await post(box, coding, (body[at : at + piece] for at in range(0, len(body), piece)))
    assert answer.status == 200
    assert set(json_report(answer.body).stored) == {ONE.instance, TWO.instance}
    single = await box.ask("GET", ONE.path, {"Accept": "application/dicom"})
    assert single.body == made(ONE)


async def test_a_single_instance_may_be_encoded(box: Box) -> None:
    assert (await post(box, "gzip", gzip.compress(made(ONE, size=3 * MIB)), "application/dicom")).status == 200


@pytest.mark.parametrize(
    "coding", ["br", "x-zstd", "gzip, br", "zstd, br", "compress", "gzip, gzip, gzip", "nonsense/"]
)
async def test_a_coding_that_is_not_known_is_415_before_the_body(box: Box, coding: str) -> None:
    def never() -> Iterator[bytes]:
        yield from map(pytest.fail, ["the body was read"])

    answer = await post(box, coding, never(), accept="application/json")
    assert (answer.status, answer.headers["accept-encoding"]) == (415, OFFERED)
    assert json.loads(answer.body)["status"] == 415
    headers = {"Content-Type": "application/dicom+json", "Content-Encoding": coding}
    asked = await call(box.application, Asked("POST", COMMITMENT, headers, never()))
    assert (asked.status, asked.headers["accept-encoding"]) == (415, OFFERED)


async def test_what_is_not_what_it_says_is_400(box: Box) -> None:
    body = multipart([made(ONE)])
    too_wide = b"\x28\xb5\x2f\xfd\0\xff" + bytes(99)
    for coding, sent in (
        *(("gzip", body), ("deflate", gzip.compress(body)), ("gzip", b""), ("gzip", b"\x1f\x8b")),
        *(("zstd", body), ("zstd", gzip.compress(body)), ("zstd", b""), ("zstd", too_wide)),
    ):
        for content_type in (MULTIPART, "application/dicom"):
            answer = await post(box, coding, sent, content_type, accept="application/json")
            assert answer.status == 400
            assert json.loads(answer.body)["temporary"] is False


async def test_what_was_durable_before_the_error_stays(box: Box) -> None:
    body = multipart([made(ONE), made(TWO), made(THREE)])
    encoder = zlib.compressobj()
    begun = encoder.compress(body[:5000]) + encoder.flush(zlib.Z_SYNC_FLUSH)
    for broken in (b"\xff" * 40, b""):
        answer = await post(box, "deflate", iter([begun, broken]))
        assert answer.status == 202
        report = json_report(answer.body)
        assert set(report.stored) == {ONE.instance, TWO.instance}
        assert report.failed == {THREE.instance: FailureReason.TRUNCATED}
        assert report.other == [FailureReason.CANNOT_UNDERSTAND]


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
@pytest.mark.parametrize("content_type", [MULTIPART, "application/dicom"])
async def test_what_expands_too_far_is_413(box: Box, content_type: str, coding: str) -> None:
    bomb = made(ONE, size=80 * MIB, fill=b"\0")
    body = bomb if content_type == "application/dicom" else multipart([bomb])
    answer = await post(box, coding, CODERS[coding](body), content_type, accept="application/json")
    assert answer.status == 413
    assert "250 times" in json.loads(answer.body)["detail"]
    assert (await box.ask("GET", ONE.path, {"Accept": "*/*"})).status == 404


def much_from_little(coder: Coder) -> bytes:
    return coder(made(ONE, size=40 * MIB, fill=b"\0"))


def nothing_from_little(coder: Coder) -> bytes:
    return coder(coder(b"") * 5000)


@pytest.mark.parametrize("coder", [lambda body: gzip.compress(body, mtime=0), zstd], ids=["gzip", "zstd"])
@pytest.mark.parametrize(("times", "body", "status"), [(1, much_from_little, 200), (2, nothing_from_little, 400)])
async def test_others_have_their_turn_while_much_is_decoded(
    box: Box, coder: Coder, times: int, body: Callable[[Coder], bytes], status: int
) -> None:
    sent = body(coder)
    coding = ", ".join(["zstd" if coder is zstd else "gzip"] * times)
    with counted_calls() as calls:
        watch = TurnWatch(calls, "decompress")
        trio.lowlevel.add_instrument(watch)
        try:
            assert (await post(box, coding, iter([sent]), "application/dicom")).status == status
        finally:
            trio.lowlevel.remove_instrument(watch)
    assert calls["decompress"] >= 40 * MIB / PIECE_BYTES
    assert watch.most <= STEPS_A_TURN * len(coding.split(","))


async def test_a_commitment_request_may_be_encoded(box: Box) -> None:
    headers = {**JSON, "Content-Encoding": "gzip"}
    asked = await box.ask("POST", COMMITMENT, headers, gzip.compress(sop_form([ONE])))
    assert asked.status == 202
    broken = await box.ask("POST", "/commitment-requests/1.2.4", headers, sop_form([ONE]))
    assert broken.status == 400
    bomb = await box.ask("POST", "/commitment-requests/1.2.5", headers, gzip.compress(b" " * (9 * MIB)))
    assert bomb.status == 413


async def stored(box: Box, encoding: str | None, accept: str = "application/dicom+json", count: int = 30) -> Answer:
    headers = {"Content-Type": MULTIPART, "Accept": accept} | (
        {} if encoding is None else {"Accept-Encoding": encoding}
    )
    return await box.ask("POST", "/studies", headers, multipart(made(named(each)) for each in range(count)))


async def test_reports_are_encoded_for_who_wants_it(box: Box) -> None:
    for encoding, coding in (
        ("gzip", "gzip"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("zstd;q=0.5, gzip", "gzip"),
        ("deflate, gzip;q=0.5", "deflate"),
        ("br, *;q=0.1", "gzip"),
        ("gzip;q=0", None),
        ("identity, gzip;q=0.9", None),
        ("br", None),
        ("identity;q=0, br", None),
        (None, None),
    ):
        for accept, read in (("application/dicom+json", json_report), ("application/dicom+xml", xml_report)):
            answer = await stored(box, encoding, accept)
            assert answer.headers.get("content-encoding") == coding
            assert answer.headers["vary"] == "accept, accept-encoding"
            assert answer.headers["content-type"] == accept
            assert len(read(DECODERS[coding](answer.body)).stored) == 30


async def test_a_large_report_in_turns(box: Box) -> None:
    answer = await stored(box, "gzip", count=1500)
    assert len(json_report(gzip.decompress(answer.body)).stored) == 1500


async def test_what_is_small_or_dicom_is_not_encoded(box: Box) -> None:
    small = await stored(box, "gzip", count=1)
    assert (small.headers["vary"], "content-encoding" in small.headers) == ("accept", False)
    for accept in ("application/dicom", 'multipart/related; type="application/dicom"'):
        answer = await box.ask("GET", named(0).path, {"Accept": accept, "Accept-Encoding": "gzip"})
        assert answer.status == 200
        assert "content-encoding" not in answer.headers


async def test_capabilities_are_encoded_with_their_own_tag(box: Box) -> None:
    headers = {"Accept": "application/vnd.sun.wadl+xml"}
    plain = await box.ask("OPTIONS", "/", headers)
    encoded = await box.ask("OPTIONS", "/", {**headers, "Accept-Encoding": "gzip"})
    assert gzip.decompress(encoded.body) == plain.body
    assert len(encoded.body) < len(plain.body) / 3
    tag, coded = plain.headers["etag"], encoded.headers["etag"]
    assert coded == tag[:-1] + '-gzip"'
    for given, accepted, status in (
        *((tag, None, 304), (coded, None, 200), ("*", None, 304)),
        *((tag, "gzip", 200), (coded, "gzip", 304), ("*", "gzip", 304), (f"{tag}, {coded}", "gzip", 304)),
    ):
        asked = {**headers, "If-None-Match": given} | ({} if accepted is None else {"Accept-Encoding": accepted})
        answer = await box.ask("OPTIONS", "/", asked)
        assert answer.status == status
        assert answer.headers["etag"] == (coded if accepted else tag)
        if status == 304:
            assert {"vary"} <= answer.headers.keys()
            assert not {"content-encoding", "content-length", "content-type"} & answer.headers.keys()


def test_vary_stands_once() -> None:
    vary, other = ("vary", "Accept, Origin"), ("content-type", "a/b")
    assert joined((vary, other), ()) == (vary, other)
    assert joined((other,), (vary,)) == (other, vary)
    assert joined((vary, other), (("vary", "origin, accept-encoding"),)) == (
        other,
        ("vary", "accept, origin, accept-encoding"),
    )


async def test_over_a_socket(served: Parts) -> None:
    headers = {"Content-Type": MULTIPART, "Content-Encoding": "gzip", "Accept-Encoding": "gzip"}
    body = gzip.compress(multipart(made(named(each)) for each in range(30)))
    async with connected(served.urls[0]) as connection:
        answer = await connection.ask("POST", "/studies", headers, body)
        assert (answer.status, answer.headers["content-encoding"]) == (200, "gzip")
        assert len(json_report(gzip.decompress(answer.body)).stored) == 30
        refused = await connection.ask("POST", "/studies", {**headers, "Content-Encoding": "br"}, body)
        assert refused.status == 415
        assert (await connection.ask("GET", "/healthz")).status == 200
    async with connected(served.urls[0]) as connection:
        await connection.stream.send_all(
            b"POST /studies HTTP/1.1\r\nHost: localhost\r\nContent-Type: " + MULTIPART.encode() + b"\r\n"
            b"Content-Encoding: br\r\nExpect: 100-continue\r\nContent-Length: 100000\r\n\r\n"
        )
        assert (await connection.stream.receive_some(65536)).startswith(b"HTTP/1.1 415 ")
