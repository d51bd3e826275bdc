"""The Store Instances Response: built by the Standard, read as archives write it."""

from http import HTTPStatus

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.dicom.reasons import FailureReason, WarningReason
from edged.dicomweb.representation import DICOM_JSON, OFFERED, write_data_set
from edged.dicomweb.store_report import (
    Accepted,
    Failed,
    Other,
    ReadReport,
    Refused,
    Stored,
    StoreReport,
    read_store_report,
)
from edged.http.media_type import MediaType

CT = "1.2.840.10008.5.1.4.1.1.2"
STORED = Stored(CT, "1.1", "http://box/studies/9/series/8/instances/1.1")
WARNED = Stored(CT, "1.2", warning=WarningReason.COERCION_OF_DATA_ELEMENTS)
CONFLICT = Failed(CT, "1.3", FailureReason.DUPLICATE_SOP_INSTANCE)
NO_ROOM = Failed(CT, "1.4", FailureReason.OUT_OF_RESOURCES)
UNREADABLE = Other(FailureReason.NOT_A_DICOM_FILE)
FULL = StoreReport((STORED, WARNED), (CONFLICT,), (UNREADABLE,), "http://box/studies/9")


@pytest.mark.parametrize(
    ("report", "status"),
    [
        (StoreReport((STORED,)), HTTPStatus.OK),
        (StoreReport((STORED, WARNED)), HTTPStatus.ACCEPTED),
        (StoreReport((WARNED,)), HTTPStatus.ACCEPTED),
        (StoreReport((STORED,), (CONFLICT,)), HTTPStatus.ACCEPTED),
        (StoreReport((STORED,), (NO_ROOM,)), HTTPStatus.ACCEPTED),
        (StoreReport((STORED,), other=(UNREADABLE,)), HTTPStatus.ACCEPTED),
        (StoreReport((), (CONFLICT,)), HTTPStatus.CONFLICT),
        (StoreReport((), (), (UNREADABLE,)), HTTPStatus.CONFLICT),
        (StoreReport((), (CONFLICT, NO_ROOM)), HTTPStatus.SERVICE_UNAVAILABLE),
        (StoreReport(other=(Other(FailureReason.OUT_OF_RESOURCES),)), HTTPStatus.SERVICE_UNAVAILABLE),
        (StoreReport(), HTTPStatus.BAD_REQUEST),
    ],
)
def test_status(report: StoreReport, status: HTTPStatus) -> None:
    assert report.status() is status


def test_the_body_as_annex_i_shapes_it() -> None:
    def reference(uid: str) -> dict[str, object]:
        return {"00081150": {"vr": "UI", "Value": [CT]}, "00081155": {"vr": "UI", "Value": [uid]}}

    assert msgspec.json.decode(write_data_set(FULL.to_data_set()).body) == {
        "00081190": {"vr": "UR", "Value": ["http://box/studies/9"]},
        "00081198": {"vr": "SQ", "Value": [reference("1.3") | {"00081197": {"vr": "US", "Value": [273]}}]},
        "00081199": {
            "vr": "SQ",
            "Value": [
                reference("1.1") | {"00081190": {"vr": "UR", "Value": [STORED.retrieve_url]}},
                reference("1.2") | {"00081190": {"vr": "UR"}, "00081196": {"vr": "US", "Value": [45056]}},
            ],
        },
        "0008119A": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [49153]}}]},
    }


def test_sequences_without_items_are_left_out() -> None:
    assert list(StoreReport((STORED,)).to_data_set()) == ["00081190", "00081199"]


@pytest.mark.parametrize("media_type", OFFERED)
def test_our_own_report_is_read_back_in_every_form(media_type: MediaType) -> None:
    written = write_data_set(FULL.to_data_set(), media_type)
    expected = ReadReport(
        {"1.1": Accepted(None), "1.2": Accepted(0xB000), "1.3": Refused(0x0111)}, (0xC001,), FULL.study_url
    )
    assert read_store_report(written.body, written.content_type) == expected
    assert read_store_report(written.body, None) == expected
    assert read_store_report(written.body, "text/html; charset") == expected


def item(uid: str, **attributes: object) -> dict[str, object]:
    named = {"reason": "00081197", "warning": "00081196", "class_uid": "00081150"}
    written = {named[name]: {"vr": "US", "Value": [value]} for name, value in attributes.items()}
    return {"00081155": {"vr": "UI", "Value": [uid]}, **written}


