"""The Store transaction in process: what is stored, refused and answered (PS3.18 10.5, Annex I, DICOM.md §3)."""

import json

import pytest
import trio

from edged.dicom.reasons import FailureReason
from edged.origin.parts import PARTS_A_TURN
from edged.store.counters import standing
from edged.store.records import Standing
from tests.support.asgi_kit import Answer, Asked, call
from tests.support.box_kit import Box
from tests.support.dicom_samples import shipped
from tests.support.stow_kit import (
    BOUNDARY,
    CT,
    DICOM_PART,
    MULTIPART,
    STUDY,
    Report,
    json_report,
    made,
    multipart,
    named,
    parts_of,
    xml_report,
)

BASE = "http://localhost:8080"
ONE, TWO, THREE = named(1), named(2), named(3)
ELSEWHERE = named(9, "1.2.826.0.1.77")


def held(box: Box) -> int:
    """How many instances the box counts."""
    return box.store.read_now(lambda txn: txn.counter(standing(Standing.HELD)))


async def post(box: Box, content_type: str | None, body: bytes, **headers: str) -> Answer:
    given = {"Content-Type": content_type} if content_type is not None else {}
    return await box.ask("POST", "/studies", {**given, "Accept": "application/dicom+json", **headers}, body)


def of(answer: Answer) -> Report:
    assert answer.headers["content-type"] == "application/dicom+json"
    return json_report(answer.body)


async def test_one_instance(box: Box) -> None:
    answer = await box.stow(made(ONE))
    assert answer.status == 200
    assert answer.headers["location"] == answer.headers["content-location"] == f"{BASE}/studies/{STUDY}"
    assert of(answer) == Report({ONE.instance: BASE + ONE.path}, {}, [], f"{BASE}/studies/{STUDY}", {ONE.instance: CT})
    assert held(box) == 1


async def test_several_of_one_study_below_the_study(box: Box) -> None:
    answer = await box.stow(made(ONE), made(TWO), made(THREE), path=f"/studies/{STUDY}")
    assert answer.status == 200
    assert set(of(answer).stored) == {ONE.instance, TWO.instance, THREE.instance}
    assert held(box) == 3


async def test_several_studies(box: Box) -> None:
    answer = await box.stow(made(ONE), made(ELSEWHERE))
    assert answer.status == 200
    assert answer.headers["location"] == answer.headers["content-location"] == f"{BASE}/studies"
    report = of(answer)
    assert report.study_url is None
    assert report.stored == {each.instance: BASE + each.path for each in (ONE, ELSEWHERE)}


async def test_the_same_again_stores_nothing(box: Box) -> None:
    await box.stow(made(ONE))
    used = box.store.space.used
    answer = await box.stow(made(ONE))
    assert answer.status == 200
    assert set(of(answer).stored) == {ONE.instance}
    assert "location" not in answer.headers
    assert held(box) == 1
    assert box.store.space.used == used


async def test_the_same_instance_twice_in_a_request(box: Box) -> None:
    answer = await box.stow(made(ONE), made(ONE))
    assert answer.status == 200
    assert held(box) == 1


async def test_another_data_set_under_the_same_uid(box: Box) -> None:
    await box.stow(made(ONE))
    answer = await box.stow(made(ONE, fill=b"\x11"))
    assert answer.status == 409
    assert of(answer) == Report({}, {ONE.instance: FailureReason.DUPLICATE_SOP_INSTANCE}, [], None, {ONE.instance: CT})
    assert "location" not in answer.headers
    mixed = await box.stow(made(ONE, fill=b"\x11"), made(TWO))
    assert mixed.status == 202
    assert of(mixed).failed == {ONE.instance: FailureReason.DUPLICATE_SOP_INSTANCE}
    assert set(of(mixed).stored) == {TWO.instance}
    kept = await box.ask("GET", ONE.path, {"Accept": "application/dicom"})
    assert kept.body == made(ONE)


async def test_a_study_that_the_path_does_not_name(box: Box) -> None:
    answer = await box.stow(made(ONE), made(ELSEWHERE), path=f"/studies/{STUDY}")
    assert answer.status == 202
    report = of(answer)
    assert report.failed == {ELSEWHERE.instance: FailureReason.STUDY_INSTANCE_UID_MISMATCH}
    assert report.study_url == f"{BASE}/studies/{STUDY}"
    none = await box.stow(made(ELSEWHERE), path=f"/studies/{STUDY}")
    assert none.status == 409


@pytest.mark.parametrize("length", [0, 1, 100, 131, 132, 140, 300, 499, 1999])
async def test_a_truncated_file(box: Box, length: int) -> None:
    whole = made(ONE)
    answer = await box.stow(whole[: min(length, len(whole) - 1)], made(TWO))
    assert answer.status == 202
    report = of(answer)
    assert set(report.stored) == {TWO.instance}
    assert len(report.failed) + len(report.other) == 1
    assert held(box) == 1


