"""Attribute bytes as text, by the instance's Specific Character Set (PS3.5 6.1), with pydicom's tables.

Nothing raises here: a search or a status page shows what can be read, and replacement characters for the rest.
Only defined terms are taken from a file (PS3.3 C.12.1.1.2), so that a file cannot name a codec of Python's.
"""

import re
from typing import Final

from pydicom.charset import STAND_ALONE_ENCODINGS, decode_bytes, python_encoding
from pydicom.valuerep import PN_DELIMS, TEXT_VR_DELIMS

_DEFAULT: Final = "latin_1"
_SINGLE = re.compile(r"ISO[^_]IR (?=\d)")
_EXTENSION = re.compile(r"ISO.2022.IR.(?=\d)")


def decode_text(raw: bytes, charset: bytes = b"", *, is_person_name: bool = False) -> str:
    """The text of a value, without its padding.

    `charset` is the whole value of (0008,0005) of the same instance; unknown terms count as Latin-1.
    """
    encodings = _encodings(charset.decode("latin-1"))
    try:
        if b"\x1b" in raw:
            text = decode_bytes(raw, encodings, PN_DELIMS if is_person_name else TEXT_VR_DELIMS)
        else:
            text = raw.decode(encodings[0], errors="replace")
    except (LookupError, ValueError, Warning):  # Warning: pydicom's, where a process makes errors of them
        text = raw.decode(_DEFAULT)
    return text.rstrip(" \0")


def _encodings(charset: str) -> list[str]:
    """Python's names for the character sets; those that allow no others beside them stand alone."""
    terms = [_spelled(term.strip(" \0")) for term in charset.split("\\")]
    if terms[0] in STAND_ALONE_ENCODINGS:
        terms = terms[:1]
    extensions = (term for term in terms[1:] if term not in STAND_ALONE_ENCODINGS)
    return [python_encoding.get(term, _DEFAULT) for term in (terms[0], *extensions)]


def _spelled(term: str) -> str:
    """The defined term that is meant: writers put spaces, underscores and hyphens in each other's places."""
    if _EXTENSION.match(term):
        return _EXTENSION.sub("ISO 2022 IR ", term)
    return "ISO_IR " + term[7:] if _SINGLE.match(term) else term
