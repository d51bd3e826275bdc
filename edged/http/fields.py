"""The lexical rules that header field values share: tokens, quoted strings, lists, weights, safe text.

Every other module of this folder splits and quotes with these, so that a comma or semicolon inside
a quoted string is never taken for a separator. All expressions are possessive: their time is linear
in the value; and lists are bounded, for 30,000 elements without content are no time to send.
"""

import re
from typing import Final

TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
WHITESPACE: Final = " \t"

_QUOTED: Final = re.compile(r'"((?:[^"\\]++|\\.)*+)"')
_ESCAPED: Final = re.compile(r"\\(.)")
_UNSAFE: Final = re.compile(r'(["\\])')
_WEIGHT: Final = re.compile(r"0(?:\.\d*)?|1(?:\.0*)?|\.\d+", re.ASCII)
_NOT_PRINTABLE: Final = re.compile(r"[^\x20-\x7e]")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_PIECES: Final = {separator: re.compile(rf'(?:[^{separator}"]++|"(?:[^"\\]++|\\.)*+"?+)*+') for separator in (",", ";")}


def split_quoted(value: str, separator: str, *, most: int | None = None) -> list[str]:
    """Split at each `separator` ("," or ";") outside quoted strings; pieces are stripped, empty ones kept.

    What comes after the first `most` pieces is not looked at. Source: RFC 9110 5.6.1, 5.6.4.
    """
    piece = _PIECES[separator]
    pieces: list[str] = []
    position = 0
    while len(pieces) != most:
        found = piece.match(value, position)
        end = found.end() if found else position
        pieces.append(value[position:end].strip(WHITESPACE))
        if end >= len(value):
            break
        position = end + 1
    return pieces


def unquote(value: str) -> str | None:
    """Return the content of a quoted string, None if the value is not exactly one. Source: RFC 9110 5.6.4."""
    found = _QUOTED.fullmatch(value)
    return _ESCAPED.sub(r"\1", found[1]) if found else None


def quote(value: str) -> str:
    """Return the value as a quoted string. Source: RFC 9110 5.6.4."""
    return '"' + _UNSAFE.sub(r"\\\1", value) + '"'


def has_control_characters(value: str) -> bool:
    """Tell whether a field value holds characters that no field value may hold (RFC 9110 5.5)."""
    return _CONTROL.search(value) is not None


def parse_weight(value: str) -> float | None:
    """Return a weight (the value of "q"), from 0 to 1, or None if it is not one. Source: RFC 9110 12.4.2."""
    return float(value) if _WEIGHT.fullmatch(value) else None


def printable(value: str, limit: int) -> str:
    """Return at most `limit` characters of a text, safe in any field: what is not printable ASCII becomes "?"."""
    return _NOT_PRINTABLE.sub("?", value[:limit])
