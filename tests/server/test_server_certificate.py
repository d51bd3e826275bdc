"""When a certificate ends: the moment that it says, in both forms, or an error of its own, whatever the bytes are."""

import contextlib
import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from edged.server.certificate import CertificateError, not_after

KEY = ec.generate_private_key(ec.SECP256R1())
BEGIN = datetime.datetime(1955, 1, 1, tzinfo=datetime.UTC)


def made(end: datetime.datetime, name: str = "localhost") -> bytes:
    """A certificate in DER that ends then."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(KEY.public_key())
        .serial_number(1)
        .not_valid_before(BEGIN)
        .not_valid_after(end)
        .sign(KEY, hashes.SHA256())
        .public_bytes(serialization.Encoding.DER)
    )


WHOLE = made(datetime.datetime(2031, 2, 3, 4, 5, 6, tzinfo=datetime.UTC))


@pytest.mark.parametrize("year", [1956, 1999, 2000, 2049, 2050, 2200, 9999])
@pytest.mark.parametrize("name", ["a", "n" * 64])
def test_the_end_of_a_certificate(year: int, name: str) -> None:
    end = datetime.datetime(year, 12, 31, 23, 59, 59, tzinfo=datetime.UTC)
    assert not_after(made(end, name)) == end.timestamp()


def test_what_follows_is_not_looked_at() -> None:
    assert not_after(WHOLE + b"more") == not_after(WHOLE)


@pytest.mark.parametrize("length", range(130))
def test_a_certificate_that_is_cut(length: int) -> None:
    with pytest.raises(CertificateError):
        not_after(WHOLE[:length])


@given(st.integers(0, len(WHOLE) - 1), st.binary(min_size=1, max_size=4))
def test_a_moment_or_an_error(at: int, octets: bytes) -> None:
    changed = WHOLE[:at] + octets + WHOLE[at + len(octets) :]
    with contextlib.suppress(CertificateError):
        assert isinstance(not_after(changed), float)


@given(st.binary(max_size=200))
def test_any_octets(octets: bytes) -> None:
    try:
        not_after(octets)
    except CertificateError:
        return
