"""Content negotiation: PS3.18 8.3.3 and 8.7.5 to 8.7.8, and the user agents that exist."""

from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.dicomweb.negotiation import (
    MAX_ASKED,
    NegotiationError,
    Selection,
    Wishes,
    negotiate,
    negotiate_leniently,
    wishes_of,
)
from edged.http.media_type import MediaType, parse_media_type
from edged.http.query import Query, parse_query

EXPLICIT = "1.2.840.10008.1.2.1"
JPEG = "1.2.840.10008.1.2.4.50"

METADATA = (
    "application/dicom+json",
    "application/json",
    "application/dicom+xml",
    "multipart/related; type=application/dicom+xml",
)
AS_STORED = (
    f"multipart/related; type=application/dicom; transfer-syntax={JPEG}",
    f"application/dicom; transfer-syntax={JPEG}",
)
INSTANCE = (
    *AS_STORED,
    f"multipart/related; type=application/dicom; transfer-syntax={EXPLICIT}",
    f"application/dicom; transfer-syntax={EXPLICIT}",
)
PICTURE = ("image/jpeg", "image/png", "image/gif")
TEXT = ("text/html", "text/plain", "text/xml")
FRAME = (
    f"multipart/related; type=application/octet-stream; transfer-syntax={EXPLICIT}",
    "multipart/related; type=image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.70",
    f"image/jpeg; transfer-syntax={JPEG}",
)

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


def select(wanted: Wishes, offered: tuple[str, ...]) -> Selection:
    return negotiate(wanted, [parse_media_type(each) for each in offered])


def outcome(wanted: Wishes, offered: list[MediaType]) -> MediaType | HTTPStatus:
    """What is selected, or the status of the refusal."""
    try:
        return negotiate(wanted, offered).media_type
    except NegotiationError as error:
        return error.problem.status


def chosen(offered: tuple[str, ...], accept: str | None, query: bytes = b"") -> str | HTTPStatus:
    """The offer that is selected, as it is written here, or the status of the refusal."""
    types = [parse_media_type(each) for each in offered]
    found = outcome(wishes_of({} if accept is None else {"accept": accept}, parse_query(query)), types)
    return found if isinstance(found, HTTPStatus) else offered[types.index(found)]


@pytest.mark.parametrize("offered", [METADATA, INSTANCE, PICTURE, TEXT])
def test_no_accept_is_not_acceptable(offered: tuple[str, ...]) -> None:
    """8.7.5, also with an accept parameter."""
    assert chosen(offered, None) is HTTPStatus.NOT_ACCEPTABLE
    assert chosen(offered, None, b"accept=" + offered[0].encode()) is HTTPStatus.NOT_ACCEPTABLE


@pytest.mark.parametrize(
    ("offered", "accept", "expected"),
    [
        (METADATA, "*/*", METADATA[0]),
        (METADATA, "application/*", METADATA[0]),
        (METADATA, "application/dicom+json", METADATA[0]),
        (METADATA, "application/json", METADATA[1]),
        (METADATA, "application/dicom+xml", METADATA[2]),
        (METADATA, 'multipart/related; type="application/dicom+xml"', METADATA[3]),
        (METADATA, "application/dicom+json; charset=utf-8", METADATA[0]),
        (METADATA, f"application/dicom+json; transfer-syntax={EXPLICIT}", METADATA[0]),
        (METADATA, 'multipart/related; type="application/dicom+xml"; transfer-syntax=*', METADATA[3]),
        (METADATA, f"application/dicom+json; transfer-syntax={JPEG}", HTTPStatus.NOT_ACCEPTABLE),
        (METADATA, "application/dicom+json;q=0.2, application/dicom+xml;q=0.7", METADATA[2]),
        (METADATA, "application/dicom+json, application/json", METADATA[0]),
        (METADATA, "application/json, text/plain, */*", METADATA[0]),
        (METADATA, "text/plain", HTTPStatus.NOT_ACCEPTABLE),
        (METADATA, "", HTTPStatus.NOT_ACCEPTABLE),
        (METADATA, "rubbish", HTTPStatus.NOT_ACCEPTABLE),
        (METADATA, "application/dicom+json;q=0", HTTPStatus.NOT_ACCEPTABLE),
        (METADATA, BROWSER, METADATA[0]),
        (PICTURE, "*/*", "image/jpeg"),
        (PICTURE, "image/*", "image/jpeg"),
        (PICTURE, "image/jpeg", "image/jpeg"),
        (PICTURE, "image/png", "image/png"),
        (PICTURE, "image/gif", "image/gif"),
        (PICTURE, "image/jp2", HTTPStatus.NOT_ACCEPTABLE),
        (PICTURE, "image/png;q=0.5, image/gif;q=0.9, image/*;q=0.1", "image/gif"),
        (PICTURE, "image/avif,image/webp,image/apng,image/*,*/*;q=0.8", "image/jpeg"),
        (PICTURE, "application/dicom", HTTPStatus.NOT_ACCEPTABLE),
        (PICTURE, f"image/jpeg; transfer-syntax={JPEG}", HTTPStatus.NOT_ACCEPTABLE),
        (TEXT, "*/*", "text/html"),
        (TEXT, "text/*", "text/html"),
        (TEXT, "text/plain", "text/plain"),
        (TEXT, "text/xml", "text/xml"),
        (TEXT, "application/pdf", HTTPStatus.NOT_ACCEPTABLE),
    ],
)
def test_accept(offered: tuple[str, ...], accept: str, expected: str | HTTPStatus) -> None:
    """Tables 8.7.3-3 and 8.7.4-1; 8.7.7, 8.7.8.1."""
    assert chosen(offered, accept) == expected


