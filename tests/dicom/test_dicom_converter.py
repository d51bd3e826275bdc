"""The web exit: pydicom reads in it what it reads in the stored file; its length and digest are those of the scan."""

import copy
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom._dicom_dict import DicomDictionary
from pydicom.dataelem import DataElement
from pydicom.sequence import Sequence

from edged.dicom import uids
from edged.dicom.converter import Converter
from edged.dicom.errors import DicomError
from edged.dicom.part10 import leaves_as_is
from tests.support.dicom_samples import (
    bare_file,
    converted,
    digest_of,
    file_of,
    identified,
    plain,
    read,
    scan,
    shipped,
    unheard,
    written,
)

CONVERTED = (
    "ExplVR_BigEnd.dcm",
    "ExplVR_BigEndNoMeta.dcm",
    "ExplVR_LitEndNoMeta.dcm",
    "MR_small_bigendian.dcm",
    "MR_small_expb.dcm",
    "MR_small_implicit.dcm",
    "SC_rgb_jpeg.dcm",
    "SC_rgb_jpeg_dcmd.dcm",
    "SC_rgb_small_odd_big_endian.dcm",
    "liver_expb_1frame.dcm",
    "rtdose.dcm",
    "rtdose_1frame.dcm",
    "rtdose_expb.dcm",
    "rtdose_expb_1frame.dcm",
    "rtplan.dcm",
    "rtstruct.dcm",
)
SYNTAXES = (
    uids.EXPLICIT_VR_LITTLE_ENDIAN,
    uids.IMPLICIT_VR_LITTLE_ENDIAN,
    uids.EXPLICIT_VR_BIG_ENDIAN,
)
WORDS = {"OW": "H", "OF": "I", "OL": "I", "OD": "Q", "OV": "Q"}
"""VRs whose values pydicom leaves in the byte order of the file."""


def turned(raw: bytes, code: str) -> bytes:
    words = array(code, raw)
    words.byteswap()
    return words.tobytes()


def turn_words(data_set: Dataset) -> Dataset:
    """The same data set as pydicom holds it for the other byte order."""
    with unheard():
        turned_set = copy.deepcopy(data_set)
    for element in turned_set.iterall():
        if element.VR in WORDS and element.value:
            element.value = turned(element.value, WORDS[element.VR])
    return turned_set


def assert_same(left: Dataset, right: Dataset) -> None:
    """Equal elements at every level, but for group lengths and padding; OB may be told where OW was."""
    kept = {int(tag) for tag in set(left.keys()) if tag & 0xFFFF and tag != 0xFFFCFFFC}
    assert kept == set(right.keys())
    for tag in kept:
        one, other = left[tag], right[tag]
        assert one.VR == other.VR or {one.VR, other.VR} == {"OB", "OW"}
        if one.VR != "SQ":
            assert one.value == other.value, tag
            continue
        assert len(one.value) == len(other.value)
        for item, its_copy in zip(one.value, other.value, strict=True):
            assert_same(item, its_copy)


@pytest.mark.parametrize("name", CONVERTED)
def test_the_exit_is_the_same_data_set(name: str) -> None:
    data = shipped(name)
    found = scan(data)
    out = converted(data)
    assert not found.leaves_as_is
    assert len(out) == found.exit_length
    stored = read(data)
    big = found.transfer_syntax_uid == uids.EXPLICIT_VR_BIG_ENDIAN
    assert_same(turn_words(stored) if big else stored, read(out))
    again = scan(out)
    assert again.leaves_as_is
    assert again.dataset_digest == found.dataset_digest
    assert digest_of(out[again.dataset_offset :], again.body_offset - again.dataset_offset) == found.dataset_digest
    for uid in (found.sop_class_uid, found.sop_instance_uid):
        assert uid.encode() in out[: again.dataset_offset]


@pytest.mark.parametrize("name", [name for name in CONVERTED if len(shipped(name)) < 16000])
@pytest.mark.parametrize("step", [1, 9])
def test_pieces_do_not_change_the_exit(name: str, step: int) -> None:
    assert converted(shipped(name), step) == converted(shipped(name))


