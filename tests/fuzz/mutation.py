"""The engine without coverage: what is known, edited, by hypothesis, which also makes what it finds small.

What may live here: making inputs, and looking for one that breaks a target's invariant. It needs nothing that is not
locked, and takes the seconds of `tools/test`; where the other engine does not install it takes the long run as well.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.fuzz.target import Target

MOST_EDITS = 6
MOST_REMOVED = 30
AT_ONCE = 500
"""Inputs between two looks at the clock; a target that is slow has its look more often."""
SLOW_AT_ONCE = 50
SPECIAL = (
    b"\0",
    b"\xff" * 4,
    b"\r\n",
    b"\n",
    b"\r",
    b" ",
    b"%",
    b'"',
    b"\\",
    b",",
    b";",
    b"=",
    b":",
    b"9" * 20,
    b"-",
    b"\xb2",
)

Edit = tuple[int, int, bytes]
"""Where, how much is taken out, and what is put there."""


@dataclass(frozen=True, slots=True)
class Searched:
    """What a search came to: how many inputs, and the one that broke the invariant, with what was raised."""

    inputs: int
    found: bytes | None = None
    error: Exception | None = None


def inputs(known: Sequence[bytes], most_bytes: int) -> st.SearchStrategy[bytes]:
    """Anything, and what is known with a few edits, which also bring pieces of what else is known."""
    whole = st.sampled_from(known)
    cut = st.builds(_slice, whole, st.integers(0, most_bytes), st.integers(1, MOST_REMOVED))
    put = st.one_of(st.just(b""), st.sampled_from(SPECIAL), st.binary(max_size=8), cut)
    edits = st.lists(st.tuples(st.integers(0, most_bytes), st.integers(0, MOST_REMOVED), put), max_size=MOST_EDITS)
    return st.one_of(st.builds(_edited, whole, edits), st.binary(max_size=100)).map(lambda data: data[:most_bytes])


def search(target: Target, known: Sequence[bytes], *, examples: int, number: int = 0) -> Searched:
    """Try so many inputs, other ones for each number; stop at the first that breaks the invariant, made small."""
    tried, last = 0, b""

    @seed(number)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=False,
        report_multiple_bugs=False,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs(known, target.most_bytes))
    def run(data: bytes) -> None:
        nonlocal tried, last
        tried, last = tried + 1, data
        target.check(data)

    try:
        run()
    except Exception as error:  # noqa: BLE001 - whatever escapes is what was looked for
        return Searched(tried, last, error)
    return Searched(tried)


def search_for(target: Target, known: Sequence[bytes], seconds: float) -> Searched:
    """Search for so long, or until something is found."""
    ends, tried, number = time.monotonic() + seconds, 0, time.time_ns()
    at_once = SLOW_AT_ONCE if target.slow else AT_ONCE
    while time.monotonic() < ends:
        number += 1
        searched = search(target, known, examples=at_once, number=number)
        tried += searched.inputs
        if searched.found is not None:
            return Searched(tried, searched.found, searched.error)
    return Searched(tried)


def _slice(data: bytes, at: int, size: int) -> bytes:
    at %= len(data) + 1
    return data[at : at + size]


def _edited(data: bytes, edits: Sequence[Edit]) -> bytes:
    for at, removed, put in edits:
        at %= len(data) + 1  # noqa: PLW2901
        data = data[:at] + put + data[at + removed :]
    return data
