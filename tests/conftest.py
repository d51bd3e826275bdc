"""What every test of this repository is held to.

A test fails when something logs at WARNING or above without the test having said so (fixture
`expected_logs`), and when a file descriptor that it opened is still open after it. Hypothesis runs
the same examples every time (profile `short`); `EDGED_HYPOTHESIS=long` searches further.

Both checks are autouse fixtures of function scope: they are set up first and torn down last, so
that whatever another fixture opens or logs is within them.
"""

import gc
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("short", derandomize=True, deadline=None, max_examples=60, database=None)
settings.register_profile("long", deadline=None, max_examples=5000)
settings.load_profile(os.environ.get("EDGED_HYPOTHESIS", "short"))

_DESCRIPTORS = Path("/proc/self/fd")


class ExpectedLogs(logging.Handler):
    """The records at WARNING or above of one test, and the patterns that the test expects among them."""

    def __init__(self) -> None:
        super().__init__(level=logging.WARNING)
        self.records: list[logging.LogRecord] = []
        self._patterns: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the record for the verdict at the end of the test."""
        self.records.append(record)

    def expect(self, pattern: str) -> None:
        """Declare that at least one record will match; each further match is expected too."""
        self._patterns.append(pattern)

    def problems(self) -> list[str]:
        """Return one line for each unexpected record and for each expected one that never came."""
        lines = [f"{r.name} {r.levelname} {r.getMessage()}" for r in self.records]
        unexpected = [
            f"unexpected log record: {line}"
            for line in lines
            if not any(re.search(pattern, line) for pattern in self._patterns)
        ]
        missing = [
            f"expected log record never came: {pattern}"
            for pattern in self._patterns
            if not any(re.search(pattern, line) for line in lines)
        ]
        return unexpected + missing


@pytest.fixture(autouse=True)
def expected_logs() -> Iterator[ExpectedLogs]:
    """Fail the test on a record at WARNING or above that it did not `expect`."""
    expected = ExpectedLogs()
    root = logging.getLogger()
    root.addHandler(expected)
    yield expected
    root.removeHandler(expected)
    problems = expected.problems()
    if problems:
        pytest.fail("\n".join(problems), pytrace=False)


@pytest.fixture(autouse=True)
def _no_leaked_descriptors() -> Iterator[None]:
    """Fail the test when it leaves a descriptor open that was not open before it."""
    before = _open_descriptors()
    yield
    if len(_open_descriptors()) > len(before):
        gc.collect()  # only when there is something to explain: a collection for each test is dear
    after = _open_descriptors()
    if len(after) > len(before):
        pytest.fail("leaked descriptors: " + ", ".join(sorted(after - before)), pytrace=False)


def _open_descriptors() -> set[str]:
    found = set()
    for entry in _DESCRIPTORS.iterdir():
        try:
            found.add(f"{entry.name} -> {entry.readlink()}")
        except FileNotFoundError:  # the descriptor that lists the folder itself
            continue
    return found