def read(failed: list[dict[str, object]], stored: list[dict[str, object]]) -> ReadReport:
    body = {"00081198": {"vr": "SQ", "Value": failed}, "00081199": {"vr": "SQ", "Value": stored}}
    report = read_store_report(msgspec.json.encode([body]), "application/json")
    assert report is not None
    return report


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        (272, 272),
        (272.0, 272),
        ("272", 272),
        ("0110", 0x0110),
        ("0x0110", 0x0110),
        ("0110H", 0x0110),
        ("A700", 0xA700),
        ("c122h", 0xC122),
        (" 290\0", 290),
        ("0", 0),
        (70000, None),
        (-1, None),
        (1.5, None),
        ("A70000", None),
        ("unknown", None),
        ("", None),
        (True, None),
        (None, None),
        ([1], None),
        ("٢٧٢", None),
    ],
)
def test_a_failure_reason_in_every_dress(written: object, reason: int | None) -> None:
    assert read([item("1", reason=written)], []).outcomes == {"1": Refused(reason)}


def test_uids_lose_their_padding() -> None:
    assert read([], [item("1.2\0"), item(" 1.3 ")]).outcomes.keys() == {"1.2", "1.3"}


def test_a_failed_item_stays_failed_with_a_warning_and_when_it_is_also_referenced() -> None:
    report = read([item("1", warning=0xB000), item("2", reason=290)], [item("2"), item("3", warning=0xB999)])
    assert report.outcomes == {"1": Refused(None, 0xB000), "2": Refused(290), "3": Accepted(0xB999)}


def test_items_without_an_instance() -> None:
    report = read([{"00081197": {"vr": "US", "Value": [290]}}], [{}])
    assert report.outcomes == {}
    assert report.other_failures == (290,)


def test_the_erroneous_example_b_21_is_understood() -> None:
    stored: list[dict[str, object]] = [
        {"00080016": {"vr": "UI", "Value": [CT]}, "00080018": {"vr": "UI", "Value": ["1.5"]}}
    ]
    assert read([], stored).outcomes == {"1.5": Accepted(None)}


def test_an_empty_failed_sequence_is_a_response_that_says_nothing() -> None:
    report = read_store_report(b'{"00081198": {"vr": "SQ"}}', None)
    assert report == ReadReport({}, (), "")


def test_xml_with_a_byte_order_mark_and_line_breaks() -> None:
    body = b"""\xef\xbb\xbf<?xml version="1.0" encoding="utf-8"?>
    <NativeDicomModel><DicomAttribute tag="00081198" vr="SQ"><Item number="1">
      <DicomAttribute tag="00081155" vr="UI"><Value number="1">
        2.16.124</Value></DicomAttribute>
      <DicomAttribute tag="00081197" vr="US"><Value number="1">0110</Value></DicomAttribute>
    </Item></DicomAttribute></NativeDicomModel>"""
    report = read_store_report(body, "text/plain")
    assert report is not None
    assert report.outcomes == {"2.16.124": Refused(0x0110)}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"[1]",
        b"<html><body>Bad Gateway</body></html>",
        b"<!DOCTYPE html><html></html>",
        b'{"status": "ok"}',
        b"Internal Server Error",
        b"--x\r\n\r\nnothing\r\n--x--",
        b"\x00" * 100,
    ],
)
def test_what_is_not_a_store_instances_response(body: bytes) -> None:
    assert read_store_report(body, "application/dicom+json") is None


@given(st.binary() | st.text().map(str.encode), st.none() | st.text())
def test_reading_never_raises(body: bytes, content_type: str | None) -> None:
    assert read_store_report(body, content_type) is None or body


@given(st.data())
def test_reading_a_damaged_report_never_raises(data: st.DataObject) -> None:
    written = write_data_set(FULL.to_data_set(), data.draw(st.sampled_from(OFFERED)))
    body = bytearray(written.body)
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(body) - 1))
        body[position : position + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=3))
        body += b" "
    report = read_store_report(bytes(body), data.draw(st.sampled_from([written.content_type, None])))
    assert report is None or report.outcomes.keys() is not None


def test_the_default_form_is_json() -> None:
    assert write_data_set(FULL.to_data_set()).content_type == str(DICOM_JSON)
