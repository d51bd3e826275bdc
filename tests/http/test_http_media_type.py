"""Media types as real user agents write them, and nothing but MediaTypeError for the rest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.http.media_type import MAX_PARAMETERS, MediaType, MediaTypeError, parse_media_type

TOKENS = st.text(alphabet="abcXYZ019!#$&-^_.+", min_size=1, max_size=12)
VALUES = st.text(
    alphabet=st.characters(min_codepoint=0x20, max_codepoint=0x2FF, exclude_characters="\x7f"), max_size=20
)


@pytest.mark.parametrize(
    ("value", "essence", "parameters"),
    [
        ("application/dicom", "application/dicom", {}),
        ("Application/DICOM+JSON", "application/dicom+json", {}),
        ("text/html; Charset=utf-8", "text/html", {"charset": "utf-8"}),
        (
            'multipart/related; type="application/dicom"; boundary="a b"',
            "multipart/related",
            {"type": "application/dicom", "boundary": "a b"},
        ),
        (
            "multipart/related ; type = application/dicom ;boundary=x;",
            "multipart/related",
            {"type": "application/dicom", "boundary": "x"},
        ),
        ('multipart/related; type="*/*"', "multipart/related", {"type": "*/*"}),
        ("application/dicom; transfer-syntax=*", "application/dicom", {"transfer-syntax": "*"}),
        (r'a/b; x="q\"\\;,"', "a/b", {"x": 'q"\\;,'}),
        ("a/b; x=", "a/b", {"x": ""}),
        ("a/b; flag; x=1", "a/b", {"x": "1"}),
        ("a/b; x=1; X=1", "a/b", {"x": "1"}),
        ("multipart/related; boundary=a=b,c", "multipart/related", {"boundary": "a=b,c"}),
    ],
)
def test_reads(value: str, essence: str, parameters: dict[str, str]) -> None:
    media_type = parse_media_type(value)
    assert media_type.essence == essence
    assert media_type.parameters == parameters


@pytest.mark.parametrize(
    "value",
    [
        "",
        "text",
        "/html",
        "text/",
        "a b/c",
        "a/b/c",
        'a/b; x="open',
        'a/b; x="1"2',
        "a/b; x y=1",
        "a/b; x=1; x=2",
        "a/b\r\nX: y",
        "a/b; x=\x00",
        "a/" + "b" * 9000,
    ],
)
def test_refuses(value: str) -> None:
    with pytest.raises(MediaTypeError):
        parse_media_type(value)


@given(TOKENS, TOKENS, st.dictionaries(TOKENS.map(str.lower), VALUES.map(str.strip), max_size=4))
def test_what_is_written_is_read_back(kind: str, subtype: str, parameters: dict[str, str]) -> None:
    media_type = MediaType(kind.lower(), subtype.lower(), parameters)
    assert parse_media_type(str(media_type)) == media_type
    assert hash(parse_media_type(str(media_type))) == hash(media_type)


@given(st.text() | st.text(alphabet='a/;="\\ ,*\t', max_size=30))
def test_anything_else_is_its_own_error(value: str) -> None:
    try:
        media_type = parse_media_type(value)
    except MediaTypeError:
        return
    assert parse_media_type(str(media_type)) == media_type


def test_parameters_are_bounded() -> None:
    most = "a/b" + "".join(f";p{number}=1" for number in range(MAX_PARAMETERS))
    assert len(parse_media_type(most).parameters) == MAX_PARAMETERS
    for more in (f"{most};q=1", f"{most};", "a/b" + ";" * (MAX_PARAMETERS + 1)):
        with pytest.raises(MediaTypeError, match="more than"):
            parse_media_type(more)


def test_a_parameter_is_found_by_its_lower_case_name() -> None:
    media_type = parse_media_type("a/b; Transfer-Syntax=1.2")
    assert media_type.parameter("transfer-syntax") == "1.2"
    assert media_type.parameter("type") is None
