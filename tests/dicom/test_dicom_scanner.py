"""The scan of an instance: against pydicom on every file that it ships, cut anywhere, fed in any pieces, damaged."""

import tracemalloc
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.dicom import uids
from edged.dicom.errors import DicomError
from edged.dicom.reasons import FailureReason
from edged.dicom.scanner import InstanceScanner, Scan
from tests.support.dicom_samples import (
    FOUR_UIDS,
    bare_file,
    digest_of,
    file_of,
    plain,
    read,
    scan,
    shipped,
    shipped_files,
    ui,
)

CUT_BY_THEIR_MAKERS = {
    "MR_truncated.dcm": FailureReason.TRUNCATED,
    "rtplan_truncated.dcm": FailureReason.TRUNCATED,
    "chrJapMulti.dcm": FailureReason.PIXEL_DATA_MISSING,
    "chrJapMultiExplicitIR6.dcm": FailureReason.PIXEL_DATA_MISSING,
    "chrKoreanMulti.dcm": FailureReason.PIXEL_DATA_MISSING,
}
OF_EVERY_KIND = (
    "MR_small.dcm",
    "MR_small_implicit.dcm",
    "MR_small_expb.dcm",
    "JPEG2000.dcm",
    "SC_rgb_rle_2frame.dcm",
    "SC_rgb_jpeg.dcm",
    "rtdose_1frame.dcm",
)
OF_OTHER_STRUCTURES = ("test-SR.dcm", "rtplan.dcm", "SC_ybr_full_422_uncompressed.dcm")


def refusal(data: bytes, step: int = 0) -> DicomError:
    """The error that a file is refused with."""
    with pytest.raises(DicomError) as caught:
        scan(data, step)
    return caught.value


def outcome(data: bytes, step: int = 0) -> Scan | FailureReason:
    """What becomes of a file; nothing but these two may."""
    try:
        return scan(data, step)
    except DicomError as error:
        return error.reason


@pytest.mark.parametrize("path", shipped_files(), ids=lambda path: path.name)
def test_agrees_with_pydicom(path: Path) -> None:
    data = path.read_bytes()
    data_set = read(data)
    expected = [str(data_set.get(name, "")) for name in FOUR_UIDS]
    if path.name in CUT_BY_THEIR_MAKERS:
        assert refusal(data).reason is CUT_BY_THEIR_MAKERS[path.name]
    elif not all(expected):
        error = refusal(data)
        assert error.reason in {
            FailureReason.NOT_A_DICOM_FILE,
            FailureReason.REQUIRED_ATTRIBUTE_MISSING,
            FailureReason.CANNOT_UNDERSTAND,
        }
    else:
        found = scan(data)
        assert [
            found.sop_class_uid,
            found.sop_instance_uid,
            found.study_instance_uid,
            found.series_instance_uid,
        ] == expected
        assert found.irregular is None
        assert found.length == len(data)
        assert found.file_digest == digest_of(data, found.body_offset)
        for name, raw in found.attributes.items():
            assert len(raw) <= 1024
            element = data_set[name]
            if element.VR == "US":
                assert int.from_bytes(raw, "little") == element.value
            elif element.VR in {"CS", "DA", "TM", "UI"} and not element.VM > 1:
                assert uids.uid_text(raw) == str(element.value or "")


@pytest.mark.parametrize("name", OF_EVERY_KIND)
@pytest.mark.parametrize("step", [1, 7, 4096])
def test_pieces_do_not_matter(name: str, step: int) -> None:
    data = shipped(name)
    assert scan(data, step) == scan(data)


@pytest.mark.parametrize("name", OF_EVERY_KIND)
def test_every_cut_is_refused(name: str) -> None:
    data = shipped(name)
    near_the_end = range(max(len(data) - 40, 0), len(data))
    for cut in (*range(0, len(data), max(1, len(data) // 700)), *near_the_end):
        found = outcome(data[:cut])
        if isinstance(found, Scan):  # between two elements, and nothing yet told that it is an image
            assert "BitsAllocated" not in found.attributes, cut


def test_a_cut_deflated_data_set_is_refused() -> None:
    data = shipped("image_dfl.dcm")
    behind_it = 8  # a checksum that the writer left there
    for cut in range(0, len(data) - behind_it, 37):
        assert not isinstance(outcome(data[:cut]), Scan), cut


@given(st.data())
def test_any_split_gives_the_same(data: st.DataObject) -> None:
    whole = shipped(data.draw(st.sampled_from(OF_EVERY_KIND)))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=12)))
    scanner = InstanceScanner()
    for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        scanner.feed(memoryview(whole)[start:end])
    assert scanner.finish() == scan(whole)


