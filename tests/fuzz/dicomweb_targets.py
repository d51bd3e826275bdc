"""The parsers of `edged.dicomweb`: paths, negotiation, the metadata encodings, and the modules that are made of them.

What may live here: for each the function that holds its invariant, and a few messages to begin with.
"""

import json
from collections.abc import Iterable

from edged.dicom.reasons import FailureReason
from edged.dicomweb.commitment_report import (
    CommitmentSyntaxError,
    commitment_response,
    parse_commitment_request,
    read_commitment_result,
)
from edged.dicomweb.data_set import DataSet, DataSetError
from edged.dicomweb.json_model import from_json, to_json
from edged.dicomweb.negotiation import NegotiationError, Wishes, negotiate, negotiate_leniently, wishes_of
from edged.dicomweb.representation import OFFERED, read_data_sets, write_data_set
from edged.dicomweb.routing import match, url_of
from edged.dicomweb.store_report import read_store_report
from edged.dicomweb.xml_model import from_xml, to_xml
from edged.http.media_type import MediaType
from edged.http.problem import render
from edged.http.query import QueryError, parse_query
from edged.upstream.comparing import compare
from tests.fuzz.target import Target, fields_of, first_line, text
from tests.support.commitment_kit import sop_form, study_form
from tests.support.store_kit import instance_of
from tests.support.stow_kit import named

JPEG, JPEG_BASELINE = MediaType("image", "jpeg"), "1.2.840.10008.1.2.4.50"
INSTANCES = (
    MediaType("multipart", "related", {"type": "application/dicom", "transfer-syntax": JPEG_BASELINE}),
    MediaType("application", "dicom", {"transfer-syntax": "1.2.840.10008.1.2.1"}),
    MediaType("application", "dicom"),
    JPEG,
)
LARGEST_REASON = 0xFFFF
STORED = instance_of(
    b"", "1.2.3.4.5", attributes={"Rows": b"\2\0", "ContentDate": b"20240101", "NumberOfFrames": b"1 "}
)


def routing(data: bytes) -> None:
    """A path names nothing, or one resource, whose URL names the same again."""
    found = match(text(data))
    if found is None:
        return
    assert all(value and value.isprintable() for value in found.parameters.values())
    again = match(url_of("", found.resource.template, **found.parameters))
    assert again == found
    assert found.allow


def negotiation(data: bytes) -> None:
    """Something that was offered, or a Problem that can be told; leniently always something that was offered."""
    raw_query, rest = first_line(data)
    try:
        wanted = wishes_of(fields_of(rest), parse_query(raw_query.encode("latin-1")))
    except QueryError:
        return
    for offered in (OFFERED, INSTANCES, (JPEG,)):
        assert negotiate_leniently(wanted, offered).media_type in offered
        _negotiate(wanted, offered)


def _negotiate(wanted: Wishes, offered: tuple[MediaType, ...]) -> None:
    try:
        selected = negotiate(wanted, offered)
    except NegotiationError as error:
        problem = error.problem
    else:
        assert selected.media_type in offered
        return
    assert problem.status in {400, 406}
    render(problem, wanted.accept)


def json_model(data: bytes) -> None:
    """Data sets or DataSetError; what was read once is written, and read as the same."""
    try:
        found = from_json(data)
    except DataSetError:
        return
    assert _again(found) == _again(_again(found))


def _again(data_sets: list[DataSet]) -> list[DataSet]:
    return from_json(to_json(*data_sets)) if data_sets else []


def xml_model(data: bytes) -> None:
    """A data set or DataSetError; what was read once is written, and read as the same."""
    try:
        found = from_xml(data)
    except DataSetError:
        return
    again = from_xml(to_xml(found))
    assert from_xml(to_xml(again)) == again


def representation(data: bytes) -> None:
    """Data sets or DataSetError, whatever the Content-Type; written in any form they are read again."""
    content_type, body = first_line(data)
    try:
        found = read_data_sets(body, content_type)
    except DataSetError:
        return
    for data_set in found[:3]:
        for offer in OFFERED:
            written = write_data_set(data_set, offer)
            assert len(read_data_sets(written.body, written.content_type)) == 1


def commitment_request(data: bytes) -> None:
    """A request whose response names each instance once, or CommitmentSyntaxError."""
    content_type, body = first_line(data)
    try:
        request = parse_commitment_request(body, content_type)
    except CommitmentSyntaxError:
        return
    uids = [each.sop_instance_uid for each in request.references]
    assert uids
    failed = dict.fromkeys(uids[::2], FailureReason.NO_SUCH_OBJECT_INSTANCE)
    for offer in OFFERED:
        written = write_data_set(commitment_response(request, failed), offer)
        result = read_commitment_result(written.body, written.content_type)
        assert result is not None
        pairs = {(each.sop_class_uid, each.sop_instance_uid) for each in request.references}
        assert result.committed == {pair for pair in pairs if pair[1] not in failed}
        assert result.failed == {pair: failed[pair[1]] for pair in pairs if pair[1] in failed}


