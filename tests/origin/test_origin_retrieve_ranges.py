"""Validators and ranges of a retrieve, on every way an instance leaves (PS3.18 8.6.1, 2024e; RFC 9110 13, 14)."""

from functools import partial
from pathlib import Path
from random import Random

import pytest

from edged.http.dates import http_date
from edged.store.schema import CHUNK_BYTES, CHUNKS, chunk_key
from edged.store.transaction import Transaction
from edged.telemetry.clock import EARLIEST_POSSIBLE_S, ManualClock
from tests.conftest import ExpectedLogs
from tests.support.asgi_kit import Answer
from tests.support.box_kit import Box, opened_box
from tests.support.dicom_samples import scan, shipped
from tests.support.server_kit import read_all, serving
from tests.support.stow_kit import Named, made, named, parts_of

ONE = named(1)
FILE = f"/admin/instances/{ONE.instance}/file"
LARGE = 40 * CHUNK_BYTES
SINGLE = {"Accept": "application/dicom"}
RELATED = {"Accept": 'multipart/related; type="application/dicom"'}
CONVERTED = ("MR_small_implicit.dcm", "MR_small_bigendian.dcm", "image_dfl.dcm")


async def whole(box: Box, path: str, accept: dict[str, str]) -> Answer:
    answer = await box.ask("GET", path, accept)
    assert answer.status == 200
    assert answer.headers["accept-ranges"] == "bytes"
    return answer


def some_ranges(random: Random, length: int) -> list[tuple[int, int]]:
    """Up to six ranges of a payload, ascending and apart, most of them short."""
    edges = sorted(random.sample(range(length + 1), 2 * random.randint(1, 6)))
    pairs = zip(edges[::2], edges[1::2], strict=True)
    return [(start, min(stop, start + random.choice((1, 100, length)))) for start, stop in pairs]


async def require_slices(box: Box, path: str, accept: dict[str, str], *, times: int = 12) -> None:
    """Ask for ranges and compare each with the slice of the whole."""
    body = (await whole(box, path, accept)).body
    random = Random(len(body))
    for _ in range(times):
        ranges = some_ranges(random, len(body))
        value = "bytes=" + ", ".join(f"{start}-{stop - 1}" for start, stop in ranges)
        answer = await box.ask("GET", path, {**accept, "Range": value})
        assert answer.status == 206
        if "content-range" in answer.headers:
            parts = [(answer.headers, answer.body)]
        else:
            parts = parts_of(answer.headers["content-type"], answer.body)
        got = [(head["content-range"], data) for head, data in parts]
        assert got == [(f"bytes {start}-{stop - 1}/{len(body)}", body[start:stop]) for start, stop in joined(ranges)]


