"""Whatever a peer answers a probe, what comes of it is a finding or a fault with a remedy, and nothing else."""

import ssl
from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from edged.upstream.message import Response
from edged.upstream.probe_judging import Fault, Found, capabilities_of, require_allowed, said_of, search_of
from edged.upstream.probe_tls import shown
from edged.upstream.redaction import Redactor

TYPES = st.sampled_from(["", "application/dicom+json", "application/dicom+xml", "text/html", "multipart/related"])
BODIES = st.one_of(
    st.binary(max_size=300),
    st.sampled_from([b"[]", b"[{}]", b"{}", b"<html>", b"<a/>", b'[{"0020000D":{}}]', b"\xff\xfe", b"[" * 2000]),
)
PEM = """-----BEGIN CERTIFICATE-----
MAA=
-----END CERTIFICATE-----
"""


def response(status: int, kind: str, body: bytes, *, location: str, truncated: bool) -> Response:
    headers = (("content-type", kind), ("location", location))
    return Response(status, headers, body, truncated, "1.1")


@given(st.integers(100, 999), TYPES, BODIES, st.text(max_size=50), st.booleans())
def test_any_answer_is_a_finding_or_a_fault(
    status: int, kind: str, body: bytes, location: str, truncated: bool
) -> None:
    redactor = Redactor()
    redactor.learn(("sesame-sesame",))
    answer = response(status, kind, body + b"sesame-sesame", location=location + "sesame-sesame", truncated=truncated)
    for judge in (capabilities_of, partial(search_of, redactor=redactor)):
        try:
            require_allowed(answer, redactor)
            found = judge(answer)
        except Fault as fault:
            said, told = (fault.text, fault.remedy), fault.details
        else:
            assert isinstance(found, Found)
            said, told = (found.text, found.text), found.details
        assert all(said)
        assert not any("sesame-sesame" in each for each in (*said, *told))
    assert "sesame-sesame" not in said_of(answer, redactor)


@given(st.lists(st.binary(max_size=200), max_size=3))
def test_what_is_no_certificate_is_left_out(chain: list[bytes]) -> None:
    assert shown([*chain, ssl.PEM_cert_to_DER_cert(PEM)], 0.0) == []
