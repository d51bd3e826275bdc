"""The user agent over files against archives that answer what a script says, on real sockets."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from edged.dicom.reasons import FailureReason
from edged.dicomweb.json_model import to_json
from edged.dicomweb.store_report import Failed, Other, Stored, StoreReport
from edged.upstream.connection import ClientSettings, open_client
from edged.upstream.endpoint import Endpoint
from edged.upstream.file_walk import Found, walk
from edged.upstream.send_files import FileSender
from edged.upstream.send_values import FileResult, Outcome, SendSettings, Stop
from tests.support.dicom_samples import bare_file, plain, ui
from tests.support.upstream_peer import Script, Wire, listen

CLASS = "1.2.840.10008.5.1.4.1.1.7"
_UID = re.compile(rb"(1\.2\.5\.\d+)")


class Watched:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.results: list[FileResult] = []
        self.pauses: list[str] = []
        self.on_the_way = 0
        self.most = 0

    def moved(self, size: int) -> None:
        self.on_the_way += size
        self.most = max(self.most, self.on_the_way)

    def paused(self, seconds: float, text: str) -> None:
        self.pauses.append(text)

    def told(self, result: FileResult) -> None:
        self.results.append(result)

    def outcomes(self) -> dict[str, Outcome]:
        assert len({result.path for result in self.results}) == len(self.results), "told of twice"
        assert self.on_the_way == 0
        return {result.path.name: result.outcome for result in self.results}


def report(body: bytes, failed: dict[str, FailureReason] | None = None) -> bytes:
    """The response that names every instance of a request."""
    uids = dict.fromkeys(uid.decode() for uid in _UID.findall(body))
    lost = failed or {}
    stored = tuple(Stored(CLASS, uid) for uid in uids if uid not in lost)
    refused = tuple(Failed(CLASS, uid, lost[uid]) for uid in uids if uid in lost)
    return to_json(StoreReport(stored, refused).to_data_set())


def put(folder: Path, count: int) -> Path:
    """Write files named 1, 2, ...; each names its UID once."""
    for number in range(1, count + 1):
        (folder / str(number)).write_bytes(instance(number))
    return folder


def instance(number: int) -> bytes:
    """A small instance."""
    identity = ui(0x00080016, CLASS) + ui(0x00080018, f"1.2.5.{number}")
    return bare_file(identity, ui(0x0020000D, "1.2.6"), ui(0x0020000E, "1.2.6.1"), plain(0x00204000, b"LT", b"x" * 500))


async def send(script: Script, found: Iterator[Found], **settings: object) -> tuple[Watched, Stop | None]:
    """Send to an archive that follows the script."""
    watched = Watched()
    chosen = SendSettings(**{"parallel": 1, "retries": 2, **settings})  # type: ignore[arg-type]
    async with listen(script) as peer, open_client(peer.endpoint, ClientSettings()) as client:
        stop = await FileSender(client, chosen, watched).send(found)
    return watched, stop


async def test_all_is_stored_in_batches(tmp_path: Path) -> None:
    sizes = []

    async def archive(wire: Wire) -> None:
        while True:
            head, body = await wire.request()
            assert b"POST /dicom-web/studies HTTP/1.1" in head
            assert b"authorization: Bearer x" in head
            sizes.append(len(set(_UID.findall(body))))
            await wire.answer(200, report(body))

    headers = (("authorization", "Bearer x"),)
    watched, stop = await send(archive, walk([put(tmp_path, 7)]), batch_files=3, headers=headers)
    assert stop is None
    assert sizes == [3, 3, 1]
    assert set(watched.outcomes().values()) == {Outcome.STORED}
    assert watched.most > 1500


async def test_service_unavailable_is_tried_again(tmp_path: Path) -> None:
    async def archive(wire: Wire) -> None:
        await wire.request()
        await wire.answer(503, extra=b"Retry-After: 0\r\n")
        _, body = await wire.request()
        await wire.answer(200, report(body))

    watched, stop = await send(archive, walk([put(tmp_path, 2)]))
    assert stop is None
    assert watched.pauses == ["HTTP 503"]
    assert watched.outcomes() == {"1": Outcome.STORED, "2": Outcome.STORED}


@pytest.mark.parametrize(("retry_after", "asked"), [(b"0", 2), (b"3600", 1)])
async def test_patience_ends(retry_after: bytes, asked: int, tmp_path: Path) -> None:
    requests = []

    async def archive(wire: Wire) -> None:
        while True:
            requests.append(await wire.request())
            await wire.answer(503, extra=b"Retry-After: %s\r\n" % retry_after)

    watched, stop = await send(archive, walk([put(tmp_path, 4)]), batch_files=2, retries=1)
    assert stop is not None
    assert (stop.answered, stop.status) == (True, 503)
    assert ("3600 s" in stop.text) == (asked == 1)
    assert len(requests) == asked
    assert watched.results == []


async def test_a_failure_that_names_no_instance_is_told(tmp_path: Path) -> None:
    async def archive(wire: Wire) -> None:
        await wire.request()
        await wire.answer(503, to_json(StoreReport(other=(Other(FailureReason.OUT_OF_RESOURCES),)).to_data_set()))

    _, stop = await send(archive, walk([put(tmp_path, 1)]), retries=0)
    assert stop is not None
    assert stop.text == "HTTP 503: A700H out of resources"


async def test_what_lacked_room_goes_alone_again(tmp_path: Path) -> None:
    bodies = []

    async def archive(wire: Wire) -> None:
        while True:
            _, body = await wire.request()
            bodies.append(set(_UID.findall(body)))
            await wire.answer(202, report(body, {"1.2.5.2": FailureReason.OUT_OF_RESOURCES}))

    watched, stop = await send(archive, walk([put(tmp_path, 3)]), retries=1)
    assert stop is None
    assert bodies[1:] == [{b"1.2.5.2"}]
    assert watched.outcomes() == {"1": Outcome.STORED, "2": Outcome.REFUSED, "3": Outcome.STORED}
    assert "A700H out of resources" in [result.text for result in watched.results]


async def test_a_request_too_large_is_halved(tmp_path: Path) -> None:
    async def archive(wire: Wire) -> None:
        while True:
            _, body = await wire.request()
            few = len(set(_UID.findall(body))) <= 2
            await wire.answer(200 if few else 413, report(body) if few else b"")

    watched, stop = await send(archive, walk([put(tmp_path, 7)]))
    assert stop is None
    assert list(watched.outcomes().values()) == [Outcome.STORED] * 7


async def test_one_that_spoils_the_request_is_found(tmp_path: Path) -> None:
    async def archive(wire: Wire) -> None:
        while True:
            _, body = await wire.request()
            spoilt = b"1.2.5.3" in body
            await wire.answer(400 if spoilt else 200, b'{"detail": "bad part"}' if spoilt else report(body))

    watched, stop = await send(archive, walk([put(tmp_path, 4)]))
    assert stop is None
    assert watched.outcomes() == {"3": Outcome.REFUSED} | dict.fromkeys("124", Outcome.STORED)
    assert "HTTP 400: bad part" in [result.text for result in watched.results]


async def test_a_success_that_names_nobody_proves_nothing(tmp_path: Path) -> None:
    async def archive(wire: Wire) -> None:
        await wire.request()
        await wire.answer(200)

    watched, stop = await send(archive, walk([put(tmp_path, 1)]))
    assert stop is None
    assert watched.outcomes() == {"1": Outcome.UNPROVEN}


async def test_a_credential_that_is_refused_ends_it(tmp_path: Path) -> None:
    async def archive(wire: Wire) -> None:
        await wire.request()
        await wire.answer(401)
        await wire.closed()

    watched, stop = await send(archive, walk([put(tmp_path, 6)]), batch_files=2)
    assert stop is not None
    assert stop.status == 401
    assert watched.results == []


async def test_a_lost_answer_is_asked_for_again(tmp_path: Path) -> None:
    async def archive(wire: Wire) -> None:
        _, body = await wire.request()
        if wire.number == 1:
            wire.close()
        else:
            await wire.answer(200, report(body))

    watched, stop = await send(archive, walk([put(tmp_path, 2)]))
    assert stop is None
    assert watched.outcomes() == {"1": Outcome.STORED, "2": Outcome.STORED}


async def test_a_lost_answer_that_stays_lost_is_told_as_such(tmp_path: Path) -> None:
    async def archive(wire: Wire) -> None:
        await wire.request()

    watched, stop = await send(archive, walk([put(tmp_path, 1)]), retries=0)
    assert stop is not None
    assert not stop.answered
    assert watched.outcomes() == {"1": Outcome.UNPROVEN}


async def test_nobody_there(tmp_path: Path) -> None:
    watched = Watched()
    async with open_client(Endpoint.parse("http://127.0.0.1:1"), ClientSettings()) as client:
        found = walk([put(tmp_path, 3)])
        stop = await FileSender(client, SendSettings(retries=1), watched).send(found)
    assert stop is not None
    assert (stop.answered, stop.status) == (False, None)
    assert len(watched.pauses) == 1
    assert watched.results == []


async def test_a_file_that_changes_under_way_is_left_out(tmp_path: Path) -> None:
    put(tmp_path, 2)

    def found() -> Iterator[Found]:
        yield Found(tmp_path / "1", named=True)
        (tmp_path / "1").write_bytes(instance(1)[:-8])
        yield Found(tmp_path / "2", named=True)

    async def archive(wire: Wire) -> None:
        _, body = await wire.request()
        await wire.answer(200, report(body))

    watched, stop = await send(archive, found())
    assert stop is None
    assert watched.outcomes() == {"1": Outcome.UNREADABLE, "2": Outcome.STORED}


async def test_a_redirect_on_the_same_host_is_followed(tmp_path: Path) -> None:
    async def archive(wire: Wire) -> None:
        while True:
            head, body = await wire.request()
            moved = b"POST /dicom-web/studies" in head
            where = b"Location: /elsewhere/studies\r\n" if moved else b""
            await wire.answer(307 if moved else 200, b"" if moved else report(body), extra=where)

    watched, stop = await send(archive, walk([put(tmp_path, 2)]))
    assert stop is None
    assert watched.outcomes() == {"1": Outcome.STORED, "2": Outcome.STORED}
