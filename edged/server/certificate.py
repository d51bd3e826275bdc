"""When a certificate ends: just enough of DER to find it (RFC 5280 4.1, X.690 8.1).

What may live here: the reading of a certificate's bytes, nothing that opens a file. Python's ssl module tells the end
of a peer's certificate, but not of one's own. Invariant: a moment or `CertificateError`, whatever the bytes are; no
length is believed beyond the bytes that are there.
"""

import re
from datetime import UTC, datetime

_SEQUENCE = 0x30
_VERSION = 0xA0  # [0] EXPLICIT, absent in version 1
_UTC_TIME = 0x17
_GENERALIZED_TIME = 0x18
_LONG_LENGTH = 0x80
_MOST_LENGTH_OCTETS = 4
_BEFORE_VALIDITY = 3  # serialNumber, signature, issuer

_UTC_TIME_FORM = re.compile(rb"[0-9]{12}Z")
_GENERALIZED_TIME_FORM = re.compile(rb"[0-9]{14}Z")


class CertificateError(ValueError):
    """These bytes are not a certificate in DER."""


def not_after(certificate: bytes) -> float:
    """Return the end of a certificate's validity in seconds since 1970-01-01 UTC; raises CertificateError."""
    whole, _ = _expect(_SEQUENCE, certificate)
    rest, _ = _expect(_SEQUENCE, whole)
    tag, _, after_version = _take(rest)
    if tag == _VERSION:
        rest = after_version
    for _ in range(_BEFORE_VALIDITY):
        _, _, rest = _take(rest)
    validity, _ = _expect(_SEQUENCE, rest)
    _, _, rest = _take(validity)
    tag, content, _ = _take(rest)
    return _moment(tag, content)


def _expect(tag: int, octets: bytes) -> tuple[bytes, bytes]:
    found, content, rest = _take(octets)
    if found != tag:
        raise CertificateError(f"tag {found:#x} in place of {tag:#x}")
    return content, rest


def _take(octets: bytes) -> tuple[int, bytes, bytes]:
    """Take one element off the front: its tag, its content, what follows."""
    if len(octets) < 2:
        raise CertificateError("it ends within an element")
    start, length = 2, octets[1]
    if length >= _LONG_LENGTH:
        count = length - _LONG_LENGTH
        if not 0 < count <= _MOST_LENGTH_OCTETS:
            raise CertificateError("a length of another form")
        start += count
        length = int.from_bytes(octets[2:start])
    if len(octets) < start + length:
        raise CertificateError("it ends within an element")
    return octets[0], octets[start : start + length], octets[start + length :]


def _moment(tag: int, content: bytes) -> float:
    """Read a time (RFC 5280 4.1.2.5): two digits of the year stand for 1950 to 2049."""
    if tag == _UTC_TIME and _UTC_TIME_FORM.fullmatch(content):
        content = (b"19" if content[:2] >= b"50" else b"20") + content
    elif tag != _GENERALIZED_TIME or not _GENERALIZED_TIME_FORM.fullmatch(content):
        raise CertificateError("a time of another form")
    try:
        return datetime.strptime(content.decode("ascii"), "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise CertificateError("a time that there is not") from None
