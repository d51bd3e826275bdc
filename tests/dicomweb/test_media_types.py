"""The tables of PS3.18 8.7, row by row."""

import pytest

from edged.dicom.uids import EXPLICIT_VR_LITTLE_ENDIAN
from edged.dicomweb.media_types import Kind, default_transfer_syntax, kind_of, root_essence
from edged.http.media_type import parse_media_type


@pytest.mark.parametrize(
    ("media_type", "uid"),
    [
        ("application/dicom", EXPLICIT_VR_LITTLE_ENDIAN),
        ("multipart/related; type=application/dicom", EXPLICIT_VR_LITTLE_ENDIAN),
        ("application/dicom+json", EXPLICIT_VR_LITTLE_ENDIAN),
        ("application/dicom+xml", EXPLICIT_VR_LITTLE_ENDIAN),
        ("application/octet-stream", EXPLICIT_VR_LITTLE_ENDIAN),
        ("image/jpeg", "1.2.840.10008.1.2.4.70"),
        ("image/dicom-rle", "1.2.840.10008.1.2.5"),
        ("image/jls", "1.2.840.10008.1.2.4.80"),
        ("image/jp2", "1.2.840.10008.1.2.4.90"),
        ("image/jpx", "1.2.840.10008.1.2.4.92"),
        ("image/jphc", "1.2.840.10008.1.2.4.201"),
        ('multipart/related; type="image/jls"', "1.2.840.10008.1.2.4.80"),
        ("video/mpeg", "1.2.840.10008.1.2.4.101"),
        ("video/mp4", "1.2.840.10008.1.2.4.102"),
        ("video/H265", "1.2.840.10008.1.2.4.107"),
    ],
)
def test_default_transfer_syntaxes(media_type: str, uid: str) -> None:
    """Tables 8.7.3-2 to 8.7.3-5, the rows marked as default."""
    assert default_transfer_syntax(parse_media_type(media_type)) == uid


@pytest.mark.parametrize(
    ("media_type", "kind"),
    [
        ("application/dicom", Kind.DICOM),
        ("application/dicom+json", Kind.DICOM),
        ("application/dicom+xml", Kind.DICOM),
        ("application/octet-stream", Kind.DICOM),
        ("image/dicom-rle", Kind.DICOM),
        ("image/jls", Kind.DICOM),
        ("image/jpx", Kind.DICOM),
        ("image/jphc", Kind.DICOM),
        ("image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.50", Kind.DICOM),
        ("image/jp2; transfer-syntax=*", Kind.DICOM),
        ('multipart/related; type="application/dicom"', Kind.DICOM),
        ('multipart/related; type="application/octet-stream"', Kind.DICOM),
        ('multipart/related; type="video/mp4"; transfer-syntax=*', Kind.DICOM),
        ("image/jpeg", Kind.RENDERED),
        ("image/gif", Kind.RENDERED),
        ("image/png", Kind.RENDERED),
        ("image/jp2", Kind.RENDERED),
        ("image/jph", Kind.RENDERED),
        ("video/mpeg", Kind.RENDERED),
        ("video/mp4", Kind.RENDERED),
        ("video/H265", Kind.RENDERED),
        ("text/html", Kind.RENDERED),
        ("text/plain", Kind.RENDERED),
        ("text/xml", Kind.RENDERED),
        ("text/rtf", Kind.RENDERED),
        ("application/pdf", Kind.RENDERED),
        ('multipart/related; type="image/png"', Kind.RENDERED),
        ('multipart/related; type="image/jpeg"', Kind.OTHER),
        ("multipart/related", Kind.OTHER),
        ("application/json", Kind.OTHER),
        ("application/vnd.sun.wadl+xml", Kind.OTHER),
        ("image/*", Kind.OTHER),
        ("*/*", Kind.OTHER),
    ],
)
def test_kinds(media_type: str, kind: Kind) -> None:
    """8.7.3.5 and Table 8.7.4-1."""
    assert kind_of(parse_media_type(media_type)) is kind


def test_a_picture_may_be_bulk_data_where_it_is_offered_as_such() -> None:
    offered = [parse_media_type("image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.50")]
    assert kind_of(parse_media_type("image/jpeg"), offered) is Kind.OTHER
    assert kind_of(parse_media_type("image/png"), offered) is Kind.RENDERED


def test_the_root_of_a_multipart_type() -> None:
    assert root_essence(parse_media_type('multipart/related; type="Application/DICOM"')) == "application/dicom"
    assert root_essence(parse_media_type("multipart/related")) == ""
