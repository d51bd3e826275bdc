"""Retrieve of an instance and of its stored file (PS3.18 10.4, DICOM.md §1)."""

from functools import partial
from pathlib import Path

import pytest

from edged.app.box import Parts
from edged.config.choices import Duplicate
from edged.dicom import uids
from edged.dicom.errors import DicomError
from edged.dicom.scanner import Scan
from edged.http.media_type import parse_media_type
from edged.store.eviction import evict_oldest
from edged.store.queue import move
from edged.store.records import Delivery, DeliveryState
from tests.support.box_kit import ARCHIVE, Box, opened_box
from tests.support.dicom_samples import read, scan, shipped, shipped_files, unheard
from tests.support.http_client import connected
from tests.support.stow_kit import MULTIPART, STUDY, Named, made, multipart, named, parts_of

ONE = named(1)
SINGLE = {"Accept": "application/dicom"}
RELATED = {"Accept": 'multipart/related; type="application/dicom"'}
COMPRESSED, IMPLICIT, BIG = "SC_rgb_jpeg_gdcm.dcm", "MR_small_implicit.dcm", "MR_small_bigendian.dcm"
CONVERTED = (IMPLICIT, BIG, "rtdose.dcm", "ExplVR_BigEnd.dcm", "SC_rgb_jpeg.dcm", "ExplVR_LitEndNoMeta.dcm")


def place(found: Scan) -> Named:
    return Named(found.sop_instance_uid, found.series_instance_uid, found.study_instance_uid)


async def stored(box: Box, name: str) -> tuple[bytes, Scan, Named]:
    data = shipped(name)
    assert (await box.stow(data)).status == 200
    found = scan(data)
    return data, found, place(found)


def require_equal(sent: bytes, got: bytes) -> None:
    """Pydicom finds the same values in both."""
    with unheard():
        before, after = read(sent), read(got)
        assert after.file_meta.TransferSyntaxUID not in {uids.IMPLICIT_VR_LITTLE_ENDIAN, uids.EXPLICIT_VR_BIG_ENDIAN}
        for element in before:
            if element.tag.element != 0 and element.VR not in {"SQ", "UN", "OW", "OB", "OB or OW"}:
                assert after[element.tag].value == element.value, element.tag
        assert [element.tag for element in after] == [each.tag for each in before if each.tag.element != 0]


async def test_every_shipped_file_comes_back(box: Box) -> None:
    seen = set()
    for path in shipped_files():
        data = path.read_bytes()
        try:
            found = scan(data)
        except DicomError:
            continue
        if found.sop_instance_uid in seen:
            continue
        seen.add(found.sop_instance_uid)
        assert (await box.stow(data)).status == 200, path.name
        await comes_back(box, data, found)
    assert len(seen) > 70


async def comes_back(box: Box, data: bytes, found: Scan) -> None:
    where = place(found).path
    answer = await box.ask("GET", where, SINGLE)
    assert answer.status == 200
    assert len(answer.body) == int(answer.headers["content-length"]) == found.exit_length
    declared = parse_media_type(answer.headers["content-type"]).parameter("transfer-syntax")
    if found.leaves_as_is:
        assert answer.body == data
        assert declared == found.transfer_syntax_uid
    else:
        assert declared == read(answer.body).file_meta.TransferSyntaxUID
    file = await box.ask("GET", f"/admin/instances/{found.sop_instance_uid}/file")
    assert file.body == data
    related = await box.ask("GET", where, RELATED)
    [(head, inner)] = parts_of(related.headers["content-type"], related.body)
    assert inner == answer.body
    assert head["content-type"] == answer.headers["content-type"]


@pytest.mark.parametrize("name", CONVERTED)
async def test_what_must_not_leave_is_converted(box: Box, name: str) -> None:
    data, found, where = await stored(box, name)
    assert not found.leaves_as_is
    answer = await box.ask("GET", where.path, SINGLE)
    require_equal(data, answer.body)
    assert scan(answer.body).dataset_digest == found.dataset_digest
    again = await box.stow(answer.body)
    assert again.status == 200
    assert "location" not in again.headers


