"""Negotiation of a retrieve: media types, transfer syntaxes, the accept parameter (PS3.18 8.3.3.1, 8.7, 10.4.4)."""

import json

import pytest

from edged.dicom import uids
from edged.http.media_type import parse_media_type
from tests.support.box_kit import Box
from tests.support.dicom_samples import scan, shipped
from tests.support.stow_kit import Named, made, named

ONE = named(1)
COMPRESSED, IMPLICIT, BIG = "SC_rgb_jpeg_gdcm.dcm", "MR_small_implicit.dcm", "MR_small_bigendian.dcm"
PLAIN, JPEG_LOSSLESS = uids.EXPLICIT_VR_LITTLE_ENDIAN, uids.JPEG_LOSSLESS_SV1
RELATED = 'multipart/related; type="application/dicom"'


async def stored(box: Box, name: str) -> Named:
    data = shipped(name)
    assert (await box.stow(data)).status == 200
    found = scan(data)
    return Named(found.sop_instance_uid, found.series_instance_uid, found.study_instance_uid)


@pytest.mark.parametrize(
    ("name", "wanted", "leaves"),
    [
        (COMPRESSED, PLAIN, None),
        (COMPRESSED, JPEG_LOSSLESS, JPEG_LOSSLESS),
        (COMPRESSED, uids.JPEG_BASELINE, None),
        (COMPRESSED, "*", JPEG_LOSSLESS),
        (COMPRESSED, None, JPEG_LOSSLESS),
        (IMPLICIT, PLAIN, PLAIN),
        (IMPLICIT, "*", PLAIN),
        (IMPLICIT, None, PLAIN),
        (IMPLICIT, uids.IMPLICIT_VR_LITTLE_ENDIAN, None),
        (BIG, uids.EXPLICIT_VR_BIG_ENDIAN, None),
        (BIG, None, PLAIN),
    ],
)
async def test_the_transfer_syntax(box: Box, name: str, wanted: str | None, leaves: str | None) -> None:
    where = await stored(box, name)
    for essence in ("application/dicom", RELATED):
        accept = essence if wanted is None else f"{essence}; transfer-syntax={wanted}"
        answer = await box.ask("GET", where.path, {"Accept": accept})
        assert answer.status == (406 if leaves is None else 200)
        if leaves is not None and essence == "application/dicom":
            assert answer.headers["content-type"] == f"application/dicom; transfer-syntax={leaves}"
    both = f"application/dicom; transfer-syntax={uids.IMPLICIT_VR_LITTLE_ENDIAN}, application/dicom;q=0.1"
    assert (await box.ask("GET", where.path, {"Accept": both})).status == 200


async def test_a_transfer_syntax_that_is_not_to_be_had_is_406_with_what_is(box: Box) -> None:
    where = await stored(box, COMPRESSED)
    answer = await box.ask("GET", where.path, {"Accept": f"application/json, {RELATED}; transfer-syntax={PLAIN}"})
    assert answer.status == 406
    assert json.loads(answer.body)["available"] == [
        f'multipart/related; type="application/dicom"; transfer-syntax={JPEG_LOSSLESS}',
        f"application/dicom; transfer-syntax={JPEG_LOSSLESS}",
    ]


@pytest.mark.parametrize("accept", [None, "", "text/html", "image/jpeg", "application/dicom+json", "*/*;q=0"])
async def test_nothing_acceptable_is_406(box: Box, accept: str | None) -> None:
    await box.stow(made(ONE))
    answer = await box.ask("GET", ONE.path, {} if accept is None else {"Accept": accept})
    assert answer.status == 406
    assert b"application/dicom" in answer.body


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("*/*", "multipart/related"),
        ("multipart/related", "multipart/related"),
        ("application/*", "application/dicom"),
        (f"application/dicom;q=0.9, {RELATED};q=0.8", "application/dicom"),
        (f"application/dicom;q=0.8, {RELATED};q=0.9", "multipart/related"),
        ("application/dicom;q=0, */*", "multipart/related"),
        (f"{RELATED};q=0, */*", "application/dicom"),
        ('multipart/related; type="*/*"', "multipart/related"),
        ("application/dicom, application/dicom+json", "application/dicom"),
    ],
)
async def test_weights(box: Box, accept: str, chosen: str) -> None:
    await box.stow(made(ONE))
    answer = await box.ask("GET", ONE.path, {"Accept": accept})
    assert parse_media_type(answer.headers["content-type"]).essence == chosen
    assert "accept" in answer.headers["vary"].lower().split(", ")


@pytest.mark.parametrize(
    "accept", ["application/dicom, image/png", f"{RELATED}, text/html", "application/dicom, image/gif"]
)
async def test_dicom_and_rendered_types_together_are_400(box: Box, accept: str) -> None:
    await box.stow(made(ONE))
    assert (await box.ask("GET", ONE.path, {"Accept": accept})).status == 400


@pytest.mark.parametrize(
    ("parameter", "accept", "status"),
    [
        ("application/dicom", "*/*", 200),
        ("application/dicom", f"{RELATED}, application/dicom;q=0.1", 200),
        (f"application/dicom;transfer-syntax={PLAIN}", "*/*", 200),
        ("application%2Fdicom", "*/*", 200),
        ("application/dicom", RELATED, 400),
        ("application/*", "*/*", 400),
        ("nonsense", "*/*", 400),
        ("", "*/*", 400),
        ("application/dicom,image/png", "*/*", 400),
        ("application/dicom+json", "application/dicom+json", 406),
        ("application/dicom", None, 406),
    ],
)
async def test_the_accept_parameter(box: Box, parameter: str, accept: str | None, status: int) -> None:
    await box.stow(made(ONE))
    headers = {} if accept is None else {"Accept": accept}
    answer = await box.ask("GET", f"{ONE.path}?accept={parameter}", headers)
    assert answer.status == status
    if status == 200:
        assert answer.headers["content-type"] == f"application/dicom; transfer-syntax={PLAIN}"
        assert answer.headers["content-location"] == "http://localhost:8080" + ONE.path


async def test_negotiation_goes_before_conditions(box: Box) -> None:
    await box.stow(made(ONE))
    for name in ("If-Match", "If-None-Match", "Range"):
        assert (await box.ask("GET", ONE.path, {"Accept": "image/png", name: "*"})).status == 406