def joined(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Those that touch made one."""
    out: list[tuple[int, int]] = []
    for start, stop in ranges:
        if out and out[-1][1] == start:
            out[-1] = (out[-1][0], stop)
        else:
            out.append((start, stop))
    return out


async def test_ranges_of_what_leaves_as_it_is(box: Box) -> None:
    await box.stow(made(ONE, size=LARGE))
    for path, accept in ((ONE.path, SINGLE), (ONE.path, RELATED), (FILE, {})):
        await require_slices(box, path, accept)


@pytest.mark.parametrize("name", CONVERTED)
async def test_ranges_of_what_is_converted(box: Box, name: str) -> None:
    data = shipped(name)
    found = scan(data)
    assert (await box.stow(data)).status == 200
    path = Named(found.sop_instance_uid, found.series_instance_uid, found.study_instance_uid).path
    for accept in (SINGLE, RELATED):
        await require_slices(box, path, accept)


async def test_a_download_is_resumed(box: Box) -> None:
    await box.stow(made(ONE, size=LARGE))
    for accept in (SINGLE, RELATED):
        full = await whole(box, ONE.path, accept)
        again = {**accept, "Range": "bytes=1000000-", "If-Range": full.headers["etag"]}
        rest = await box.ask("GET", ONE.path, again)
        assert (rest.status, full.body[:1000000] + rest.body) == (206, full.body)
        assert rest.headers["etag"] == full.headers["etag"]
        other = await box.ask("GET", ONE.path, {**again, "If-Range": '"other"'})
        assert (other.status, other.body) == (200, full.body)


async def test_no_range_lies_within(box: Box) -> None:
    await box.stow(made(ONE))
    for path, accept in ((ONE.path, SINGLE), (ONE.path, RELATED), (FILE, {})):
        length = len((await whole(box, path, accept)).body)
        answer = await box.ask("GET", path, {**accept, "Range": f"bytes={length}-"})
        assert (answer.status, answer.headers["content-range"]) == (416, f"bytes */{length}")
        head = await box.ask("HEAD", path, {**accept, "Range": f"bytes={length}-"})
        assert (head.status, head.headers["content-length"]) == (200, str(length))


async def test_a_tag_for_each_representation(box: Box) -> None:
    await box.stow(made(ONE), made(named(2)))
    answers = [await whole(box, *asked) for asked in ((ONE.path, SINGLE), (ONE.path, RELATED), (FILE, {}))]
    answers.append(await whole(box, named(2).path, SINGLE))
    assert len({answer.headers["etag"] for answer in answers}) == 4
    assert all(not answer.headers["etag"].startswith("W/") for answer in answers)
    changed = await box.ask("GET", ONE.path, {**RELATED, "If-None-Match": answers[0].headers["etag"]})
    assert changed.status == 200


async def test_not_modified(box: Box) -> None:
    await box.stow(made(ONE))
    full = await whole(box, ONE.path, SINGLE)
    tag, since = full.headers["etag"], full.headers["last-modified"]
    conditions = [{"If-None-Match": value} for value in (tag, "*", f'"x", {tag}', f"W/{tag}")]
    for condition in (*conditions, {"If-Modified-Since": since}):
        for method in ("GET", "HEAD"):
            answer = await box.ask(method, ONE.path, {**SINGLE, **condition})
            assert (answer.status, answer.body) == (304, b"")
            for name in ("etag", "vary", "content-location", "cache-control"):
                assert answer.headers[name] == full.headers[name]
            assert not {"content-type", "content-length", "last-modified"} & answer.headers.keys()


async def test_preconditions(box: Box) -> None:
    await box.stow(made(ONE))
    before = http_date(EARLIEST_POSSIBLE_S - 1)
    for condition in ({"If-Match": '"x"'}, {"If-Unmodified-Since": before}):
        answer = await box.ask(
            "GET", ONE.path, {**SINGLE, **condition, "Accept": "application/dicom, application/json"}
        )
        assert (answer.status, answer.headers["content-type"]) == (412, "application/problem+json")
    assert (await box.ask("GET", named(7).path, {**SINGLE, "If-Match": "*"})).status == 404


async def test_the_date_is_when_it_was_received(tmp_path: Path) -> None:
    clock = ManualClock(EARLIEST_POSSIBLE_S + 0.75)
    async with opened_box(tmp_path, clock=clock) as box:
        await box.stow(made(ONE))
        clock.advance(5)
        received = http_date(EARLIEST_POSSIBLE_S)
        for path, accept in ((ONE.path, SINGLE), (ONE.path, RELATED), (FILE, {})):
            assert (await whole(box, path, accept)).headers["last-modified"] == received
        clock.set_wall(EARLIEST_POSSIBLE_S - 100)
        earlier = (await whole(box, ONE.path, SINGLE)).headers["last-modified"]
        assert earlier == http_date(EARLIEST_POSSIBLE_S - 100)
        clock.set_wall(EARLIEST_POSSIBLE_S + 100, trusted=False)
        assert "last-modified" not in (await whole(box, ONE.path, SINGLE)).headers
        for name in ("If-Modified-Since", "If-Unmodified-Since"):
            assert (await box.ask("GET", ONE.path, {**SINGLE, name: http_date(1e9)})).status == 200
            assert (await box.ask("GET", ONE.path, {**SINGLE, name: received})).status == 200


class Lost:
    """A chunk that is away for a while."""

    def __init__(self, box: Box, index: int) -> None:
        self._box, self._key = box, chunk_key(1, index)

    async def __aenter__(self) -> None:
        stored = self._box.store.read_now(lambda txn: txn.get(CHUNKS, self._key))
        assert stored is not None
        self._data = bytes(stored)
        await self._box.store.write(partial(Transaction.delete, table=CHUNKS, key=self._key))

    async def __aexit__(self, *_: object) -> None:
        await self._box.store.write(partial(Transaction.put, table=CHUNKS, key=self._key, value=self._data))


async def test_a_range_needs_its_own_chunks_only(box: Box, expected_logs: ExpectedLogs) -> None:
    await box.stow(made(ONE, size=LARGE))
    body = (await whole(box, ONE.path, SINGLE)).body
    start, stop = 2 * CHUNK_BYTES, 3 * CHUNK_BYTES
    async with Lost(box, 1), Lost(box, 3):
        answer = await box.ask("GET", ONE.path, {**SINGLE, "Range": f"bytes={start}-{stop - 1}"})
        assert (answer.status, answer.body) == (206, body[start:stop])
        expected_logs.expect("edged.origin.application WARNING a request failed")
        for unreadable in (f"bytes={start - 1}-{stop}", f"bytes={stop}-", f"bytes={stop}-{stop},{stop + 2}-"):
            for accept in (SINGLE, {}):
                path = ONE.path if accept else FILE
                assert (await box.ask("GET", path, {**accept, "Range": unreadable})).status == 500


async def test_a_range_that_cannot_go_on_is_cut(box: Box, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("edged.server ERROR the application failed")
    await box.stow(made(ONE, size=LARGE))
    async with Lost(box, 30), serving(box.application) as server:
        async with await server.open() as stream:
            fields = "Host: localhost\r\nAccept: application/dicom\r\nRange: bytes=65520-"
            await stream.send_all(f"GET {ONE.path} HTTP/1.1\r\n{fields}\r\n\r\n".encode())
            got = await read_all(stream)
        head, _, body = got.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 206 ")
        assert 0 < len(body) < LARGE - 65520
        assert made(ONE, size=LARGE)[65520:].startswith(body)