async def test_an_image_that_ends_between_two_elements(box: Box) -> None:
    image = shipped("CT_small.dcm")
    cut = image[: image.index(b"\xe0\x7f\x10\x00OW")]
    answer = await box.stow(cut)
    assert answer.status == 409
    assert list(of(answer).failed.values()) == [FailureReason.PIXEL_DATA_MISSING]


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (MULTIPART.replace(BOUNDARY, "another"), multipart([made(ONE)])),
        ('multipart/related; type="application/dicom"', multipart([made(ONE)])),
        ('multipart/related; type="application/dicom"; boundary=""', multipart([made(ONE)])),
        ('multipart/related; type="application/dicom"; boundary="a\x7fb"', multipart([made(ONE)])),
        (MULTIPART, b""),
        (MULTIPART, multipart([])),
        (MULTIPART, b"\r\n\r\n"),
        (MULTIPART, made(ONE)),
        ("application/dicom", b""),
    ],
)
async def test_bad_syntax_is_400(box: Box, content_type: str, body: bytes) -> None:
    answer = await post(box, content_type, body)
    assert answer.status == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert json.loads(answer.body)["temporary"] is False
    assert held(box) == 0


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "text/html",
        "application/dicom+json",
        'multipart/related; type="application/dicom+json"; boundary=b',
        'multipart/related; type="application/dicom+xml"; boundary=b',
        "multipart/form-data; boundary=b",
        "application/zip",
    ],
)
async def test_an_unsupported_media_type_is_415(box: Box, content_type: str | None) -> None:
    answer = await post(box, content_type, multipart([made(ONE)], boundary="b"))
    assert answer.status == 415
    assert held(box) == 0


@pytest.mark.parametrize("value", ["", "dicom", "a/b/c; x=y", "multipart/related; boundary=a; boundary=b"])
async def test_a_content_type_that_is_none_is_400(box: Box, value: str) -> None:
    assert (await post(box, value, multipart([made(ONE)]))).status == 400


@pytest.mark.parametrize(
    "root", ['type="application/dicom"', "type=application/dicom", 'type="*/*"', "type=*/*", 'type="APPLICATION/DICOM"']
)
async def test_what_senders_write_as_the_root_type(box: Box, root: str) -> None:
    answer = await post(box, f"Multipart/Related; {root}; boundary=b", multipart([made(ONE)], boundary="b"))
    assert answer.status == 200


async def test_without_the_root_type(box: Box) -> None:
    assert (await post(box, "multipart/related; boundary=b", multipart([made(ONE)], boundary="b"))).status == 200


async def test_a_part_that_is_not_dicom(box: Box) -> None:
    page = b"<!DOCTYPE html><html><body>Please log in</body></html>" * 20
    for head in ((), DICOM_PART, (("Content-Type", "text/html"),), (("content-type", "application/dicom+json"),)):
        answer = await box.ask("POST", "/studies", {"Content-Type": MULTIPART}, multipart([(head, page)]))
        assert answer.status == 409
        assert of(answer) == Report({}, {}, [FailureReason.NOT_A_DICOM_FILE], None, {})


async def test_a_part_is_refused_by_its_own_word(box: Box) -> None:
    lying = ((("Content-Type", "image/jpeg"),), made(ONE))
    answer = await box.ask("POST", "/studies", {"Content-Type": MULTIPART}, multipart([lying, made(TWO)]))
    assert answer.status == 202
    assert of(answer).other == [FailureReason.NOT_A_DICOM_FILE]
    assert set(of(answer).stored) == {TWO.instance}


@pytest.mark.parametrize(
    "head",
    [
        (),
        (("Content-Type", ""),),
        (("Content-Type", "application/octet-stream"),),
        (("CONTENT-TYPE", 'Application/DICOM; transfer-syntax="1.2.840.10008.1.2.4.70"'), ("MIME-Version", "1.0")),
        (("Content-Type", "application/dicom"), ("Content-Length", "7"), ("Content-Location", "x")),
    ],
)
async def test_heads_of_parts_that_are_taken(box: Box, head: tuple[tuple[str, str], ...]) -> None:
    answer = await box.ask("POST", "/studies", {"Content-Type": MULTIPART}, multipart([(head, made(ONE))]))
    assert answer.status == 200


async def test_without_a_closing_delimiter_the_last_part_fails(box: Box) -> None:
    body = multipart([made(ONE), made(TWO), made(THREE)], closing=False)
    answer = await post(box, MULTIPART, body)
    assert answer.status == 202
    assert set(of(answer).stored) == {ONE.instance, TWO.instance}
    assert of(answer).failed == {THREE.instance: FailureReason.TRUNCATED}
    alone = await post(box, MULTIPART, multipart([made(THREE)], closing=False))
    assert alone.status == 409


@pytest.mark.parametrize("missing", [1, 10, 700, 1500])
async def test_a_body_that_is_shorter_than_it_should_be(box: Box, missing: int) -> None:
    body = multipart([made(ONE), made(TWO)], closing=False)
    answer = await post(box, MULTIPART, body[:-missing])
    assert answer.status == 202
    assert of(answer).failed == {TWO.instance: FailureReason.TRUNCATED}


