"""What the canonical form leaves out, wherever it stands: scan, digest and web exit are as if it were not there."""

import zlib
from collections.abc import Callable
from operator import itemgetter
from struct import pack

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edged.dicom import uids
from edged.dicom.dataset import LONG_VALUE
from edged.dicom.errors import DicomError
from edged.dicom.reasons import FailureReason
from edged.dicom.scanner import Scan
from edged.dicom.vr import LONG_VRS
from tests.support.dicom_samples import bare_file, converted, file_of, plain, read, scan, ui

EXPLICIT, IMPLICIT, BIG = (
    uids.EXPLICIT_VR_LITTLE_ENDIAN,
    uids.IMPLICIT_VR_LITTLE_ENDIAN,
    uids.EXPLICIT_VR_BIG_ENDIAN,
)
Element = tuple[int, bytes, "bytes | list[list[Element]]"]
"""Tag, VR and the value, or the items of a sequence."""

FOUR_UIDS: list[Element] = [
    (0x00080016, b"UI", b"1.2.66"),
    (0x00080018, b"UI", b"1.2.34"),
    (0x0020000D, b"UI", b"1.23"),
    (0x0020000E, b"UI", b"1.24"),
]
SYNTAX: Element = (0x00020010, b"UI", b"1.2.840.10008.1.2\0")
GROUP_LENGTH: Element = (0x00080000, b"UL", bytes(4))
PADDING: Element = (0xFFFCFFFC, b"OB", bytes(30))
ANYWHERE: list[Element] = [
    SYNTAX,
    GROUP_LENGTH,
    (0x00020000, b"UL", bytes(4)),
    (0x00020001, b"OB", b"\0\1"),
    (0x00020003, b"UI", b"9.9.99"),
    (0x00020013, b"SH", b"HERE"),
    (0x00020102, b"OB", bytes(300)),
    (0x000200AA, b"UN", b"?!"),
    (0x00100000, b"UL", bytes(4)),
]
"""What is left out; but for padding, which stands at the end."""

KEPT: list[Element] = [
    (0x00000002, b"UI", b"1.2.66"),
    (0x00080100, b"SH", b"A "),
    (0x00100020, b"LO", b"A1"),
    (0x00420011, b"OB", bytes(range(100))),
    (0x7FE00010, b"OW", bytes(range(256))),
]


def encoded(elements: list[Element], syntax: str, *, has_lengths: bool = True) -> bytes:
    """A data set, its sequences and items with a length or without."""
    return b"".join(_element(element, syntax, has_lengths) for element in elements)


def _element(element: Element, syntax: str, has_lengths: bool) -> bytes:
    tag, vr, value = element
    order = ">" if syntax == BIG else "<"
    length = None
    if isinstance(value, list):
        value = b"".join(_item(encoded(item, syntax, has_lengths=has_lengths), order, has_lengths) for item in value)
        if not has_lengths:
            length = 0xFFFFFFFF
            value += pack(f"{order}HHL", 0xFFFE, 0xE0DD, 0)
    length = len(value) if length is None else length
    begin = pack(f"{order}HH", tag >> 16, tag & 0xFFFF)
    if syntax == IMPLICIT:
        return begin + pack("<L", length) + value
    if vr in LONG_VRS:
        return begin + vr + bytes(2) + pack(f"{order}L", length) + value
    return begin + vr + pack(f"{order}H", length) + value


def _item(elements: bytes, order: str, has_length: bool) -> bytes:
    if has_length:
        return pack(f"{order}HHL", 0xFFFE, 0xE000, len(elements)) + elements
    return pack(f"{order}HHL", 0xFFFE, 0xE000, 0xFFFFFFFF) + elements + pack(f"{order}HHL", 0xFFFE, 0xE00D, 0)


def deflated(data_set: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-15)
    body = deflater.compress(data_set) + deflater.flush()
    return bare_file(body, transfer_syntax_uid=uids.DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN)


FORMS: dict[str, Callable[..., bytes]] = {
    "explicit": lambda elements, **how: bare_file(encoded(elements, EXPLICIT, **how)),
    "implicit": lambda elements, **how: bare_file(encoded(elements, IMPLICIT, **how), transfer_syntax_uid=IMPLICIT),
    "big endian": lambda elements, **how: bare_file(encoded(elements, BIG, **how), transfer_syntax_uid=BIG),
    "no meta": lambda elements, **how: bytes(128) + b"DICM" + encoded(elements, EXPLICIT, **how),
    "deflated": lambda elements, **how: deflated(encoded(elements, EXPLICIT, **how)),
    "deflated, implicit": lambda elements, **how: deflated(encoded(elements, IMPLICIT, **how)),
}


def without(elements: list[Element]) -> list[Element]:
    """The elements that are kept."""
    kept = [element for element in elements if element not in [*ANYWHERE, PADDING]]
    return [
        (tag, vr, value if isinstance(value, bytes) else [without(item) for item in value]) for tag, vr, value in kept
    ]


def agrees(data: bytes, step: int = 0) -> Scan:
    """The scan of a file, after its web exit was seen to be what the scan says."""
    found = scan(data, step)
    assert found.irregular is None
    if found.leaves_as_is:
        return found
    out = converted(data, step)
    again = scan(out)
    assert again.leaves_as_is
    assert len(out) == found.exit_length
    assert again.dataset_digest == found.dataset_digest
    assert out.count(b"\x02\0\x10\0UI") == 1
    assert not any(int(tag) >> 16 == 2 for tag in set(read(out).keys()))
    return found