@given(st.binary(max_size=400), st.booleans())
def test_arbitrary_bytes_are_a_scan_or_a_dicom_error(data: bytes, with_head: bool) -> None:
    whole = file_of(data) if with_head else data
    assert outcome(whole) == outcome(whole, 1)


@given(
    st.sampled_from(OF_EVERY_KIND + OF_OTHER_STRUCTURES),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_a_damaged_file_is_a_scan_or_a_dicom_error(name: str, damage: list[tuple[float, int]]) -> None:
    data = bytearray(shipped(name)[:6000])
    for place, value in damage:
        data[int(place * min(len(data), 2500))] = value
    whole = bytes(data)
    assert outcome(whole) == outcome(whole, 13)


def test_the_error_names_the_instance_as_far_as_it_was_seen() -> None:
    data = shipped("MR_truncated.dcm")
    error = refusal(data)
    expected = read(data)
    assert error.sop_class_uid == expected.SOPClassUID
    assert error.sop_instance_uid == expected.SOPInstanceUID
    assert error.study_instance_uid == expected.StudyInstanceUID
    unknown = refusal(b"hello, this is no DICOM at all")
    assert unknown.reason is FailureReason.NOT_A_DICOM_FILE
    assert unknown.sop_instance_uid is None


def test_after_an_error_every_call_raises_it_again() -> None:
    scanner = InstanceScanner()
    with pytest.raises(DicomError) as first:
        scanner.feed(b"no DICOM" * 20)
    with pytest.raises(DicomError) as second:
        scanner.feed(b"more")
    with pytest.raises(DicomError) as third:
        scanner.finish()
    assert first.value is second.value is third.value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", FailureReason.REQUIRED_ATTRIBUTE_MISSING),
        ("1." * 33, FailureReason.INVALID_UID),
        ("1.2.x", FailureReason.INVALID_UID),
        ("..", FailureReason.INVALID_UID),
        ("1.2\\1.3", FailureReason.INVALID_UID),
    ],
)
def test_uids_must_be_uids(text: str, reason: FailureReason) -> None:
    data = file_of(ui(0x0020000D, text))
    error = refusal(data)
    assert error.reason is reason
    assert error.sop_instance_uid == "1.2.3.4"


def test_the_data_set_decides_over_the_meta_information() -> None:
    meta = ui(0x00020003, "9.9.9") + ui(0x00020010, uids.EXPLICIT_VR_LITTLE_ENDIAN)
    whole = file_of()
    data_set = whole[scan(whole).dataset_offset :]
    found = scan(bytes(128) + b"DICM" + meta + data_set)
    assert found.sop_instance_uid == "1.2.3.4"
    assert found.dataset_digest == scan(whole).dataset_digest
    assert found.file_digest != scan(whole).file_digest


IMAGE = (
    plain(0x00280010, b"US", b"\x01\0"),
    plain(0x00280011, b"US", b"\x01\0"),
    plain(0x00280100, b"US", b"\x08\0"),
)


def test_an_image_needs_its_pixels() -> None:
    assert refusal(file_of(*IMAGE)).reason is FailureReason.PIXEL_DATA_MISSING
    assert scan(file_of(*IMAGE[:2])).irregular is None
    for tag, vr in ((0x7FE00008, b"OF"), (0x7FE00009, b"OD"), (0x7FE00010, b"OB"), (0x00287FE0, b"UR")):
        assert scan(file_of(*IMAGE, plain(tag, vr, b"\0\0"))).leaves_as_is