async def test_a_single_part_and_a_multipart_answer(box: Box) -> None:
    data, found, where = await stored(box, COMPRESSED)
    syntax = found.transfer_syntax_uid
    single = await box.ask("GET", where.path, SINGLE)
    assert single.headers["content-type"] == f"application/dicom; transfer-syntax={syntax}"
    assert single.body == data
    for accept in ('multipart/related; type="application/dicom"', "multipart/related", "*/*", "multipart/*"):
        answer = await box.ask("GET", where.path, {"Accept": accept})
        assert answer.status == 200
        media_type = parse_media_type(answer.headers["content-type"])
        assert (media_type.essence, media_type.parameter("type")) == ("multipart/related", "application/dicom")
        [(head, inner)] = parts_of(answer.headers["content-type"], answer.body)
        assert head == {
            "content-type": f"application/dicom; transfer-syntax={syntax}",
            "content-location": "http://localhost:8080" + where.path,
            "content-length": str(len(data)),
        }
        assert inner == data


NOWHERE = ("1.2.3", "1.2.3.", "1..2", "x", "1.2.3%20", "9" * 65, "9" * 600, "%C3%A9")
"""UIDs of nothing, some of them no UIDs at all: a path that names nothing is not a bad request."""


async def test_what_is_not_here_is_404(box: Box) -> None:
    await box.stow(made(ONE))
    other = named(2).path, Named(ONE.instance, "1.2.3").path, Named(ONE.instance, ONE.series, "1.2.3").path
    malformed = [Named(uid).path for uid in NOWHERE] + [Named(ONE.instance, study=uid).path for uid in NOWHERE]
    for path in (*other, *malformed, ONE.path + "0", ONE.path[:-1]):
        assert (await box.ask("GET", path, SINGLE)).status == 404, path
    for uid in NOWHERE:
        assert (await box.ask("GET", f"/admin/instances/{uid}/file")).status == 404
    assert (await box.ask("GET", f"/studies/{STUDY}", SINGLE)).status in {404, 405}


async def test_what_was_let_go_is_410(box: Box) -> None:
    await box.stow(made(ONE))
    done = Delivery(state=DeliveryState.COMMITTED, since=1.0, proof="dicomweb")
    await box.store.write(partial(move, number=1, destination=1, expected=tuple(DeliveryState), to=done))
    await box.store.write(partial(evict_oldest, committed_before=9e9, least_bytes=0, now=5.0))
    for path in (ONE.path, f"/admin/instances/{ONE.instance}/file"):
        for method in ("GET", "HEAD"):
            assert (await box.ask(method, path, SINGLE)).status == 410
    assert (await box.stow(made(ONE))).status == 200
    assert (await box.ask("GET", ONE.path, SINGLE)).status == 200


async def test_a_conflict_is_not_addressed_by_its_uid(tmp_path: Path) -> None:
    async with opened_box(tmp_path, ARCHIVE) as box:
        box.door.duplicate = Duplicate.KEEP_BOTH
        first, second = made(ONE), made(ONE, fill=b"\x5b")
        for data in (first, second):
            assert (await box.stow(data)).status == 200
        assert (await box.ask("GET", ONE.path, SINGLE)).body == first


async def test_head(box: Box) -> None:
    await stored(box, IMPLICIT)
    await box.stow(made(ONE))
    where = place(scan(shipped(IMPLICIT)))
    for path in (ONE.path, where.path, f"/admin/instances/{ONE.instance}/file"):
        for accept in (SINGLE, RELATED):
            get, head = [await box.ask(method, path, accept) for method in ("GET", "HEAD")]
            assert (head.status, head.headers, head.body) == (get.status, get.headers, b"")
    missing = await box.ask("HEAD", named(7).path, SINGLE)
    assert (missing.status, missing.body) == (404, b"")


async def test_over_a_socket(served: Parts) -> None:
    where = place(scan(shipped(IMPLICIT)))
    async with connected(served.urls[0]) as connection:
        body = multipart([made(ONE, size=5 << 20), shipped(IMPLICIT)])
        assert (await connection.ask("POST", "/studies", {"Content-Type": MULTIPART}, body)).status == 200
        assert (await connection.ask("GET", ONE.path, SINGLE)).body == made(ONE, size=5 << 20)
        for accept in (SINGLE, RELATED):
            answer = await connection.ask("GET", where.path, accept)
            assert len(answer.body) == int(answer.headers["content-length"])
            none = await connection.ask("GET", where.path, {**accept, "If-None-Match": answer.headers["etag"]})
            assert (none.status, none.body) == (304, b"")
            assert "content-length" not in none.headers
            part = await connection.ask("GET", where.path, {**accept, "Range": "bytes=5-99,1000-"})
            assert (part.status, len(part.body)) == (206, int(part.headers["content-length"]))
        assert (await connection.ask("GET", ONE.path)).status == 406