def commitment_result(data: bytes) -> None:
    """A result in which an instance is in one list, with a reason or none; else nothing."""
    content_type, body = first_line(data)
    result = read_commitment_result(body, content_type)
    if result is not None:
        assert not result.committed & result.failed.keys()
        _check_reasons(result.failed.values())
        assert all(uid for _, uid in result.committed | result.failed.keys())


def store_report(data: bytes) -> None:
    """An archive's answer by instance, its reasons in range; else nothing."""
    content_type, body = first_line(data)
    report = read_store_report(body, content_type)
    if report is not None:
        assert "" not in report.outcomes
        _check_reasons(report.other_failures)
        _check_reasons(outcome.warning for outcome in report.outcomes.values())


def _check_reasons(reasons: Iterable[int | None]) -> None:
    assert all(reason is None or 0 <= reason <= LARGEST_REASON for reason in reasons)


def archive_metadata(data: bytes) -> None:
    """Whatever an archive shows of an instance, it is found to be ours, or another one."""
    content_type, body = first_line(data)
    try:
        found = read_data_sets(body, content_type)
    except DataSetError:
        return
    for each in found:
        compare(each, STORED)


def _json(**attributes: object) -> bytes:
    return json.dumps({tag[1:]: attribute for tag, attribute in attributes.items()}).encode()


_SOP = {"00081150": {"vr": "UI", "Value": ["1.2"]}, "00081155": {"vr": "UI", "Value": ["1.2.3"]}}
_FAILED = {**_SOP, "00081197": {"vr": "US", "Value": ["0110"]}, "00081196": {"vr": "US", "Value": [45056]}}
_REPORT = _json(
    x00081190={"vr": "UR", "Value": ["http://box/studies/1"]},
    x00081199={"vr": "SQ", "Value": [_SOP]},
    x00081198={"vr": "SQ", "Value": [_FAILED, {}]},
    x0008119A={"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [272.0, "A700H", None]}}]},
)
_METADATA = _json(
    x00080018={"vr": "UI", "Value": [STORED.sop_instance_uid]},
    x00280010={"vr": "US", "Value": [2]},
    x00280008={"vr": "IS", "Value": ["01"]},
    x00080023={"vr": "DA", "Value": ["20240101.5"]},
    x00083002={"vr": "UI", "Value": ["1.2.840.10008.1.2.1", None]},
    x00100010={"vr": "PN", "Value": [{"Alphabetic": "A^B"}]},
)
_XML = to_xml(from_json(_REPORT)[0])
_PRIVATE = (
    b'<?xml version="1.0" encoding="UTF-8"?><NativeDicomModel><DicomAttribute tag="00990001" vr="LO" '
    b'privateCreator="EDGED"><Value number="1">a&lt;&#233;</Value></DicomAttribute></NativeDicomModel>'
)
_MULTIPART = (
    b"multipart/related; boundary=x\n--x\r\nContent-Type: application/dicom+json\r\n\r\n" + _REPORT + b"\r\n--x--"
)
_NAMES = [named(1), named(2)]

TARGETS = (
    Target(
        "routing",
        routing,
        (
            b"/studies/1.2/series/1.3/instances/1.4/metadata",
            b"/subscribers/a%2Fb%C3%A9/",
            b"/",
            b"/commitment-requests/1.2",
        ),
    ),
    Target(
        "negotiation",
        negotiation,
        (
            b"accept=application/dicom%2Bjson&charset=utf-8\naccept: */*;q=0.1\naccept-charset: latin1, *;q=0.5",
            b'\naccept: multipart/related; type="application/dicom"; transfer-syntax=*, image/jpeg;q=0.2',
            b"accept=image/jpeg,application/dicom\naccept: image/*, application/dicom; transfer-syntax=1.2",
        ),
    ),
    Target(
        "json-model", json_model, (_REPORT, _METADATA, b"[" + _REPORT + b", {}]", b'{"00100020":{"Value":"\\ud800"}}')
    ),
    Target("xml-model", xml_model, (_XML, _PRIVATE, _XML.decode().replace("UTF-8", "UTF-16").encode("utf-16"))),
    Target(
        "representation",
        representation,
        (b"\n" + _REPORT, b"application/dicom+xml\n" + _XML, _MULTIPART, b"x\n--x\r\n\r\n"),
    ),
    Target("commitment-request", commitment_request, (b"\n" + sop_form(_NAMES), b"\n" + study_form(_NAMES))),
    Target("commitment-result", commitment_result, (b"\n" + _REPORT, b"\n" + study_form(_NAMES), b"\n" + _XML)),
    Target("store-report", store_report, (b"\n" + _REPORT, b"text/html\n" + _XML, _MULTIPART)),
    Target("archive-metadata", archive_metadata, (b"\n[" + _METADATA + b"]", b"\n" + to_xml(from_json(_METADATA)[0]))),
)
