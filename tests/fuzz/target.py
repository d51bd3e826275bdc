"""What a fuzz target is, and what all of them share: text and fields out of octets, and the ways to cut octets.

What may live here: nothing that knows a parser. A target is one function of octets that returns or, when the invariant
that its docstring states is broken, raises: whatever escapes it is a finding. It is the same for the same octets, so
that what was found can be shown again, and the octets are, as far as may be, what stands on the wire.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import TypeVar
from zlib import crc32

SINGLE_OCTETS = 400
"""Longer inputs are cut, but not into single octets: that takes time which more inputs use better."""
MOST_CUTS = 6

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Target:
    """A parser that faces the network; `seeds` are what it is given at first, `slow` one with sockets or a loop."""

    name: str
    check: Callable[[bytes], None]
    seeds: Sequence[bytes]
    most_bytes: int = 4096
    slow: bool = False

    @property
    def invariant(self) -> str:
        """What holds for all octets."""
        return (self.check.__doc__ or "").strip()


def text(data: bytes) -> str:
    """A field value as the server hands it over."""
    return data.decode("latin-1")


def fields_of(data: bytes) -> dict[str, str]:
    """Lines of name and value by lower-case name, those of one name joined by commas (RFC 9110 5.2)."""
    fields: dict[str, str] = {}
    for line in text(data).split("\n"):
        name, _, value = line.partition(":")
        name, value = name.strip().lower(), value.strip()
        fields[name] = f"{fields[name]}, {value}" if name in fields else value
    return fields


def first_line(data: bytes) -> tuple[str, bytes]:
    """The first line as text, and what follows it."""
    line, _, rest = data.partition(b"\n")
    return text(line), rest


def cuts_of(data: bytes) -> Iterator[list[bytes]]:
    """The whole, the whole in pieces cut where the octets themselves decide, and octet by octet unless it is long."""
    yield [data]
    random_ = Random(crc32(data))
    places = sorted(random_.randrange(len(data) + 1) for _ in range(random_.randrange(1, MOST_CUTS)))
    yield [data[begin:end] for begin, end in pairwise([0, *places, len(data)]) if begin < end]
    if len(data) <= SINGLE_OCTETS:
        yield [data[at : at + 1] for at in range(len(data))]


def however_cut(data: bytes, read: Callable[[list[bytes]], T]) -> T:
    """What is read of octets, which is the same in whatever pieces they come."""
    results = [read(pieces) for pieces in cuts_of(data)]
    for result in results[1:]:
        assert result == results[0], f"cut: {result!r}\nwhole: {results[0]!r}"
    return results[0]