def test_the_head_keeps_what_the_sender_wrote() -> None:
    data = shipped("MR_small_implicit.dcm")
    before, after = read(data), read(converted(data))
    assert after.preamble == before.preamble
    assert after.file_meta.TransferSyntaxUID == uids.EXPLICIT_VR_LITTLE_ENDIAN
    changed = {"TransferSyntaxUID", "FileMetaInformationGroupLength"}
    for element in before.file_meta:
        if element.keyword not in changed:
            assert after.file_meta[element.tag] == element
    head = scan(converted(data)).dataset_offset
    assert after.file_meta.FileMetaInformationGroupLength == head - 128 - 4 - 12


def test_a_head_is_made_where_there_was_none() -> None:
    meta = read(converted(shipped("rtstruct.dcm"))).file_meta
    assert meta.MediaStorageSOPInstanceUID == scan(shipped("rtstruct.dcm")).sop_instance_uid
    assert meta.ImplementationClassUID == uids.IMPLEMENTATION_CLASS_UID


def test_encapsulated_data_in_implicit_vr_keeps_its_transfer_syntax() -> None:
    found = scan(converted(shipped("SC_rgb_jpeg.dcm")))
    assert found.transfer_syntax_uid == uids.JPEG_BASELINE


def _tags_by_vr() -> dict[str, list[int]]:
    tags: dict[str, list[int]] = {}
    for tag, (vr, vm, _, retired, keyword) in sorted(DicomDictionary.items()):
        is_plain = tag >> 16 not in {0x0000, 0x0002, 0x0028, 0x7FE0, 0xFFFE, 0xFFFC} and keyword and not retired
        if is_plain and vm in {"1", "1-n"} and tag not in {0x00080005, 0x00080016, 0x00080018}:
            tags.setdefault(vr, []).append(tag)
    return {vr: found[:4] for vr, found in tags.items()}


TAGS = _tags_by_vr()
VALUES: dict[str, st.SearchStrategy[object]] = {
    "AE": st.sampled_from(["STORE", "A"]),
    "AT": st.sampled_from([0x00080018, 0x00181063]),
    "CS": st.sampled_from(["ORIGINAL", "X"]),
    "DA": st.sampled_from(["20240229", ""]),
    "DS": st.sampled_from(["1.5", "-2"]),
    "FD": st.floats(allow_nan=False),
    "FL": st.floats(width=32, allow_nan=False),
    "IS": st.integers(-(2**31), 2**31 - 1),
    "LO": st.text("abc XYZ", max_size=20).map(str.strip),
    "OB": st.binary(max_size=40).map(lambda raw: raw + raw),
    "OD": st.binary(max_size=4).map(lambda raw: raw * 8),
    "OF": st.binary(max_size=9).map(lambda raw: raw * 4),
    "OL": st.binary(max_size=9).map(lambda raw: raw * 4),
    "OV": st.binary(max_size=4).map(lambda raw: raw * 8),
    "OW": st.binary(max_size=9).map(lambda raw: raw * 2),
    "PN": st.sampled_from(["Doe^Jane", "A"]),
    "SL": st.integers(-(2**31), 2**31 - 1),
    "SS": st.integers(-(2**15), 2**15 - 1),
    "SV": st.integers(-(2**63), 2**63 - 1),
    "UC": st.text("abc", max_size=30),
    "UL": st.integers(0, 2**32 - 1),
    "US": st.lists(st.integers(0, 2**16 - 1), min_size=1, max_size=3),
    "UT": st.integers(0, 70000).map(lambda count: "u" * count),
    "UV": st.integers(0, 2**64 - 1),
}


@st.composite
def data_sets(draw: st.DrawFn, depth: int = 0) -> Dataset:
    """Random elements of known VRs, with sequences of either kind of length in each other."""
    data_set = Dataset()
    for vr in draw(st.lists(st.sampled_from(sorted(VALUES.keys() & TAGS.keys())), max_size=6, unique=True)):
        data_set.add(DataElement(draw(st.sampled_from(TAGS[vr])), vr, draw(VALUES[vr])))
    if depth < 3 and draw(st.booleans()):
        items = draw(st.lists(data_sets(depth=depth + 1), max_size=2))
        for item in items:
            item.is_undefined_length_sequence_item = draw(st.booleans())
        element = DataElement(draw(st.sampled_from(TAGS["SQ"])), "SQ", Sequence(items))
        element.is_undefined_length = draw(st.booleans())
        data_set.add(element)
    return data_set


