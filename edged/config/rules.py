"""Readers of what a routing rule looks at and where it leads ([[route]]).

What an attribute of an instance is called and which of them are known when it arrives is not known here: the rules
themselves judge that. An empty list of destinations is a choice, nowhere; so that it differs from none.
"""

import re
from types import MappingProxyType

_KEYWORD = re.compile(r"[A-Z][A-Za-z0-9]{0,63}")
_NAME = re.compile(r"[a-z0-9-]{1,64}")

Patterns = tuple[str, ...]
"""Texts with * and ? as wildcards; one of them must match. None: it is not looked at."""


def patterns(value: object) -> Patterns:
    """Read a text, or a list of texts, of which one must match."""
    texts = value if isinstance(value, list) else [value]
    if not texts or not all(
        isinstance(text, str) and text and text.isprintable() and len(text) <= 256 for text in texts
    ):
        raise ValueError('write a text such as "CT", or a list such as ["CT", "MR"]; * and ? stand for any characters')
    return tuple(texts)


def attribute_patterns(value: object) -> MappingProxyType[str, Patterns]:
    """Read a table from keywords of attributes (PS3.6) to what their values must match."""
    if not isinstance(value, dict) or not all(_KEYWORD.fullmatch(keyword) for keyword in value):
        raise ValueError('write a table such as {RequestedProcedurePriority = ["HIGH", "STAT"]}')
    return MappingProxyType({keyword: patterns(each) for keyword, each in value.items()})


def destination_names(value: object) -> tuple[str, ...]:
    """Read a list of names of destinations; it may be empty."""
    if not isinstance(value, list) or not all(isinstance(name, str) and _NAME.fullmatch(name) for name in value):
        raise ValueError('write a list of the names of destinations, such as ["archive"]')
    if len(set(value)) != len(value):
        raise ValueError("write each name once")
    return tuple(value)
