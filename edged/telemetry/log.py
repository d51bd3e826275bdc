"""One line for each record, on standard error.

By hand a line is `time level logger message key=value`; under systemd the time is the journal's and
the level is its `<N>` prefix. What a record is about goes into `extra`: `logger.info("parked",
extra={"uid": uid})`. Whatever is written stays on its line: control characters are escaped.

Patient data is never logged. Our own code sees to that for its own records; the message of a library
may quote a data set, so a library's records are withheld (named once for each place that they come
from) unless the level is debug.
"""

import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Mapping
from enum import StrEnum
from typing import TextIO

OURS = "edged"

_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
_DEBUG_PRIORITY = 7
_PLAIN_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class Level(StrEnum):
    """How much is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LineFormatter(logging.Formatter):
    """Writes a record as one line; `journal` puts the priority of sd-daemon(3) in place of the time."""

    def __init__(self, *, journal: bool) -> None:
        """Write for the journal or for people."""
        super().__init__()
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        parts = [*self._head(record), record.name, _one_line(record.getMessage())]
        parts += [f"{key}={_value(value)}" for key, value in _fields(record).items()]
        return " ".join(parts)

    def _head(self, record: logging.LogRecord) -> list[str]:
        if self._journal:
            return [f"<{_priority(record.levelno)}>{record.levelname}"]
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        return [f"{moment}.{int(record.msecs):03d}Z", record.levelname]


class Reticence(logging.Filter):
    """Lets our own records pass; of a library's keeps back the message, and says so once for each place."""

    def __init__(self) -> None:
        """Begin with no place named; the places are those of the source code, and so bounded."""
        super().__init__()
        self._named: set[tuple[str, int]] = set()

    def filter(self, record: logging.LogRecord) -> bool | logging.LogRecord:
        """Return whether the record passes, or what is written in its place."""
        if record.name == OURS or record.name.startswith(f"{OURS}."):
            return True
        place = (record.pathname, record.lineno)
        if place in self._named or record.levelno < logging.WARNING:
            return False
        self._named.add(place)
        message = f"message withheld ({record.filename}:{record.lineno}); the level debug shows it"
        return logging.makeLogRecord(
            {"name": record.name, "levelno": record.levelno, "levelname": record.levelname, "msg": message}
        )


def configure(level: Level = Level.INFO, *, journal: bool | None = None, stream: TextIO | None = None) -> None:
    """Log to a stream (standard error) from now on, in place of what an earlier call set up.

    `journal` None: for the journal if that is where standard error goes (systemd.exec(5), JOURNAL_STREAM).
    """
    stream = sys.stderr if stream is None else stream
    handler = _Handler(stream)
    handler.setFormatter(LineFormatter(journal=goes_to_journal(stream) if journal is None else journal))
    if level is not Level.DEBUG:
        handler.addFilter(Reticence())
    root = logging.getLogger()
    for earlier in [handler for handler in root.handlers if isinstance(handler, _Handler)]:
        root.removeHandler(earlier)
    root.addHandler(handler)
    root.setLevel(level.upper())
    logging.captureWarnings(True)


def goes_to_journal(stream: TextIO, env: Mapping[str, str] = os.environ) -> bool:
    """Return whether a stream is connected to the journal, by the device and inode that systemd tells."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return env.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


class _Handler(logging.StreamHandler[TextIO]):
    """Ours, so that it can be told from those that others put there."""


def _fields(record: logging.LogRecord) -> dict[str, object]:
    fields = {key: value for key, value in vars(record).items() if key not in _PLAIN_FIELDS}
    if record.exc_info and record.exc_info[1] is not None:
        error = record.exc_info[1]
        fields["error"] = f"{type(error).__name__}: {error}"
        fields["traceback"] = "".join(traceback.format_tb(error.__traceback__))
    return fields


def _value(value: object) -> str:
    """Write a value bare where that can be read back, else quoted."""
    text = str(value)
    bare = text and text.isprintable() and not set(text) & set(' "=')
    return text if bare else json.dumps(text, ensure_ascii=False)


def _one_line(text: str) -> str:
    return text if text.isprintable() else json.dumps(text, ensure_ascii=False)[1:-1]


def _priority(level: int) -> int:
    return next((priority for least, priority in _PRIORITIES if level >= least), _DEBUG_PRIORITY)
