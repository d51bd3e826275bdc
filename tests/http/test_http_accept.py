"""Negotiation: the Standard's own example, real user agents, and every header is an answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.http.accept import choose, most_specific, parse_accept, parse_media_range
from edged.http.media_type import parse_media_type

DICOM = 'multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.1'
JPEG = 'multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.4.50'
JSON = "application/dicom+json"
XML = "application/dicom+xml"


def chosen(header: str | None, *offered: str) -> str | None:
    offers = [parse_media_type(offer) for offer in offered]
    choice = choose(header, offers)
    return None if choice is None else offered[offers.index(choice)]


@pytest.mark.parametrize(
    ("media_type", "weight"),
    [
        ("text/html; level=1", 1.0),
        ("text/html; level=2", 0.7),
        ("text/plain", 0.5),
        ("text/rtf", 0.5),
        ("text/html", 0.4),
        ("text/x-latex", 0.5),
        ("audio/basic", 0.4),
    ],
)
def test_weights_of_the_example_in_8_7_8_1(media_type: str, weight: float) -> None:
    """The table gives text/x-latex 0.4 by `*/*`; by its own rule 2, and RFC 9110, `text/*` decides."""
    header = "text/*; q=0.5, text/html; q=0.4, text/html; level=1, text/html; level=2; q=0.7, */*; q=0.4"
    assert chosen(f"{header}, image/png; q={weight - 0.01:.2f}", "image/png", media_type) == media_type
    if weight < 1:
        assert chosen(f"{header}, image/png; q={weight + 0.01:.2f}", "image/png", media_type) == "image/png"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("", None),
        ("*/*", JSON),
        ("application/*", JSON),
        ("application/dicom+xml, application/dicom+json", JSON),
        ("application/dicom+xml, application/dicom+json;q=0.9", XML),
        ("application/dicom+json; charset=utf-8", JSON),
        ("application/dicom+json;q=0, */*", XML),
        ("*/*;q=0", None),
        ("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", JSON),
        ("text/plain", None),
        ("application/dicom+xml;q=2, application/dicom+json;q=0.1", JSON),
        ("rubbish, ;;, application/dicom+xml", XML),
        ("*/dicom+json", None),
        ("APPLICATION/DICOM+XML", XML),
    ],
)
def test_single_parts(header: str | None, expected: str | None) -> None:
    assert chosen(header, JSON, XML) == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('multipart/related; type="application/dicom"', DICOM),
        ("multipart/related; type=application/dicom", DICOM),
        ("multipart/related", DICOM),
        ('multipart/related; type="*/*"', DICOM),
        ('multipart/related; type="application/*"; boundary=**', DICOM),
        ('multipart/related; type="image/*"', None),
        ('multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.4.50', JPEG),
        ('multipart/related; type="application/dicom"; transfer-syntax=1.2.3', None),
        ('multipart/related; type="application/dicom"; transfer-syntax=*', DICOM),
        (
            (
                'multipart/related; type="application/dicom"; transfer-syntax=*; q=0.5, '
                'multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.4.50;q=0.6'
            ),
            JPEG,
        ),
        ("multipart/*;q=0.1, */*", DICOM),
    ],
)
def test_multipart(header: str, expected: str | None) -> None:
    assert chosen(header, DICOM, JPEG) == expected


def test_an_unspecific_offer_does_not_satisfy_a_wanted_transfer_syntax() -> None:
    assert chosen("application/dicom; transfer-syntax=1.2.840.10008.1.2.4.50", "application/dicom") is None
    assert chosen("application/dicom; transfer-syntax=*", "application/dicom") is not None


def test_a_very_long_list_is_cut() -> None:
    assert len(parse_accept("a/b," * 100_000)) == 100


def test_the_range_that_decides_is_returned() -> None:
    ranges = parse_accept("*/*;q=0.1, application/*;q=0.2, application/dicom+json;charset=x;q=0.3")
    found = most_specific(ranges, parse_media_type(JSON))
    assert found is not None
    assert (found.weight, found.media_type.parameter("charset")) == (0.3, "x")
    assert most_specific(ranges[1:], parse_media_type("text/html")) is None


def test_of_equal_ranges_the_greater_weight_decides() -> None:
    found = most_specific(parse_accept(f"{JSON};q=0.9, {JSON};q=0.1"), parse_media_type(JSON))
    assert found is not None
    assert found.weight == 0.9


def test_one_range() -> None:
    assert parse_media_range("text/html;q=2") is None
    found = parse_media_range("text/*; q=0.5")
    assert found is not None
    assert (found.media_type.essence, found.weight) == ("text/*", 0.5)


@given(st.text() | st.text(alphabet='a/*;=",q.01 ', max_size=40))
def test_any_header_is_answered(header: str) -> None:
    offers = [parse_media_type(offer) for offer in (JSON, DICOM)]
    assert choose(header, offers) in (None, *offers)
