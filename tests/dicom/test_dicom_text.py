"""UIDs, and the text of attribute bytes in the character sets of pydicom's files."""

import uuid
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.charset import python_encoding

from edged.dicom import uids
from edged.dicom.names import decode_text
from tests.support.dicom_samples import read, scan, shipped_files

REFUSED = ("SQEncoding", "Korean", "JapMulti")
CHARSETS = [
    path
    for path in shipped_files()
    if path.parent.name == "charset_files" and path.suffix == ".dcm" and not any(name in path.name for name in REFUSED)
]


@pytest.mark.parametrize("path", CHARSETS, ids=lambda path: path.name)
def test_names_in_every_character_set(path: Path) -> None:
    data = path.read_bytes()
    found = scan(data).attributes
    text = decode_text(found["PatientName"], found.get("SpecificCharacterSet", b""), is_person_name=True)
    assert text.rstrip("=") == str(read(data).PatientName)


def test_code_extensions() -> None:
    korean = b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7"
    assert decode_text(korean, b"\\ISO 2022 IR 149", is_person_name=True) == "Hong^Gildong=洪^吉洞"


@pytest.mark.parametrize("charset", [b"ISO_IR 100", b"ISO-IR 100", b"ISO IR 100 ", b"unheard of", b"", b"zlib"])
def test_latin_1_in_every_spelling(charset: bytes) -> None:
    assert decode_text(b"M\xfcller ", charset) == "Müller"


def test_utf_8_stands_alone() -> None:
    assert decode_text("Müller".encode(), b"ISO_IR 192\\ISO 2022 IR 13") == "Müller"
    assert decode_text(b"M\xfcller", b"ISO_IR 192") == "M\N{REPLACEMENT CHARACTER}ller"


@given(st.binary(max_size=60), st.sampled_from(sorted(python_encoding)), st.booleans())
def test_no_bytes_raise(raw: bytes, term: str, is_person_name: bool) -> None:
    decode_text(raw, term.encode(), is_person_name=is_person_name)
    decode_text(raw, b"\\" + term.encode(), is_person_name=is_person_name)
    decode_text(b"\x1b$B" + raw, raw, is_person_name=is_person_name)


@given(st.uuids())
def test_a_uid_from_a_uuid(value: uuid.UUID) -> None:
    uid = uids.uid_from_uuid(value)
    assert uids.is_uid(uid)
    assert int(uid.removeprefix("2.25.")) == value.int


def test_our_own_uid_is_a_uuid() -> None:
    value = uuid.UUID(int=int(uids.IMPLEMENTATION_CLASS_UID.removeprefix("2.25.")))
    assert value.version == 4


@pytest.mark.parametrize("text", ["", "1.2 ", "1" * 65, "1.2\n", "a", "1٣"])
def test_no_uids(text: str) -> None:
    assert not uids.is_uid(text)
