"""Every fuzz target on its seeds, on what once broke it, and on some hundred edits of them.

`tools/fuzz` does the same for as long as it is given, with coverage (docs/architecture.md).
"""

import logging
from collections.abc import Iterator

import pytest

from tests.fuzz.corpus import SEEDS, saved
from tests.fuzz.mutation import search
from tests.fuzz.table import TARGETS
from tests.fuzz.target import Target

EXAMPLES, SLOW_EXAMPLES = 100, 20


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """What strangers do wrong may be logged."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_the_invariant_holds(target: Target) -> None:
    known = [*target.seeds, *saved(target.name)]
    for octets in known:
        target.check(octets)
    searched = search(target, known, examples=SLOW_EXAMPLES if target.slow else EXAMPLES)
    if searched.error is not None:
        searched.error.add_note(f"the input is {searched.found!r}")
        raise searched.error


def test_every_target_states_its_invariant() -> None:
    assert all(target.invariant.endswith(".") for target in TARGETS.values())


def test_every_saved_input_is_of_a_target() -> None:
    assert {path.name for path in SEEDS.iterdir() if path.is_dir()} <= TARGETS.keys()


def test_a_broken_invariant_is_found_and_made_small() -> None:
    def check(data: bytes) -> None:
        """There is no number in it."""
        assert b"\n" not in data

    searched = search(Target("broken", check, (b"abc def",)), [b"abc def"], examples=300)
    assert searched.found is not None
    assert len(searched.found) < len(b"abc def\r\n") + 1
    assert isinstance(searched.error, AssertionError)
