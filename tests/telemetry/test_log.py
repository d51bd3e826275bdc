"""The log: one line for each record, for people or for the journal, and no library's data in it."""

import io
import json
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.telemetry.log import Level, LineFormatter, configure, goes_to_journal


# The fixture lives in a conftest, which cannot be imported by name.
class ExpectedLogs(Protocol):
    def expect(self, pattern: str) -> None: ...


logger = logging.getLogger("edged.test")


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    """Undo what `configure` does to the process."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)


def _logged(level: Level = Level.INFO, *, journal: bool = False) -> io.StringIO:
    stream = io.StringIO()
    configure(level, journal=journal, stream=stream)
    return stream


def test_a_line_for_people() -> None:
    stream = _logged()
    logger.info("parked", extra={"uid": "1.2.3", "reason": "no such class", "count": 2})
    (line,) = stream.getvalue().splitlines()
    time, _, rest = line.partition(" ")
    assert rest == 'INFO edged.test parked uid=1.2.3 reason="no such class" count=2'
    assert len(time) == len("2025-01-01T00:00:00.000Z")
    assert time.endswith("Z")


@pytest.mark.parametrize(("level", "priority"), [(10, 7), (20, 6), (30, 4), (40, 3), (50, 2)])
def test_a_line_for_the_journal(level: int, priority: int) -> None:
    record = logging.LogRecord("edged", level, __file__, 1, "said %s", ("so",), None)
    line = LineFormatter(journal=True, discreet=True).format(record)
    assert line == f"<{priority}>{logging.getLevelName(level)} edged said so"


def test_the_level_holds() -> None:
    stream = _logged(Level.ERROR)
    logger.info("not this")
    assert stream.getvalue() == ""


def test_configured_again_it_logs_once() -> None:
    earlier = _logged()
    stream = _logged()
    logger.info("once")
    assert earlier.getvalue() == ""
    assert stream.getvalue().count("once") == 1


@given(st.text(), st.text())
def test_a_record_stays_on_its_line(message: str, value: str) -> None:
    record = logging.makeLogRecord({"name": "edged", "msg": message, "key": value})
    line = LineFormatter(journal=False, discreet=True).format(record)
    assert len(line.splitlines()) == 1
    assert line.isprintable()
    written = line.partition(" key=")[2] if " key=" not in message else None
    if written is not None:
        assert value == (json.loads(written) if written.startswith('"') else written)


def test_an_error_is_told_by_type_and_place_alone(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("went wrong")
    stream = _logged()
    try:
        raise ValueError("DOE^JANE")
    except ValueError:
        logger.exception("went wrong")
    (line,) = stream.getvalue().splitlines()
    assert " error=ValueError " in line
    assert "test_log.py" in line
    assert line.count("DOE^JANE") == line.count('raise ValueError(\\"DOE^JANE\\")')  # the source, not the value


def test_an_error_of_the_system_is_told(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("went wrong")
    stream = _logged()
    try:
        Path("/nowhere/DOE^JANE").read_bytes()
    except OSError:
        logger.exception("went wrong")
    assert 'error="FileNotFoundError: No such file or directory"' in stream.getvalue()


def test_a_group_of_errors_is_told_by_its_leaves(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("went wrong")
    stream = _logged()
    inner = ExceptionGroup("inner", [OSError(28, "No space left on device"), KeyError("DOE^JANE")])
    try:
        raise ExceptionGroup("outer", [inner, ValueError("DOE^JANE")])
    except ExceptionGroup:
        logger.exception("went wrong")
    assert 'error="OSError: No space left on device; KeyError; ValueError"' in stream.getvalue()


def test_at_debug_everything_is_told(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("went wrong")
    expected_logs.expect("library")
    stream = _logged(Level.DEBUG)
    name = "JANE"
    try:
        raise ValueError(f"DOE^{name}")
    except ValueError:
        logger.exception("went wrong")
    logging.getLogger("library").warning("saw DOE^%s", name)
    assert 'error="ValueError: DOE^JANE"' in stream.getvalue()
    assert "library saw DOE^JANE" in stream.getvalue()


def test_a_library_is_not_quoted(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("library WARNING")
    expected_logs.expect("py.warnings WARNING")
    stream = _logged()
    for _ in range(3):
        logging.getLogger("library").warning("saw DOE^JANE")
    logging.getLogger("library").info("saw DOE^JANE")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("saw DOE^JANE", stacklevel=1)
        logging.captureWarnings(False)
    assert "DOE" not in stream.getvalue()
    assert stream.getvalue().count("library message withheld (test_log.py:") == 1


def test_the_journal_is_known_by_device_and_inode(tmp_path: Path) -> None:
    with (tmp_path / "journal").open("w") as stream:
        status = os.fstat(stream.fileno())
        assert goes_to_journal(stream, {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"})
        assert not goes_to_journal(stream, {"JOURNAL_STREAM": "8:1"})
        assert not goes_to_journal(stream, {})
    assert not goes_to_journal(io.StringIO(), {"JOURNAL_STREAM": "8:1"})