async def test_a_part_head_that_cannot_be_read(box: Box) -> None:
    broken = (
        multipart([made(ONE)], closing=False) + b"\r\n--" + BOUNDARY.encode() + b"\r\nno header\r\n\r\n" + made(TWO)
    )
    answer = await post(box, MULTIPART, broken)
    assert answer.status == 202
    assert set(of(answer).stored) == {ONE.instance}
    assert of(answer).other == [FailureReason.CANNOT_UNDERSTAND]


async def test_a_preamble_and_an_epilogue(box: Box) -> None:
    answer = await post(box, MULTIPART, b"This is multipart.\r\n" + multipart([made(ONE)]) + b"The end.")
    assert answer.status == 200


async def test_a_single_part(box: Box) -> None:
    answer = await post(box, "application/dicom", made(ONE))
    assert answer.status == 200
    assert set(of(answer).stored) == {ONE.instance}
    cut = await post(box, "application/dicom", made(TWO)[:-10])
    assert cut.status == 409
    assert list(of(cut).failed) == [TWO.instance]


@pytest.mark.parametrize(
    "accept",
    [
        None,
        "",
        "application/dicom+json",
        "*/*",
        "text/html",
        "image/png;q=1",
        "application/dicom+json, application/json",
    ],
)
async def test_a_store_never_answers_406(box: Box, accept: str | None) -> None:
    headers = {"Content-Type": MULTIPART} | ({} if accept is None else {"Accept": accept})
    answer = await box.ask("POST", "/studies", headers, multipart([made(ONE)]))
    assert answer.status == 200
    assert set(of(answer).stored) == {ONE.instance}


async def test_every_form_of_the_answer(box: Box) -> None:
    await box.stow(made(ONE))
    parts = made(ONE, fill=b"\x11"), made(TWO), b"no DICOM"
    expected = json_report((await box.stow(*parts)).body)
    plain = await box.stow(*parts, accept="application/json")
    assert plain.headers["content-type"] == "application/json"
    assert json_report(plain.body) == expected
    xml = await box.stow(*parts, accept="application/dicom+xml")
    assert xml.headers["content-type"] == "application/dicom+xml"
    assert xml_report(xml.body) == expected
    for inner, read in (("application/dicom+json", json_report), ("application/dicom+xml", xml_report)):
        answer = await box.stow(*parts, accept=f'multipart/related; type="{inner}"')
        assert answer.status == 202
        assert answer.headers["content-type"].startswith(f'multipart/related; type="{inner}"; boundary=')
        [(head, data)] = parts_of(answer.headers["content-type"], answer.body)
        assert head["content-type"] == inner
        assert read(data) == expected


async def test_a_client_that_leaves_in_the_middle(box: Box) -> None:
    body = multipart([made(ONE), made(TWO, size=100_000)])
    headers = {"Content-Type": MULTIPART, "Content-Length": str(len(body))}
    for cut in (0, 30, 1000, 60_000, len(body) - 10):
        before = held(box)
        answer = await call(box.application, Asked("POST", "/studies", headers, body[:cut], gone=True))
        assert answer.status == 0
        assert held(box) - before in {0, 1}
        assert box.store.space.free == box.store.space.soft_cap - box.store.space.used
    assert held(box) == 1


async def test_a_large_instance_that_breaks_off_leaves_nothing(box: Box) -> None:
    body = multipart([made(ONE, size=20 << 20)])
    headers = {"Content-Type": MULTIPART}
    answer = await call(box.application, Asked("POST", "/studies", headers, body[: 18 << 20], gone=True))
    assert answer.status == 0
    assert held(box) == 0


async def test_a_large_instance(box: Box) -> None:
    data = made(ONE, size=20 << 20)
    answer = await post(box, MULTIPART, multipart([data]))
    assert answer.status == 200
    kept = await box.ask("GET", ONE.path, {"Accept": "application/dicom"})
    assert kept.body == data


async def test_ten_thousand_parts(box: Box) -> None:
    body = multipart(made(named(number), size=600) for number in range(10_000))
    answer = await post(box, MULTIPART, body)
    assert answer.status == 200
    assert len(of(answer).stored) == held(box) == 10_000


async def test_many_parts_that_are_nothing_leave_others_their_turn(box: Box) -> None:
    body = multipart([b"x"] * 2000)
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(count)
        answer = await post(box, MULTIPART, body)
        nursery.cancel_scope.cancel()
    assert answer.status == 409
    assert len(of(answer).other) == 2000
    assert turns > 2000 / PARTS_A_TURN


async def test_a_study_with_two_patients_is_stored_and_told(box: Box) -> None:
    await box.stow(made(ONE))
    answer = await box.stow(made(TWO, patient=b"P2"))
    assert answer.status == 200
    assert box.conditions.stands("study-inconsistent")
