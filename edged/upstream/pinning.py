"""Pinned certificates: which ones a destination may show, whoever issued them.

Pure. A pin is the SHA-256 of a whole certificate in DER, in lower-case hexadecimal. It is asked for beside the chain
and the name, never instead of them, and before the first byte of HTTP. Several pins let a certificate be renewed
without a gap.
"""

from collections.abc import Collection
from hashlib import sha256


def pin_fault(certificate: bytes | None, pins: Collection[str]) -> str | None:
    """Say why a peer that shows `certificate` (DER) is not one of those pinned; None: it is, or none is pinned."""
    if not pins:
        return None
    if certificate is None:
        return "it shows no certificate, and one is pinned"
    fingerprint = sha256(certificate).hexdigest()
    return None if fingerprint in pins else f"its certificate is not a pinned one, but {_written(fingerprint)}"


def _written(fingerprint: str) -> str:
    """As OpenSSL prints it."""
    return ":".join(fingerprint[start : start + 2] for start in range(0, len(fingerprint), 2)).upper()
