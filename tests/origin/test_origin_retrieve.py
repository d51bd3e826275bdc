"""Retrieve of an instance and of its stored file (PS3.18 10.4, DICOM.md §1)."""

import pytest

from edged.app.box import Parts
from edged.dicom import uids
from edged.dicom.errors import DicomError
from edged.dicom.scanner import Scan
from edged.http.media_type import parse_media_type
from tests.support.asgi_kit import Answer
from tests.support.box_kit import Box
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


@pytest.mark.parametrize(
    ("name", "wanted", "status"),
    [
        (COMPRESSED, uids.EXPLICIT_VR_LITTLE_ENDIAN, 406),
        (COMPRESSED, "1.2.840.10008.1.2.4.70", 200),
        (COMPRESSED, "*", 200),
        (IMPLICIT, uids.EXPLICIT_VR_LITTLE_ENDIAN, 200),
        (IMPLICIT, "*", 200),
        (IMPLICIT, uids.IMPLICIT_VR_LITTLE_ENDIAN, 406),
        (BIG, uids.EXPLICIT_VR_BIG_ENDIAN, 406),
    ],
)
async def test_the_transfer_syntax_parameter(box: Box, name: str, wanted: str, status: int) -> None:
    _, _, where = await stored(box, name)
    for accept in (
        f"application/dicom; transfer-syntax={wanted}",
        f'multipart/related; type="application/dicom"; transfer-syntax={wanted}',
    ):
        assert (await box.ask("GET", where.path, {"Accept": accept})).status == status
    both = f"application/dicom; transfer-syntax={uids.IMPLICIT_VR_LITTLE_ENDIAN}, application/dicom;q=0.1"
    assert (await box.ask("GET", where.path, {"Accept": both})).status == 200


@pytest.mark.parametrize("accept", [None, "", "text/html", "image/jpeg", "application/dicom+json", "*/*;q=0"])
async def test_nothing_acceptable_is_406(box: Box, accept: str | None) -> None:
    await box.stow(made(ONE))
    headers = {} if accept is None else {"Accept": accept}
    answer = await box.ask("GET", ONE.path, headers)
    assert answer.status == 406
    assert b"application/dicom" in answer.body


async def test_what_is_not_here_is_404(box: Box) -> None:
    await box.stow(made(ONE))
    other = named(2).path, Named(ONE.instance, "1.2.3").path, Named(ONE.instance, ONE.series, "1.2.3").path
    for path in (*other, ONE.path + "0", ONE.path[:-1]):
        assert (await box.ask("GET", path, SINGLE)).status == 404
    assert (await box.ask("GET", "/admin/instances/1.2.3/file")).status == 404
    assert (await box.ask("GET", f"/studies/{STUDY}", SINGLE)).status in {404, 405}


def tag(answer: Answer) -> str:
    return answer.headers["etag"]


async def test_entity_tags(box: Box) -> None:
    await box.stow(made(ONE), made(named(2)))
    single, related = [await box.ask("GET", ONE.path, accept) for accept in (SINGLE, RELATED)]
    other = await box.ask("GET", named(2).path, SINGLE)
    assert len({tag(single), tag(related), tag(other)}) == 3
    for condition in (tag(single), "*", f'"x", {tag(single)}', f"W/{tag(single)}"):
        answer = await box.ask("GET", ONE.path, {**SINGLE, "If-None-Match": condition})
        assert answer.status == 304
        assert answer.headers == {"etag": tag(single)}
        assert answer.body == b""
    assert (await box.ask("GET", ONE.path, {**RELATED, "If-None-Match": tag(single)})).status == 200


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
        assert (await connection.ask("GET", ONE.path)).status == 406