@pytest.mark.parametrize(
    ("offered", "accept", "expected"),
    [
        (INSTANCE, "*/*", INSTANCE[2]),
        (INSTANCE, 'multipart/related; type="application/dicom"', INSTANCE[2]),
        (INSTANCE, "application/dicom", INSTANCE[3]),
        (INSTANCE, "application/dicom; transfer-syntax=*", INSTANCE[1]),
        (INSTANCE, f"application/dicom; transfer-syntax={JPEG}", INSTANCE[1]),
        (INSTANCE, f"application/dicom; transfer-syntax={EXPLICIT}", INSTANCE[3]),
        (INSTANCE, f"application/dicom;q=0.9, application/dicom; transfer-syntax={JPEG}", INSTANCE[1]),
        (INSTANCE, f"application/dicom; transfer-syntax={JPEG};q=0.1, application/dicom;q=0.2", INSTANCE[3]),
        (INSTANCE, 'multipart/related; type="application/dicom"; transfer-syntax=*', INSTANCE[0]),
        (INSTANCE, "application/dicom; transfer-syntax=1.2.840.10008.1.2", HTTPStatus.NOT_ACCEPTABLE),
        (INSTANCE, "application/dicom; transfer-syntax=1.2.840.10008.1.2.2", HTTPStatus.NOT_ACCEPTABLE),
        (INSTANCE, "application/dicom; transfer-syntax=1.2;transfer-syntax=1.3", HTTPStatus.NOT_ACCEPTABLE),
        (AS_STORED, "*/*", AS_STORED[0]),
        (AS_STORED, "application/dicom", AS_STORED[1]),
        (AS_STORED, f"application/dicom; transfer-syntax={EXPLICIT}", HTTPStatus.NOT_ACCEPTABLE),
        (FRAME, "*/*", FRAME[0]),
        (FRAME, 'multipart/related; type="image/jpeg"', FRAME[1]),
        (FRAME, 'multipart/related; type="image/*"; boundary=**', FRAME[1]),
        (FRAME, "image/jpeg", FRAME[2]),
        (FRAME, "image/jpeg, application/octet-stream;q=0.5", FRAME[2]),
    ],
)
def test_transfer_syntaxes(offered: tuple[str, ...], accept: str, expected: str | HTTPStatus) -> None:
    """8.7.3.4, 8.7.3.5.2, 8.7.8.2: as stored first, but the default one is meant where none is named."""
    assert chosen(offered, accept) == expected


@pytest.mark.parametrize(
    "accept",
    [
        "application/dicom, image/jpeg",
        "application/dicom+json, text/html",
        "application/dicom+json;q=0.5, application/pdf;q=0.1, */*",
        'multipart/related; type="application/dicom", image/png',
        "image/jpeg; transfer-syntax=*, image/jpeg",
    ],
)
def test_dicom_and_rendered_types_together(accept: str) -> None:
    """8.7.5: whether they are offered or not."""
    for offered in (INSTANCE, METADATA, PICTURE):
        assert chosen(offered, accept) is HTTPStatus.BAD_REQUEST
        query = b"accept=" + accept.replace(", */*", "").replace(" ", "%20").encode()
        assert chosen(offered, "*/*", query) is HTTPStatus.BAD_REQUEST


def test_a_refused_type_is_not_accepted_together() -> None:
    assert chosen(METADATA, "application/dicom+json, text/html;q=0") == METADATA[0]


