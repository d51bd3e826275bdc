"""Event reports read back: ours in both encodings, and those of others."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.dicom.reasons import FailureReason
from edged.dicomweb.data_set import DataSet, DataSetError
from edged.dicomweb.event_reading import ReportedInstance, read_event_report
from edged.dicomweb.event_report import (
    EventHead,
    EventInstance,
    EventKind,
    commitment_event,
    instances_event,
    subject_event,
)
from edged.dicomweb.json_model import to_json
from edged.dicomweb.xml_model import to_xml

ONE = EventInstance("1.1", "1.2", "1.3", "1.4", "EDGED", "http://box/1.4")
TWO = EventInstance("1.1", "1.5", "1.3", "1.6", "EDGED", "http://box/1.6")
INSTANCES = [ReportedInstance("1.2", "1.3", "1.4", "ONLINE", "http://box/1.4")]
INSTANCES += [ReportedInstance("1.5", "1.3", "1.6", "ONLINE", "http://box/1.6")]


def forms(report: DataSet) -> list[bytes]:
    return [to_json(report), b"[" + to_json(report) + b"]", to_xml(report)]


@pytest.mark.parametrize("kind", [EventKind.RECEIVED, EventKind.SENT, EventKind.COMMITTED, EventKind.PARKED])
@pytest.mark.parametrize("form", range(3))
def test_a_report_about_instances(kind: EventKind, form: int) -> None:
    head = EventHead(kind, 9, 4, 3, time=1_800_000_000.25)
    read = read_event_report(forms(instances_event(head, [ONE, TWO], subject="archive", text="why"))[form])
    assert (read.kind, read.first, read.last, read.resume) == (kind, 4, 9, 3)
    assert (read.subject, read.text, read.study_instance_uid) == ("archive", "why", "1.1")
    assert read.time == 1_800_000_000.25
    assert read.instances == INSTANCES


def test_a_commitment_result() -> None:
    failed = {("1.3", "1.5"): FailureReason.PROCESSING_FAILURE}
    head = EventHead(EventKind.COMMITMENT_RESULT, 2**53 + 1, 2**53 + 1, 2**53 + 1)
    read = read_event_report(to_json(commitment_event(head, "9.9", committed=[], failed=failed)))
    assert (read.kind, read.transaction_uid, read.last) == (EventKind.COMMITMENT_RESULT, "9.9", 2**53 + 1)


def test_the_standard_s_own_result_needs_no_private_block() -> None:
    read = read_event_report(
        b'{"00000002": {"vr": "UI", "Value": ["1.2.840.10008.1.20.1"]}, "00001002": {"vr": "US", "Value": [1]},'
        b' "00081195": {"vr": "UI", "Value": ["9.9"]}, "00991001": {"vr": "UV", "Value": [7]}}'
    )
    assert (read.kind, read.transaction_uid, read.last) == (EventKind.COMMITMENT_RESULT, "9.9", None)


@pytest.mark.parametrize("kind", [EventKind.CONDITION_RAISED, EventKind.DESTINATION_DOWN, EventKind.GAP])
def test_a_report_about_a_subject(kind: EventKind) -> None:
    read = read_event_report(to_xml(subject_event(EventHead(kind, 3, 1, 3), "archive", text="refused")))
    assert (read.kind, read.subject, read.text, read.instances) == (kind, "archive", "refused", [])


def test_what_others_tell_is_no_kind_of_ours() -> None:
    assert read_event_report(b'{"00000002": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.34.6.4"]}}').kind is None


@given(st.binary(max_size=200) | st.text(alphabet='{}[]",:vr0129 UIValue', max_size=80).map(str.encode))
def test_nothing_else_leaves_the_reader(message: bytes) -> None:
    with suppress(DataSetError):
        read_event_report(message)