PLACES = {
    "first": [SYNTAX, *FOUR_UIDS],
    "behind a group length": [GROUP_LENGTH, SYNTAX, *FOUR_UIDS],
    "among others": [*FOUR_UIDS[:2], SYNTAX, *FOUR_UIDS[2:]],
    "last": [*FOUR_UIDS, SYNTAX],
    "in an item": [*FOUR_UIDS, (0x00400260, b"SQ", [[SYNTAX, (0x00080100, b"SH", b"A "), SYNTAX], [SYNTAX]])],
    "everywhere": [*ANYWHERE, *FOUR_UIDS[:1], *ANYWHERE, *FOUR_UIDS[1:], *ANYWHERE, PADDING],
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("step", [0, 1])
def test_file_meta_information_does_not_belong_in_a_data_set(form: str, place: str, step: int) -> None:
    elements: list[Element] = PLACES[place]
    clean = agrees(FORMS[form](without(elements)))
    found = agrees(FORMS[form](elements), step * 7)
    assert found.dataset_digest == clean.dataset_digest
    assert found.sop_instance_uid == "1.2.34"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("step", [0, 1000])
def test_a_long_value_that_is_left_out_is_no_body(form: str, step: int) -> None:
    private: Element = (0x00020102, b"OB", bytes(LONG_VALUE))
    pixels: Element = (0x7FE00010, b"OW", bytes(range(256)) * (LONG_VALUE // 256))
    found = agrees(FORMS[form]([*FOUR_UIDS, private, pixels, SYNTAX]), step)
    assert found.dataset_digest == agrees(FORMS[form]([*FOUR_UIDS, pixels])).dataset_digest


@st.composite
def data_sets(draw: st.DrawFn, depth: int = 0) -> list[Element]:
    """Elements in their order, and those to leave out anywhere, also in items."""
    elements = [] if depth else list(FOUR_UIDS)
    more = draw(st.lists(st.sampled_from(KEPT[1:]), max_size=3, unique=True))
    if depth < 3 and draw(st.booleans()):
        more.append((0x00400260, b"SQ", draw(st.lists(data_sets(depth=depth + 1), max_size=2))))
    elements = sorted([*elements, *more], key=itemgetter(0))
    for element in draw(st.lists(st.sampled_from(ANYWHERE), max_size=6)):
        elements.insert(draw(st.integers(0, len(elements))), element)
    return elements if depth or draw(st.booleans()) else [*elements, PADDING]


@given(data_sets(), st.sampled_from(sorted(FORMS)), st.booleans(), st.integers(1, 200))
@example([GROUP_LENGTH, SYNTAX, *FOUR_UIDS], "no meta", True, 1)
def test_what_is_left_out_changes_nothing(elements: list[Element], form: str, has_lengths: bool, step: int) -> None:
    clean = FORMS[form](without(elements), has_lengths=has_lengths)
    found = agrees(FORMS[form](elements, has_lengths=has_lengths), step * 50)
    assert found.dataset_digest == agrees(clean).dataset_digest


@given(data_sets(), st.sampled_from(["explicit", "implicit", "no meta", "deflated", "deflated, implicit"]))
def test_a_command_set_is_kept(elements: list[Element], form: str) -> None:
    commands = [KEPT[0], *elements]
    found = agrees(FORMS[form](commands))
    assert found.dataset_digest == agrees(FORMS[form](without(commands))).dataset_digest
    assert found.dataset_digest != agrees(FORMS[form](elements)).dataset_digest


def test_what_is_left_out_must_have_an_end() -> None:
    endless = b"\x02\0\x10\0\xff\xff\xff\xff"
    four = encoded(FOUR_UIDS, IMPLICIT)
    with pytest.raises(DicomError) as caught:
        scan(bare_file(four, endless, transfer_syntax_uid=IMPLICIT))
    assert caught.value.reason is FailureReason.CANNOT_UNDERSTAND
    found = scan(file_of(endless))
    assert found.leaves_as_is
    assert found.irregular == "Element 00020010 has no length."


def test_the_first_element_that_is_kept_tells_the_encoding() -> None:
    assert agrees(bare_file(encoded([SYNTAX], BIG), encoded(FOUR_UIDS, EXPLICIT))).leaves_as_is
    explicit = encoded([GROUP_LENGTH, *FOUR_UIDS], EXPLICIT)
    assert agrees(bare_file(explicit, transfer_syntax_uid=IMPLICIT)).transfer_syntax_uid == EXPLICIT
    overlay: Element = (0x60000010, b"US", bytes(2))  # looks like (0060,1000) in big endian
    for before in ([], [GROUP_LENGTH], [SYNTAX, GROUP_LENGTH]):
        with pytest.raises(DicomError):
            scan(FORMS["no meta"]([*before, overlay, *FOUR_UIDS]))


def test_of_repeated_meta_information_the_first_counts() -> None:
    first = bare_file(plain(0x00020013, b"SH", b"HERE"), transfer_syntax_uid=uids.JPEG_BASELINE)
    again = ui(0x00020010, IMPLICIT) + plain(0x00020013, b"SH", b"THERE ") + plain(0x00020016, b"AE", b"ME")
    found = scan(first + again + encoded(FOUR_UIDS, EXPLICIT))
    assert found.transfer_syntax_uid == uids.JPEG_BASELINE
    assert found.leaves_as_is
    out = converted(first + again + encoded(FOUR_UIDS, IMPLICIT))
    assert out.count(b"\x02\0\x10\0UI") == 1
    meta = read(out).file_meta
    assert meta.TransferSyntaxUID == uids.JPEG_BASELINE
    assert meta.ImplementationVersionName == "HERE"
    assert meta.SourceApplicationEntityTitle == "ME"