@pytest.mark.parametrize(
    ("query", "accept", "expected"),
    [
        (b"accept=application/dicom+xml", "*/*", METADATA[2]),
        (b"accept=application/dicom%2Bxml", "*/*", METADATA[2]),
        (b"accept=application%2Fdicom%2Bxml%2Capplication%2Fdicom%2Bjson;q=0.5", "*/*", METADATA[2]),
        (b"accept=application/dicom+json;q=0.5,application/dicom+xml", "application/*", METADATA[2]),
        (b"accept=application/dicom+json;q=0.5&accept=application/dicom+xml", "application/*", METADATA[2]),
        (b"accept=application/dicom+xml", "application/dicom+json, application/dicom+xml;q=0.1", METADATA[2]),
        (b"accept=application/zip", "application/zip, application/dicom+xml", METADATA[2]),
        (b"accept=application/zip", "*/*", METADATA[0]),
        (b"accept=application/zip", "application/zip", HTTPStatus.NOT_ACCEPTABLE),
        (b"accept=application/dicom+xml", BROWSER, METADATA[2]),
        (b"Accept=text/*", "*/*", METADATA[0]),
        (b"accept=application/dicom+xml", "application/dicom+json", HTTPStatus.BAD_REQUEST),
        (b"accept=application/dicom+xml", "application/dicom+xml;q=0, */*", HTTPStatus.BAD_REQUEST),
        (b"accept=*/*", "*/*", HTTPStatus.BAD_REQUEST),
        (b"accept=*", "*/*", HTTPStatus.BAD_REQUEST),
        (b"accept=application/*", "*/*", HTTPStatus.BAD_REQUEST),
        (b'accept=multipart/related;type="image/*"', "*/*", HTTPStatus.BAD_REQUEST),
        (b"accept=rubbish", "*/*", HTTPStatus.BAD_REQUEST),
        (b"accept=application/dicom+json;q=2", "*/*", HTTPStatus.BAD_REQUEST),
        (b"accept=", "*/*", HTTPStatus.BAD_REQUEST),
        (b"accept", "*/*", HTTPStatus.BAD_REQUEST),
        (b"accept=" + b"a/b," * (MAX_ASKED - 1) + b"application/dicom+xml", "*/*", METADATA[2]),
        (b"accept=" + b"a/b," * MAX_ASKED + b"application/dicom+xml", "*/*", HTTPStatus.BAD_REQUEST),
        (b"accept=a/b&" * MAX_ASKED + b"accept=application/dicom+xml", "*/*", HTTPStatus.BAD_REQUEST),
    ],
)
def test_the_accept_parameter(query: bytes, accept: str, expected: str | HTTPStatus) -> None:
    """8.3.3.1, 8.7.8.1: before the header field, covered by it, without wildcards."""
    assert chosen(METADATA, accept, query) == expected


def test_a_transfer_syntax_in_the_accept_parameter() -> None:
    assert (
        chosen(INSTANCE, "application/*", b"accept=application/dicom;transfer-syntax=" + JPEG.encode()) == INSTANCE[1]
    )
    assert chosen(INSTANCE, "application/*", b"accept=application/dicom;transfer-syntax=*") == INSTANCE[1]
    assert chosen(INSTANCE, "application/*", b"accept=application/dicom") == INSTANCE[3]


def test_what_is_available_is_listed() -> None:
    """Table 8.5-1, 406."""
    for accept in (None, "image/png"):
        with pytest.raises(NegotiationError) as caught:
            select(Wishes(accept=accept), METADATA)
        assert caught.value.problem.extra == {
            "available": [
                "application/dicom+json",
                "application/json",
                "application/dicom+xml",
                'multipart/related; type="application/dicom+xml"',
            ]
        }


@pytest.mark.parametrize(
    ("accept", "query", "expected"),
    [
        (None, None, METADATA[0]),
        ("text/html", None, METADATA[0]),
        ("application/dicom+json, text/html", None, METADATA[0]),
        ("*/*", "*/*", METADATA[0]),
        ("application/dicom+xml", None, METADATA[2]),
        ("*/*", "application/dicom+xml", METADATA[2]),
    ],
)
def test_a_store_is_always_answered(accept: str | None, query: str | None, expected: str) -> None:
    """DICOM.md §3."""
    offered = [parse_media_type(each) for each in METADATA]
    selection = negotiate_leniently(Wishes(accept=accept, accept_parameter=query), offered)
    assert selection.media_type == parse_media_type(expected)


def test_the_name_of_the_uri_service() -> None:
    """9.1.2.2.1."""
    query = parse_query(b"contentType=image/png&accept=text/plain")
    wanted = wishes_of({"accept": "*/*"}, query, accept_name="contentType")
    assert wanted == Wishes(accept="*/*", accept_parameter="image/png")
    assert wishes_of({}, Query()) == Wishes()


HEADERS = (
    st.none()
    | st.text()
    | st.lists(st.sampled_from([*INSTANCE, *METADATA, "*/*", "image/*", "text/html;q=0.1"])).map(", ".join)
)


@given(HEADERS, HEADERS)
def test_anything_is_selected_or_refused(accept: str | None, parameter: str | None) -> None:
    offered = [parse_media_type(each) for each in INSTANCE]
    wanted = Wishes(accept=accept, accept_parameter=parameter)
    assert negotiate_leniently(wanted, offered).media_type in offered
    assert outcome(wanted, offered) in (HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_ACCEPTABLE, *offered)