@given(data_sets(), st.integers(1, 40))
def test_the_three_encodings_are_one_data_set(data_set: Dataset, step: int) -> None:
    data_set.update(identified())
    files = [
        written(turn_words(data_set) if syntax == uids.EXPLICIT_VR_BIG_ENDIAN else data_set, syntax)
        for syntax in SYNTAXES
    ]
    found = [scan(data) for data in files]
    assert [each.transfer_syntax_uid for each in found] == list(SYNTAXES)
    assert len({each.dataset_digest for each in found}) == 1
    expected = read(files[0])
    for data, each in zip(files, found, strict=True):
        out = converted(data, step)
        assert_same(expected, read(out))
        assert scan(data, step) == each
        assert each.leaves_as_is or len(out) == each.exit_length


def implicit(tag: int, value: bytes) -> bytes:
    return (
        (tag >> 16).to_bytes(2, "little")
        + (tag & 0xFFFF).to_bytes(2, "little")
        + len(value).to_bytes(4, "little")
        + value
    )


def implicit_file(*elements: bytes) -> bytes:
    four = (
        implicit(0x00080016, b"1.2.66")
        + implicit(0x00080018, b"1.2.34")
        + implicit(0x0020000D, b"1.23")
        + implicit(0x0020000E, b"1.24")
    )
    return bare_file(four, *elements, transfer_syntax_uid=uids.IMPLICIT_VR_LITTLE_ENDIAN)


def vr_in_exit(tag: int, *elements: bytes) -> str:
    """The VR that stands in the exit of an implicit file, whether it is fed whole or not."""
    data = implicit_file(*elements)
    out = converted(data)
    assert out == converted(data, 5)
    assert scan(out).dataset_digest == scan(data).dataset_digest
    marker = (tag >> 16).to_bytes(2, "little") + (tag & 0xFFFF).to_bytes(2, "little")
    at = out.index(marker, scan(out).dataset_offset)
    return out[at + 4 : at + 6].decode()


SIGNED = implicit(0x00280103, b"\1\0")
UNSIGNED = implicit(0x00280103, b"\0\0")


@pytest.mark.parametrize(
    ("tag", "before", "value", "vr"),
    [
        (0x00280120, [SIGNED], b"\0\0", "SS"),
        (0x00280120, [UNSIGNED], b"\0\0", "US"),
        (0x00280120, [], b"\0\0", "US"),
        (0x7FE00010, [implicit(0x00280100, b"\x08\0")], b"\0\0", "OB"),
        (0x7FE00010, [implicit(0x00280100, b"\x10\0")], b"\0\0", "OW"),
        (0x60003000, [implicit(0x00280100, b"\x08\0")], b"\0\0", "OW"),
        (0x00283006, [implicit(0x00283002, b"\1\0\0\0\x10\0")], b"\0\0", "US"),
        (0x00283006, [implicit(0x00283002, b"\2\0\0\0\x10\0")], b"\0\0\0\0", "OW"),
        (0x54001010, [implicit(0x54001004, b"\x08\0")], b"\0\0", "OB"),
        (0x54001010, [implicit(0x54001004, b"\x10\0")], b"\0\0", "OW"),
        (0x00290010, [], b"SIEMENS CSA HEADER", "LO"),
        (0x00291008, [implicit(0x00290010, b"SIEMENS CSA HEADER")], b"IMAGE NUM 4 ", "CS"),
        (0x00291008, [implicit(0x00290010, b"SOMEBODY ELSE ")], b"IMAGE NUM 4 ", "UN"),
        (0x00291008, [], b"IMAGE NUM 4 ", "UN"),
        (0x00089999, [], b"1234", "UN"),
        (0x00081030, [], b"x" * 65534, "LO"),
        (0x00081030, [], b"x" * 65536, "UN"),
        (0x00081140, [], b"no items", "UN"),
        (0x00081140, [], b"", "SQ"),
    ],
)
def test_the_vr_of_an_implicit_element(tag: int, before: list[bytes], value: bytes, vr: str) -> None:
    assert vr_in_exit(tag, *before, implicit(tag, value)) == vr


