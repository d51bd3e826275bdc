"""The storage commitment transactions: what is answered to whom and when (PS3.18 13, DICOM.md §6)."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from edged.dicom.reasons import FailureReason
from edged.dicomweb.representation import OFFERED
from edged.store import commitments
from edged.store.records import DeliveryState
from edged.telemetry.clock import ManualClock
from tests.support.asgi_kit import Answer
from tests.support.box_kit import ARCHIVE, Box, opened_box
from tests.support.commitment_kit import FAILED_STUDY, JSON, STUDY, moved, outcome, sop_form, study_form
from tests.support.stow_kit import CT, Named, made, named, parts_of

ONE, TWO, THREE = named(1), named(2), named(3)
ASK = "/commitment-requests/1.2.826.0.2.1"
GRACE_S = 600.0
KEEP_S = 90 * 86_400.0


@pytest.fixture
async def archive(tmp_path: Path) -> AsyncIterator[Box]:
    """A box that is itself an archive."""
    async with opened_box(tmp_path, '[commitment]\nevidence = "local"\n') as opened:
        yield opened


async def ask(box: Box, body: bytes, path: str = ASK, **headers: str) -> Answer:
    return await box.ask("POST", path, {**JSON, **headers}, body)


async def check(box: Box, path: str = ASK, accept: str = "application/dicom+json") -> Answer:
    return await box.ask("GET", path, {"Accept": accept})


def later(box: Box, seconds: float) -> None:
    assert isinstance(box.clock, ManualClock)
    box.clock.advance(seconds)


async def test_local_evidence_is_answered_at_once(archive: Box) -> None:
    await archive.stow(made(ONE), made(TWO))
    answer = await ask(archive, sop_form([ONE, TWO]))
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/dicom+json"
    assert outcome(answer.body) == {ONE.instance: 0, TWO.instance: 0}
    again = await check(archive)
    assert (again.status, again.body, again.headers) == (200, answer.body, answer.headers)


@pytest.mark.parametrize("accept", list(map(str, OFFERED)))
async def test_a_result_says_what_it_represents(archive: Box, accept: str) -> None:
    """PS3.18 Tables 8.4.2-1 and 8.6.1-1."""
    await archive.stow(made(ONE))
    for answer in (await ask(archive, sop_form([ONE]), Accept=accept), await check(archive, accept=accept)):
        url = f"http://localhost:8080{ASK}"
        assert (answer.status, answer.headers["content-location"]) == (200, url)
        if accept.startswith("multipart"):
            [(head, body)] = parts_of(answer.headers["content-type"], answer.body)
            assert (head["content-location"], head["content-length"]) == (url, str(len(body)))
    assert "content-location" not in (await ask(archive, sop_form([TWO]), f"{ASK}.1")).headers


async def test_a_result_is_sent_once(archive: Box) -> None:
    await archive.stow(*(made(named(number)) for number in range(30)))
    await ask(archive, sop_form(named(number) for number in range(30)))
    tags = set()
    for accept in map(str, OFFERED):
        for coding in ("identity", "gzip", "zstd"):
            wanted = {"Accept": accept, "Accept-Encoding": coding}
            answer = await archive.ask("GET", ASK, wanted)
            assert (answer.status, answer.headers.get("content-encoding", "identity")) == (200, coding)
            tag = answer.headers["etag"]
            tags.add(tag)
            for method, condition, value, status in (
                ("GET", "If-None-Match", tag, 304),
                ("HEAD", "If-None-Match", f'"x", W/{tag}', 304),
                ("GET", "If-None-Match", "*", 304),
                ("GET", "If-None-Match", '"other"', 200),
                ("GET", "If-Match", tag, 200),
                ("GET", "If-Match", '"other"', 412),
                ("GET", "If-Modified-Since", "Sun, 06 Nov 2094 08:49:37 GMT", 200),
                ("POST", "If-None-Match", tag, 409),
            ):
                again = await archive.ask(method, ASK, {**JSON, **wanted, condition: value}, sop_form([ONE]))
                assert again.status == status, (method, condition, value)
                if status == 304:
                    kept = answer.headers.keys() - {"content-type", "content-length", "content-encoding"}
                    assert (again.headers, again.body) == ({name: answer.headers[name] for name in kept}, b"")
    assert len(tags) == 3 * len(OFFERED)


async def test_a_condition_is_judged_of_a_result_only(box: Box) -> None:
    await box.stow(made(ONE))
    assert (await ask(box, sop_form([ONE]))).status == 202
    for path, status in ((ASK, 202), (ASK + "9", 404)):
        answer = await box.ask("GET", path, {"Accept": "*/*", "If-None-Match": "*", "If-Match": '"x"'})
        assert answer.status == status
        assert "etag" not in answer.headers


async def test_the_study_form_is_answered_in_the_study_form(archive: Box) -> None:
    await archive.stow(made(ONE), made(TWO))
    answer = await ask(archive, study_form([ONE, TWO]))
    assert answer.status == 200
    content = json.loads(answer.body)
    assert set(content) == {STUDY}
    [study] = content[STUDY]["Value"]
    assert study["0020000D"]["Value"] == [ONE.study]
    wrong = await ask(archive, study_form([ONE, TWO], "1.2.840.10008.5.1.4.1.1.7"), ASK + ".9")
    assert set(json.loads(wrong.body)) == {FAILED_STUDY}


async def test_requests_and_answers_in_xml(archive: Box) -> None:
    await archive.stow(made(ONE))
    body = (
        '<NativeDicomModel xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM">'
        '<DicomAttribute tag="00081199" vr="SQ">'
        f'<Item number="1"><DicomAttribute tag="00081150" vr="UI"><Value number="1">{CT}</Value></DicomAttribute>'
        f'<DicomAttribute tag="00081155" vr="UI"><Value number="1">{ONE.instance}</Value></DicomAttribute></Item>'
        "</DicomAttribute></NativeDicomModel>"
    ).encode()
    xml = {"Content-Type": "application/dicom+xml", "Accept": "application/dicom+xml"}
    answer = await archive.ask("POST", ASK, xml, body)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/dicom+xml"
    values = {value.text for value in ElementTree.fromstring(answer.body).iter() if value.text}
    assert values == {CT, ONE.instance}
    inside = f"--b\r\nContent-Type: application/dicom+xml\r\n\r\n{body.decode()}\r\n--b--".encode()
    related = 'multipart/related; type="application/dicom+xml"'
    answer = await archive.ask(
        "POST", ASK + ".1", {"Content-Type": f"{related}; boundary=b", "Accept": related}, inside
    )
    assert answer.status == 200
    [(head, _)] = parts_of(answer.headers["content-type"], answer.body)
    assert head["content-type"] == "application/dicom+xml"


async def test_a_request_never_answers_406(archive: Box) -> None:
    await archive.stow(made(ONE))
    for number, headers in enumerate([{"Accept": "image/png"}, {"Accept": ""}]):
        answer = await ask(archive, sop_form([ONE]), f"{ASK}.{number}", **headers)
        assert answer.status == 200
        assert answer.headers["content-type"] == "application/dicom+json"
    without = await archive.ask("POST", ASK + ".7", {"Content-Type": "application/dicom+json"}, sop_form([ONE]))
    assert without.status == 200
    assert (await check(archive, ASK + ".0", "image/png")).status == 406


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json; charset=utf-8", 200),
        ("Application/DICOM+JSON", 200),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("", 415),
        (None, 200),
    ],
)
async def test_what_a_form_of_a_page_can_send_is_no_request(
    archive: Box, content_type: str | None, status: int
) -> None:
    await archive.stow(made(ONE))
    headers = {} if content_type is None else {"Content-Type": content_type}
    assert (await archive.ask("POST", ASK, headers, sop_form([ONE]))).status == status


async def test_upstream_evidence_is_waited_for(box: Box) -> None:
    await box.stow(made(ONE), made(TWO))
    answer = await ask(box, sop_form([ONE, TWO]))
    assert (answer.status, answer.body) == (202, b"")
    assert int(answer.headers["retry-after"]) > 0
    for instance in (ONE, TWO):
        assert (await check(box)).status == 202
        await moved(box, instance, DeliveryState.SENT)
        await box.commitment.decide_open()
        assert (await check(box)).status == 202
        await moved(box, instance, DeliveryState.COMMITTED, proof="dicomweb")
        await box.commitment.decide_open()
    done = await check(box)
    assert done.status == 200
    assert outcome(done.body) == {ONE.instance: 0, TWO.instance: 0}


async def test_who_waits_for_long_is_told_to_ask_less_often(box: Box) -> None:
    await box.stow(made(ONE))
    assert (await ask(box, sop_form([ONE]))).headers["retry-after"] == "10"
    told = []
    for seconds in (0, 1000, 1000, 86_400):
        later(box, seconds)
        told.append((await check(box)).headers["retry-after"])
    assert told == ["10", "50", "100", "300"]
    assert isinstance(box.clock, ManualClock)
    box.clock.set_wall(0.0)
    assert (await check(box)).headers["retry-after"] == "10"


async def test_requests_for_which_there_is_no_room_come_again(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    await box.stow(made(ONE))
    assert (await ask(box, sop_form([ONE]))).status == 202
    monkeypatch.setattr(commitments, "MAX_OPEN_REQUESTS", 1)
    answer = await ask(box, sop_form([ONE]), ASK + "2")
    assert answer.status == 503
    assert int(answer.headers["retry-after"]) > 0
    assert (await check(box, ASK + "2")).status == 404, "nothing is left of it"
    await moved(box, ONE, DeliveryState.COMMITTED, proof="dicomweb")
    await box.commitment.decide_open()
    assert (await ask(box, sop_form([ONE]), ASK + "2")).status == 200


async def test_what_is_proven_already_is_answered_at_once(box: Box) -> None:
    await box.stow(made(ONE))
    await moved(box, ONE, DeliveryState.COMMITTED, proof="search")
    answer = await ask(box, sop_form([ONE]))
    assert answer.status == 200
    assert outcome(answer.body) == {ONE.instance: 0}


async def test_a_kind_of_proof_that_is_not_accepted(box: Box) -> None:
    await box.stow(made(ONE))
    await moved(box, ONE, DeliveryState.COMMITTED, proof="stored")
    answer = await ask(box, sop_form([ONE]))
    assert outcome(answer.body) == {ONE.instance: FailureReason.PROCESSING_FAILURE}


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        (0x0122, 0x0122),
        (0x0119, 0x0119),
        (0x0110, 0x0110),
        (0xA700, 0x0213),
        (0x0213, 0x0213),
        (0xA900, 0x0110),
        (0xC122, 0x0110),
        (0xFFFF, 0x0110),
        (None, 0x0110),
    ],
)
async def test_what_is_parked_upstream(box: Box, reason: int | None, told: int) -> None:
    await box.stow(made(ONE), made(TWO))
    await moved(box, ONE, DeliveryState.PARKED, reason=reason)
    await moved(box, TWO, DeliveryState.COMMITTED, proof="dicomweb")
    answer = await ask(box, sop_form([ONE, TWO]))
    assert answer.status == 200
    assert outcome(answer.body) == {ONE.instance: told, TWO.instance: 0}


async def test_without_a_required_destination_nothing_can_be_proven(tmp_path: Path) -> None:
    async with opened_box(tmp_path) as box:
        await box.stow(made(ONE))
        answer = await ask(box, sop_form([ONE]))
        assert outcome(answer.body) == {ONE.instance: FailureReason.PROCESSING_FAILURE}


async def test_another_class_is_a_conflict(archive: Box) -> None:
    await archive.stow(made(ONE))
    answer = await ask(archive, sop_form([ONE], "1.2.840.10008.5.1.4.1.1.7"))
    assert outcome(answer.body) == {ONE.instance: FailureReason.CLASS_INSTANCE_CONFLICT}


async def test_an_unknown_instance_is_denied_after_the_grace(archive: Box) -> None:
    await archive.stow(made(ONE))
    assert (await ask(archive, sop_form([ONE, THREE]))).status == 202
    later(archive, GRACE_S - 1)
    await archive.commitment.decide_open()
    assert (await check(archive)).status == 202
    later(archive, 1)
    await archive.commitment.decide_open()
    answer = await check(archive)
    assert answer.status == 200
    assert outcome(answer.body) == {ONE.instance: 0, THREE.instance: FailureReason.NO_SUCH_OBJECT_INSTANCE}
    await archive.stow(made(THREE))
    await archive.commitment.decide_open()
    assert (await check(archive)).body == answer.body


async def test_an_instance_that_comes_within_the_grace(archive: Box) -> None:
    assert (await ask(archive, sop_form([ONE]))).status == 202
    await archive.stow(made(ONE))
    await archive.commitment.decide_open()
    assert outcome((await check(archive)).body) == {ONE.instance: 0}


async def test_an_instance_elsewhere_than_the_study_form_says(archive: Box) -> None:
    await archive.stow(made(ONE))
    wrong = Named(ONE.instance, "1.2.3.9", ONE.study)
    assert (await ask(archive, study_form([wrong]))).status == 202
    later(archive, GRACE_S)
    await archive.commitment.decide_open()
    content = json.loads((await check(archive)).body)
    assert set(content) == {FAILED_STUDY}
    assert str(int(FailureReason.NO_SUCH_OBJECT_INSTANCE)) in json.dumps(content)


async def test_a_transaction_uid_is_used_once(box: Box) -> None:
    await box.stow(made(ONE))
    assert (await ask(box, sop_form([ONE]))).status == 202
    for body in (sop_form([ONE]), sop_form([TWO])):
        assert (await ask(box, body)).status == 409
    assert (await check(box)).status == 202
    assert (await check(box, ASK + "1")).status == 404


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"garbage",
        b"{",
        b"{}",
        b"[]",
        b'"text"',
        b"<html></html>",
        b'{"00081199": {"vr": "SQ", "Value": []}}',
        b'{"00081199": {"vr": "SQ", "Value": [{}]}}',
        sop_form([ONE, ONE]),
        study_form([ONE, ONE]),
        sop_form([Named("not a UID")]),
    ],
)
async def test_bad_requests(box: Box, body: bytes) -> None:
    answer = await ask(box, body)
    assert answer.status == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert (await check(box)).status == 404


async def test_a_transaction_uid_that_is_none(box: Box) -> None:
    for uid in ("x", "1." + "2" * 64, "%20", "1.2.3%2F4"):
        assert (await ask(box, sop_form([ONE]), f"/commitment-requests/{uid}")).status == 400


async def test_too_many_references(box: Box) -> None:
    assert (await ask(box, sop_form(named(each) for each in range(20_001)))).status == 413
    assert (await ask(box, b" " * ((8 << 20) + 1))).status == 413
    assert (await check(box)).status == 404


async def test_results_are_kept_and_then_gone(archive: Box) -> None:
    await archive.stow(made(ONE))
    assert (await ask(archive, sop_form([ONE]))).status == 200
    later(archive, KEEP_S)
    await archive.commitment.purge()
    assert (await check(archive)).status == 200
    later(archive, 1)
    await archive.commitment.purge()
    assert (await check(archive)).status == 410
    assert (await ask(archive, sop_form([ONE]))).status == 409


async def test_nothing_is_purged_by_a_clock_that_is_not_trusted(archive: Box) -> None:
    await archive.stow(made(ONE))
    await ask(archive, sop_form([ONE]))
    assert isinstance(archive.clock, ManualClock)
    archive.clock.set_wall(archive.clock.wall() + 2 * KEEP_S, trusted=False)
    await archive.commitment.purge()
    assert (await check(archive)).status == 200


async def test_requests_outlive_a_restart(tmp_path: Path) -> None:
    clock = ManualClock()
    async with opened_box(tmp_path, ARCHIVE, clock=clock, keep=True) as box:
        await box.stow(made(ONE))
        assert (await ask(box, sop_form([ONE]))).status == 202
    async with opened_box(tmp_path, ARCHIVE, clock=clock) as box:
        assert (await check(box)).status == 202
        await moved(box, ONE, DeliveryState.COMMITTED, proof="dicomweb")
        await box.commitment.decide_open()
        assert outcome((await check(box)).body) == {ONE.instance: 0}