def test_the_digest_ignores_group_lengths_padding_and_sequence_lengths() -> None:
    inner = plain(0x00080100, b"SH", b"A ")
    item = b"\xfe\xff\x00\xe0" + len(inner).to_bytes(4, "little") + inner
    open_item = b"\xfe\xff\x00\xe0\xff\xff\xff\xff" + inner + b"\xfe\xff\x0d\xe0\0\0\0\0"
    sequence = b"\x40\0\x60\x02SQ\0\0"
    with_length = file_of(sequence + len(item).to_bytes(4, "little") + item)
    without = file_of(sequence + b"\xff\xff\xff\xff" + open_item + b"\xfe\xff\xdd\xe0\0\0\0\0")
    mixed = file_of(
        plain(0x00280000, b"UL", bytes(4)),
        sequence + b"\xff\xff\xff\xff" + item + b"\xfe\xff\xdd\xe0\0\0\0\0",
        plain(0xFFFCFFFC, b"OB", bytes(64)),
    )
    digests = {scan(data).dataset_digest for data in (with_length, without, mixed)}
    assert len(digests) == 1
    assert {scan(data, 1).dataset_digest for data in (with_length, without, mixed)} == digests
    body = without[scan(without).dataset_offset :]
    assert digests == {digest_of(body, len(body))}


def test_deflated_is_the_same_data_set() -> None:
    plain_file = shipped("MR_small.dcm")
    found = scan(plain_file)
    deflater = zlib.compressobj(wbits=-15)
    body = deflater.compress(plain_file[found.dataset_offset :]) + deflater.flush()
    deflated = bare_file(body, transfer_syntax_uid=uids.DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN)
    again = scan(deflated)
    assert again.dataset_digest == found.dataset_digest
    assert again.leaves_as_is
    assert again.exit_length == len(deflated)


def test_what_declares_deflated_and_is_not_is_refused() -> None:
    whole = file_of(transfer_syntax_uid=uids.DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN)
    assert refusal(whole).reason is FailureReason.CANNOT_UNDERSTAND


def test_attributes_are_cut_to_their_bound() -> None:
    found = scan(file_of(plain(0x00081030, b"UT", b"x" * 5000)), 100)
    assert found.attributes["StudyDescription"] == b"x" * 1024


def test_a_broken_item_length_is_irregular_and_leaves_as_it_came() -> None:
    broken = b"\x08\0\x40\x11SQ\0\0" + (24).to_bytes(4, "little")
    broken += b"\xfe\xff\x00\xe0" + (4).to_bytes(4, "little") + ui(0x00081150, "1.2.3.66")
    whole = file_of(broken)
    found = scan(whole)
    assert found.irregular is not None
    assert found.leaves_as_is
    assert found.exit_length == found.length == len(whole)
    assert found.dataset_digest == found.file_digest
    assert scan(whole, 1) == found


def test_an_irregular_beginning_is_identified_by_pydicom() -> None:
    broken = b"\x08\0\x10\0SQ\0\0" + (24).to_bytes(4, "little")
    broken += b"\xfe\xff\x00\xe0" + (4).to_bytes(4, "little") + ui(0x00081150, "1.2.3.66")
    whole = file_of()
    at = scan(whole).dataset_offset
    found = scan(whole[:at] + broken + whole[at:], 50)
    assert found.irregular is not None
    assert found.study_instance_uid == "1.2.3"
    assert found.attributes["SOPInstanceUID"] == b"1.2.3.4\0"


def test_nesting_has_a_bound() -> None:
    deep = b"\x40\0\x30\xa7SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    close = b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
    assert scan(file_of(deep * 20 + close * 20)).irregular is None
    assert scan(file_of(deep * 40 + close * 40)).irregular == "Sequences are nested too deep."


def test_memory_does_not_grow_with_the_instance() -> None:
    piece = bytes(1 << 16)
    scanner = InstanceScanner()
    tracemalloc.start()
    scanner.feed(file_of(*IMAGE))
    scanner.feed(b"\xe0\x7f\x10\0OW\0\0" + (0xFFFFFFF0).to_bytes(4, "little"))
    for _ in range(512):
        scanner.feed(piece)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20
    with pytest.raises(DicomError):
        scanner.finish()


def test_memory_does_not_grow_with_what_is_inflated() -> None:
    deflater = zlib.compressobj(9, wbits=-15)
    pixels = b"\xe0\x7f\x10\0OW\0\0" + (1 << 26).to_bytes(4, "little")
    explicit = file_of(*IMAGE, pixels)
    body = deflater.compress(explicit[len(bare_file()) :])
    body += b"".join(deflater.compress(bytes(1 << 16)) for _ in range(1 << 10)) + deflater.flush()
    bomb = bare_file(body, transfer_syntax_uid=uids.DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN)
    tracemalloc.start()
    found = scan(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.length == len(bomb) < 1 << 17
    assert peak < 2 << 20
