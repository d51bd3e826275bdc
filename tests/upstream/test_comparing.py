"""What an archive must show before it counts as the instance that is stored here."""

import pytest
from msgspec import structs

from edged.dicomweb.data_set import DataSet
from edged.dicomweb.representation import read_data_sets
from edged.store.records import Instance
from edged.upstream.comparing import Finding, Purpose, compare
from tests.support.store_kit import instance_of

UID = "1.2.3.4.5"
IMAGE = instance_of(
    b"",
    UID,
    attributes={"Rows": b"\x00\x02", "Columns": b"\x00\x02", "NumberOfFrames": b"3 ", "ContentDate": b"20260101"},
)
REPORT = instance_of(b"", UID)
FULL = {
    "00080016": IMAGE.sop_class_uid,
    "00080018": UID,
    "0020000D": IMAGE.study_instance_uid,
    "0020000E": IMAGE.series_instance_uid,
    "00280010": 512,
    "00280011": 512,
    "00280008": 3,
    "00083002": IMAGE.transfer_syntax_uid,
}


def shown(**changes: object) -> DataSet:
    """What is shown, an attribute changed, or left out by None."""
    attributes = {**FULL, **{tag[1:]: value for tag, value in changes.items()}}
    values = (f'"{tag}":{{"vr":"LO","Value":["{value}"]}}' for tag, value in attributes.items() if value is not None)
    [found] = read_data_sets(f"[{{{','.join(values)}}}]".encode(), "application/dicom+json")
    return found


@pytest.mark.parametrize("purpose", Purpose)
def test_all_alike_is_there(purpose: Purpose) -> None:
    assert compare(shown(), IMAGE, purpose) is Finding.THERE


@pytest.mark.parametrize("tag", ["x00080016", "x00280010", "x00280011", "x00280008", "x00080018"])
def test_without_the_least_set_nothing_is_known(tag: str) -> None:
    assert compare(shown(**{tag: None}), IMAGE) is Finding.UNKNOWN


@pytest.mark.parametrize("tag", ["x0020000D", "x0020000E", "x00083002"])
def test_what_many_archives_leave_out_may_be_left_out(tag: str) -> None:
    assert compare(shown(**{tag: None}), IMAGE) is Finding.THERE


@pytest.mark.parametrize("tag", ["x0020000D", "x0020000E", "x00080018"])
def test_what_is_shown_elsewhere_is_no_evidence(tag: str) -> None:
    assert compare(shown(**{tag: "9.9.9"}), IMAGE) is Finding.UNKNOWN


@pytest.mark.parametrize(
    ("tag", "value"), [("x00080016", "1.2.3"), ("x00280010", 511), ("x00280008", 2), ("x00080023", "20250101")]
)
@pytest.mark.parametrize("purpose", Purpose)
def test_another_is_told_from_ours(tag: str, value: object, purpose: Purpose) -> None:
    assert compare(shown(**{tag: value}), IMAGE, purpose) is Finding.DIFFERS


def test_another_transfer_syntax_is_the_same_instance_and_no_proof() -> None:
    compressed = shown(x00083002="1.2.840.10008.1.2.4.80")
    assert compare(compressed, IMAGE, Purpose.VERIFY) is Finding.THERE
    assert compare(compressed, IMAGE, Purpose.PROOF) is Finding.DIFFERS


@pytest.mark.parametrize(
    "instance",
    [
        REPORT,
        instance_of(b"", UID, attributes={"NumberOfFrames": b"1"}),
        instance_of(b"", UID, attributes={"NumberOfFrames": b"1A"}),
    ],
)
def test_what_is_no_image_of_several_frames_needs_no_more_than_its_class(instance: Instance) -> None:
    assert compare(shown(x00280010=None, x00280011=None, x00280008=None), instance) is Finding.THERE


@pytest.mark.parametrize(
    ("syntax", "found"),
    [
        ("1.2.840.10008.1.2.5", Finding.THERE),
        ("1.2.840.10008.1.2.1", Finding.THERE),
        ("1.2.840.10008.1.2.4.50", Finding.DIFFERS),
    ],
)
def test_what_may_have_left_decompressed_is_proven_in_either_form(syntax: str, found: Finding) -> None:
    image = structs.replace(IMAGE, transfer_syntax_uid="1.2.840.10008.1.2.5")
    assert compare(shown(x00083002=syntax), image, Purpose.EITHER) is found
