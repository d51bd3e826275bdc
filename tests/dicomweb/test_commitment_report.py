"""Storage commitment in both forms and encodings; requests strictly, responses leniently."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.dicom.reasons import FailureReason
from edged.dicomweb.commitment_report import (
    CommitmentForm,
    CommitmentRequest,
    CommitmentResult,
    CommitmentSyntaxError,
    Reference,
    commitment_request,
    commitment_response,
    parse_commitment_request,
    read_commitment_result,
)
from edged.dicomweb.data_set import DataSet
from edged.dicomweb.json_model import to_json
from edged.dicomweb.representation import OFFERED, write_data_set
from edged.http.media_type import MediaType

CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
LOST = {"5": FailureReason.NO_SUCH_OBJECT_INSTANCE, "7": FailureReason.PROCESSING_FAILURE}
SOP_FORM = CommitmentRequest(CommitmentForm.SOP, tuple(Reference(None, None, CT, uid) for uid in ("4", "5", "6", "7")))
STUDY_FORM = CommitmentRequest(
    CommitmentForm.STUDY,
    (
        Reference("1", "2", CT, "4"),
        Reference("1", "2", CT, "5"),
        Reference("1", "2", MR, "6"),
        Reference("1", "3", CT, "7"),
        Reference("10", "20", CT, "8"),
    ),
)


def pairs(request: CommitmentRequest) -> set[tuple[str, str]]:
    """SOP Class and SOP Instance UID of all that a request names."""
    return {(reference.sop_class_uid, reference.sop_instance_uid) for reference in request.references}


def lost(request: CommitmentRequest) -> dict[tuple[str, str], int | None]:
    """Those of them that are lost, with the reason."""
    return {pair: LOST[pair[1]] for pair in pairs(request) if pair[1] in LOST}


def as_request(request: CommitmentRequest) -> DataSet:
    """A response that commits to everything looks like the request."""
    return commitment_response(request, {})


@pytest.mark.parametrize("media_type", OFFERED)
@pytest.mark.parametrize("request_", [SOP_FORM, STUDY_FORM])
def test_a_request_is_read_in_every_form(request_: CommitmentRequest, media_type: MediaType) -> None:
    written = write_data_set(as_request(request_), media_type)
    assert parse_commitment_request(written.body, written.content_type) == request_


@pytest.mark.parametrize("media_type", OFFERED)
@pytest.mark.parametrize("request_", [SOP_FORM, STUDY_FORM])
def test_a_response_is_read_back_in_every_form(request_: CommitmentRequest, media_type: MediaType) -> None:
    written = write_data_set(commitment_response(request_, LOST), media_type)
    expected = CommitmentResult(frozenset(pairs(request_) - lost(request_).keys()), lost(request_))
    assert read_commitment_result(written.body, written.content_type) == expected


def test_our_request_is_in_the_sop_form() -> None:
    body = to_json(commitment_request([(CT, "4"), (CT, "5"), (CT, "6"), (CT, "7")]))
    assert parse_commitment_request(body, "application/dicom+json") == SOP_FORM


@pytest.mark.parametrize(
    ("failed", "tags"),
    [
        ({}, ["00081110"]),
        (LOST, ["00081110", "0008119B"]),
        (dict.fromkeys("45678", FailureReason.PROCESSING_FAILURE), ["0008119B"]),
    ],
)
def test_empty_lists_are_left_out(failed: dict[str, FailureReason], tags: list[str]) -> None:
    assert list(commitment_response(STUDY_FORM, failed)) == tags


def test_the_study_form_nests_each_level_once() -> None:
    response = msgspec.json.decode(to_json(commitment_response(STUDY_FORM, LOST)))
    studies = response["00081110"]["Value"]
    assert [study["0020000D"]["Value"] for study in studies] == [["1"], ["10"]]
    [series] = studies[0]["00081115"]["Value"]
    assert [item["00081150"]["Value"] for item in series["00081112"]["Value"]] == [[CT], [MR]]
    failed = response["0008119B"]["Value"][0]["00081115"]["Value"]
    assert [item["0020000E"]["Value"] for item in failed] == [["2"], ["3"]]
    innermost = failed[0]["00081112"]["Value"][0]["0008114A"]["Value"]
    assert innermost == [{"00081155": {"vr": "UI", "Value": ["5"]}, "00081197": {"vr": "US", "Value": [274]}}]


def flat(*pairs: tuple[str, str]) -> bytes:
    return to_json(commitment_request(pairs))


def hollow(levels: int) -> bytes:
    """A Study form that ends after some levels."""
    content = as_request(STUDY_FORM)
    decoded = msgspec.json.decode(to_json(content))
    item = decoded["00081110"]["Value"][1]
    for tag in ("00081115", "00081112", "0008114A")[:levels]:
        item = item[tag]["Value"][0]
    for tag in ("00081115", "00081112", "0008114A"):
        item.pop(tag, None)
    return msgspec.json.encode(decoded)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"rubbish",
        b'{"00081199": {"vr": "SQ"}}',
        b'{"00081199": {"vr": "SQ", "Value": [{}]}}',
        flat((CT, "1"), (CT, "2"), (CT, "1")),
        flat((CT, "1"), (MR, "1")),
        flat((CT, "")),
        flat(("", "1")),
        flat((CT, "1/../2")),
        flat((CT, "1" * 65)),
        flat((CT, "1 2")),
        hollow(0),
        hollow(1),
        hollow(2),
        to_json(as_request(SOP_FORM) | as_request(STUDY_FORM)),
        to_json(as_request(SOP_FORM), as_request(STUDY_FORM)),
        to_json(as_request(SOP_FORM), as_request(SOP_FORM)),
    ],
)
def test_a_request_that_is_in_doubt_is_refused(body: bytes) -> None:
    with pytest.raises(CommitmentSyntaxError):
        parse_commitment_request(body, "application/dicom+json")


def test_several_data_sets_make_one_request() -> None:
    body = to_json(commitment_request([(CT, "4"), (CT, "5")]), commitment_request([(CT, "6"), (CT, "7")]))
    assert parse_commitment_request(body, None) == SOP_FORM


@pytest.mark.parametrize("body", [b"", b"{}", b"<html/>", b"[1]", b'{"title": "no"}'])
def test_what_is_not_a_response(body: bytes) -> None:
    assert read_commitment_result(body, None) is None


def test_an_instance_in_both_lists_has_failed() -> None:
    response = commitment_response(SOP_FORM, {}) | commitment_response(SOP_FORM, LOST)
    response["00081199"] = as_request(SOP_FORM)["00081199"]
    result = read_commitment_result(to_json(response), None)
    assert result == CommitmentResult(frozenset({(CT, "4"), (CT, "6")}), lost(SOP_FORM))


def test_a_failure_without_a_reason() -> None:
    body = b'{"00081198": {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": ["1\\u0000"]}}, {}]}}'
    assert read_commitment_result(body, None) == CommitmentResult(frozenset(), {("", "1"): None})


def test_a_commitment_to_another_class_is_one_to_that_class() -> None:
    result = read_commitment_result(to_json(commitment_request([(MR, "4")])), None)
    assert result == CommitmentResult(frozenset({(MR, "4")}), {})


@given(st.binary() | st.text().map(str.encode), st.none() | st.text())
def test_anything_is_a_request_or_its_error_and_a_result_or_none(body: bytes, content_type: str | None) -> None:
    try:
        assert parse_commitment_request(body, content_type).references
    except CommitmentSyntaxError:
        assert read_commitment_result(body, content_type) is None


UIDS = st.text("0123456789.", min_size=1, max_size=12)


@given(st.dictionaries(UIDS, st.tuples(UIDS, UIDS, UIDS), min_size=1), st.data())
def test_every_instance_is_in_exactly_one_list(instances: dict[str, tuple[str, str, str]], data: st.DataObject) -> None:
    form = data.draw(st.sampled_from(CommitmentForm))
    request = CommitmentRequest(form, tuple(Reference(*rest, uid) for uid, rest in instances.items()))
    gone = data.draw(st.sets(st.sampled_from(sorted(instances))))
    response = commitment_response(request, dict.fromkeys(gone, FailureReason.RESOURCE_LIMITATION))
    result = read_commitment_result(to_json(response), None)
    assert result is not None
    failed = {pair for pair in pairs(request) if pair[1] in gone}
    assert result.committed == pairs(request) - failed
    assert result.failed == dict.fromkeys(failed, FailureReason.RESOURCE_LIMITATION)