def test_items_inherit_the_context_and_not_the_private_creators() -> None:
    creator = implicit(0x00290010, b"SIEMENS CSA HEADER")
    inner = implicit(0x00281101, b"\0" * 6) + implicit(0x00291008, b"TEXT")
    item = b"\xfe\xff\0\xe0" + len(inner).to_bytes(4, "little") + inner
    before = (SIGNED, creator, implicit(0x30060010, item))
    assert vr_in_exit(0x00281101, *before) == "SS"
    assert vr_in_exit(0x00291008, *before) == "UN"


def test_what_is_unknown_and_holds_items_is_a_sequence() -> None:
    open_item = b"\xfe\xff\0\xe0\xff\xff\xff\xff" + implicit(0x00080100, b"A ")
    close = b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
    unknown = b"\x09\0\x01\x10"
    data = implicit_file(unknown + b"\xff\xff\xff\xff" + open_item + close)
    assert read(converted(data))[0x00091001].value[0].CodeValue == "A"
    stored_explicit = file_of(unknown + b"UN\0\0\xff\xff\xff\xff" + open_item + close)
    as_sequence = b"SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff" + plain(0x00080100, b"SH", b"A ")
    assert scan(stored_explicit).dataset_digest == scan(file_of(unknown + as_sequence + close)).dataset_digest
    assert scan(stored_explicit, 1) == scan(stored_explicit)


def test_a_large_value_leaves_as_slices() -> None:
    data = implicit_file(implicit(0x7FE00010, bytes(1 << 20)))
    converter = Converter(sop_class_uid="1.2", sop_instance_uid="1.3")
    pieces = [piece for at in range(0, len(data), 1 << 16) for piece in converter.feed(data[at : at + (1 << 16)])]
    assert converter.finish() == []
    assert sum(isinstance(piece, memoryview) for piece in pieces) >= 16


def test_a_cut_file_is_not_converted() -> None:
    converter = Converter(sop_class_uid="1.2", sop_instance_uid="1.3")
    converter.feed(shipped("MR_small_implicit.dcm")[:-10])
    with pytest.raises(DicomError):
        converter.finish()


def test_an_implicit_instance_that_cannot_be_followed_is_refused() -> None:
    broken = b"\xfe\xff\0\xe0" + (2).to_bytes(4, "little") + implicit(0x00081150, b"1.2.66")
    with pytest.raises(DicomError):
        scan(implicit_file(implicit(0x00081140, broken)))


@pytest.mark.parametrize("declared", [uids.EXPLICIT_VR_LITTLE_ENDIAN, uids.EXPLICIT_VR_BIG_ENDIAN])
def test_what_declares_another_syntax_leaves_in_the_right_one(declared: str) -> None:
    stored = implicit_file()
    body = stored[scan(stored).dataset_offset :]
    found = scan(bare_file(body, transfer_syntax_uid=declared))
    assert found.transfer_syntax_uid == uids.IMPLICIT_VR_LITTLE_ENDIAN
    assert not found.leaves_as_is
    explicit = file_of()
    lying = bare_file(explicit[scan(explicit).dataset_offset :], transfer_syntax_uid=uids.IMPLICIT_VR_LITTLE_ENDIAN)
    assert scan(lying).transfer_syntax_uid == uids.EXPLICIT_VR_LITTLE_ENDIAN
    assert not scan(lying).leaves_as_is
    assert scan(converted(lying)).leaves_as_is


def test_which_syntaxes_the_web_may_carry() -> None:
    assert not leaves_as_is(uids.IMPLICIT_VR_LITTLE_ENDIAN)
    assert not leaves_as_is(uids.EXPLICIT_VR_BIG_ENDIAN)
    assert leaves_as_is(uids.EXPLICIT_VR_LITTLE_ENDIAN)
    assert leaves_as_is(uids.JPEG_BASELINE)
