"""The lexical rules that header field values share: tokens, quoted strings, lists.

Every other module of this folder splits and quotes with these, so that a comma or semicolon inside
a quoted string is never taken for a separator. All expressions are possessive: their time is linear
in the value.
"""

import re
from typing import Final

TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
WHITESPACE: Final = " \t"

_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*+)"')
_ESCAPED: Final = re.compile(r"\\(.)")
_UNSAFE: Final = re.compile(r'(["\\])')
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_PIECES: Final = {separator: re.compile(rf'(?:[^{separator}"]++|"(?:[^"\\]|\\.)*+"?+)*+') for separator in (",", ";")}


def split_quoted(value: str, separator: str) -> list[str]:
    """Split at each `separator` ("," or ";") outside quoted strings; pieces are stripped, empty ones kept.

    Source: RFC 9110 5.6.1, 5.6.4.
    """
    piece = _PIECES[separator]
    pieces: list[str] = []
    position = 0
    while True:
        found = piece.match(value, position)
        end = found.end() if found else position
        pieces.append(value[position:end].strip(WHITESPACE))
        if end >= len(value):
            return pieces
        position = end + 1


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
