"""Event reports: command fields, the private block, and the shape of each kind."""

from dataclasses import replace

import pytest

from edged.dicom.reasons import FailureReason
from edged.dicomweb.data_set import DataSet, first_of, items_of, text_of
from edged.dicomweb.event_report import (
    COMMITMENT_SOP_CLASS_UID,
    EVENT_SOP_CLASS_UID,
    EVENT_SOP_INSTANCE_UID,
    EVENT_TYPE_IDS,
    EventHead,
    EventInstance,
    EventKind,
    commitment_event,
    instances_event,
    study_event,
    subject_event,
)
from edged.dicomweb.json_model import from_json, to_json
from edged.dicomweb.xml_model import from_xml, to_xml

INSTANCE = EventInstance("1.1", "1.2", "1.3", "1.4", "EDGED", "http://box/studies/1.1/series/1.2/instances/1.4")
INSTANCE_KINDS = [
    EventKind.RECEIVED,
    EventKind.SENT,
    EventKind.COMMITTED,
    EventKind.PARKED,
    EventKind.CONFLICT,
    EventKind.EVICTED,
]


def check_common(report: DataSet, head: EventHead) -> None:
    assert first_of(report, "00000100") == 0x0100
    assert first_of(report, "00000110") == head.last % 65536
    assert first_of(report, "00000800") != 0x0101
    assert text_of(report, "00990010") == "EDGED 1.0"
    assert (report["00991001"].vr, first_of(report, "00991001")) == ("UV", head.last)
    assert (report["00991002"].vr, first_of(report, "00991002")) == ("UV", head.first)
    assert (report["00991003"].vr, text_of(report, "00991003")) == ("LO", str(head.kind))
    assert (report["00991006"].vr, first_of(report, "00991006")) == ("UV", head.resume)
    assert not [tag for tag in report if tag.startswith("0010")]
    assert from_json(to_json(report)) == [report]
    assert from_xml(to_xml(report)) == report


@pytest.mark.parametrize("kind", INSTANCE_KINDS)
def test_an_instance_event_is_shaped_like_an_availability_notification(kind: EventKind) -> None:
    head = EventHead(kind, 70_000, 70_000, 70_000)
    report = instances_event(head, [INSTANCE], subject="archive", text="0111H")
    check_common(report, head)
    assert text_of(report, "00000002") == EVENT_SOP_CLASS_UID
    assert text_of(report, "00001000") == EVENT_SOP_INSTANCE_UID
    assert first_of(report, "00001002") == EVENT_TYPE_IDS[kind]
    assert report["00081111"].values == ()
    assert text_of(report, "0020000D") == "1.1"
    [series] = items_of(report, "00081115")
    assert text_of(series, "0020000E") == "1.2"
    [item] = items_of(series, "00081199")
    assert (text_of(item, "00081150"), text_of(item, "00081155")) == ("1.3", "1.4")
    assert text_of(item, "00080054") == "EDGED"
    gone = kind is EventKind.EVICTED
    assert text_of(item, "00080056") == ("UNAVAILABLE" if gone else "ONLINE")
    assert text_of(item, "00081190") == ("" if gone else INSTANCE.retrieve_url)
    assert (text_of(report, "00991004"), text_of(report, "00991005")) == ("archive", "0111H")


def test_instances_of_a_study_stand_by_series() -> None:
    head = EventHead(EventKind.RECEIVED, 9, 4, 3)
    series = [("1.2", "1.4"), ("1.3", "1.5"), ("1.2", "1.6")]
    instances = [replace(INSTANCE, series_instance_uid=one, sop_instance_uid=uid) for one, uid in series]
    report = instances_event(head, instances)
    check_common(report, head)
    found = {
        text_of(item, "0020000E"): [text_of(each, "00081155") for each in items_of(item, "00081199")]
        for item in items_of(report, "00081115")
    }
    assert found == {"1.2": ["1.4", "1.6"], "1.3": ["1.5"]}


@pytest.mark.parametrize(
    ("failed", "event_type", "tags"),
    [
        ({}, 1, {"00081199"}),
        ({("1.3", "1.5"): FailureReason.NO_SUCH_OBJECT_INSTANCE}, 2, {"00081199", "00081198"}),
    ],
)
def test_a_commitment_result_is_the_standard_s_event(
    failed: dict[tuple[str, str], FailureReason], event_type: int, tags: set[str]
) -> None:
    head = EventHead(EventKind.COMMITMENT_RESULT, 3, 3, 3)
    report = commitment_event(head, "9.9", committed=[("1.3", "1.4")], failed=failed)
    check_common(report, head)
    assert text_of(report, "00000002") == COMMITMENT_SOP_CLASS_UID
    assert text_of(report, "00001000") == "1.2.840.10008.1.20.1.1"
    assert first_of(report, "00001002") == event_type
    assert text_of(report, "00081195") == "9.9"
    assert tags == {"00081198", "00081199"} & report.keys()
    assert [first_of(item, "00081197") for item in items_of(report, "00081198")] == list(failed.values())


def test_a_result_without_anything_committed_has_no_referenced_sequence() -> None:
    failed = {("1.3", "1.5"): FailureReason.PROCESSING_FAILURE}
    report = commitment_event(EventHead(EventKind.COMMITMENT_RESULT, 1, 1, 1), "9", committed=[], failed=failed)
    assert "00081199" not in report


def test_a_settled_study_has_its_count_and_range() -> None:
    head = EventHead(EventKind.STUDY_SETTLED, 9, 4, 9)
    report = study_event(head, "1.1", instances=120)
    check_common(report, head)
    assert (text_of(report, "0020000D"), first_of(report, "00201208")) == ("1.1", 120)


@pytest.mark.parametrize(
    "kind",
    [
        EventKind.CONDITION_RAISED,
        EventKind.CONDITION_CLEARED,
        EventKind.DESTINATION_UP,
        EventKind.DESTINATION_DOWN,
        EventKind.GAP,
    ],
)
def test_a_condition_or_destination_is_named(kind: EventKind) -> None:
    head = EventHead(kind, 1, 1, 1)
    report = subject_event(head, "archive", text="refused")
    check_common(report, head)
    assert text_of(report, "00991004") == "archive"


def test_every_kind_but_the_standard_s_has_its_own_event_type() -> None:
    assert EVENT_TYPE_IDS.keys() == set(EventKind) - {EventKind.COMMITMENT_RESULT}
    assert len(set(EVENT_TYPE_IDS.values())) == len(EVENT_TYPE_IDS)


@pytest.mark.parametrize("uid", [EVENT_SOP_CLASS_UID, EVENT_SOP_INSTANCE_UID])
def test_private_uids_are_derived_from_uuids(uid: str) -> None:
    number = uid.removeprefix("2.25.")
    assert number.isdigit()
    assert number[0] != "0"
    assert int(number) < 2**128
    assert len(uid) <= 64


def test_a_result_about_nothing_is_none() -> None:
    with pytest.raises(ValueError, match="names its instances"):
        commitment_event(EventHead(EventKind.COMMITMENT_RESULT, 1, 1, 1), "9", committed=[], failed={})
