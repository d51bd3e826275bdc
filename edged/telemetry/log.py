"""One line for each record, on standard error.

By hand a line is `time level logger message key=value`; under systemd the time is the journal's and
the level is its `<N>` prefix. What a record is about goes into `extra`: `logger.info("parked",
extra={"uid": uid})`; the request that was being served is added by itself, as `request`. Whatever is
written stays on its line: control characters are escaped.

Patient data is never logged: our own code sees to that in its own messages. What a library says may
quote a data set, so unless the level is debug a library's message is withheld (and named once for each
place that it comes from), and of an exception that is not ours only the type and the place are written.
"""

import json
import logging
import os
import sys
import time
from collections.abc import Mapping
from enum import StrEnum
from traceback import format_tb
from typing import TextIO

from edged.telemetry.request import current_request_id

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

    def __init__(self, *, journal: bool, discreet: bool) -> None:
        """Write for the journal or for people; `discreet` keeps back what a foreign exception says."""
        super().__init__()
        self._journal = journal
        self._discreet = discreet

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        parts = [*self._head(record), record.name, _one_line(record.getMessage())]
        fields = {key: value for key, value in vars(record).items() if key not in _PLAIN_FIELDS}
        if request_id := current_request_id():
            fields["request"] = request_id
        if record.exc_info and record.exc_info[1] is not None:
            fields |= self._error(record.exc_info[1])
        return " ".join(parts + [f"{key}={_value(value)}" for key, value in fields.items()])

    def _head(self, record: logging.LogRecord) -> list[str]:
        if self._journal:
            return [f"<{_priority(record.levelno)}>{record.levelname}"]
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        return [f"{moment}.{int(record.msecs):03d}Z", record.levelname]

    def _error(self, error: BaseException) -> dict[str, object]:
        described = [self._described(leaf) for leaf in _leaves(error)]
        parts = dict.fromkeys((error, _leaves(error)[0]))  # of a group: where it was made, and its first cause
        trace = "".join(line for part in parts for line in format_tb(part.__traceback__))
        return {"error": "; ".join(described), "traceback": trace}

    def _described(self, error: BaseException) -> str:
        text = _discreet_text(error) if self._discreet else str(error)
        return f"{type(error).__name__}: {text}" if text else type(error).__name__


class Reticence:
    """Lets our own records pass; of a library's keeps back the message, and says so once for each place."""

    def __init__(self) -> None:
        """Begin with no place named; the places are those of the source code, and so bounded."""
        self._named: set[tuple[str, int]] = set()

    def shown(self, record: logging.LogRecord) -> logging.LogRecord | None:
        """Return the record, or what is written in its place, or None."""
        if _is_ours(record.name):
            return record
        place = (record.pathname, record.lineno)
        if place in self._named or record.levelno < logging.WARNING:
            return None
        self._named.add(place)
        message = f"message withheld ({record.filename}:{record.lineno}); the level debug shows it"
        head = {"name": record.name, "levelno": record.levelno, "levelname": record.levelname}
        return logging.makeLogRecord({**head, "msg": message})


class _Handler(logging.StreamHandler[TextIO]):
    """Ours, so that it can be told from those that others put there."""

    def __init__(self, stream: TextIO, reticence: Reticence | None) -> None:
        super().__init__(stream)
        self._reticence = reticence

    def emit(self, record: logging.LogRecord) -> None:
        shown = record if self._reticence is None else self._reticence.shown(record)
        if shown is not None:
            super().emit(shown)


def configure(level: Level = Level.INFO, *, journal: bool | None = None, stream: TextIO | None = None) -> None:
    """Log to a stream (standard error) from now on, in place of what an earlier call set up.

    `journal` None: for the journal if that is where standard error goes (systemd.exec(5), JOURNAL_STREAM).
    """
    stream = sys.stderr if stream is None else stream
    discreet = level is not Level.DEBUG
    handler = _Handler(stream, Reticence() if discreet else None)
    to_journal = goes_to_journal(stream) if journal is None else journal
    handler.setFormatter(LineFormatter(journal=to_journal, discreet=discreet))
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


def _is_ours(name: str) -> bool:
    return name == OURS or name.startswith(f"{OURS}.")


def _leaves(error: BaseException) -> list[BaseException]:
    """Return what a group of exceptions consists of in the end; an exception that is no group is its own leaf."""
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    return [leaf for inner in error.exceptions for leaf in _leaves(inner)]


def _discreet_text(error: BaseException) -> str:
    """Return of an exception's text what cannot quote a data set: ours, and what the system said."""
    if _is_ours(type(error).__module__):
        return str(error)
    return error.strerror or "" if isinstance(error, OSError) else ""


def _value(value: object) -> str:
    """Write a value bare where that can be read back, else quoted."""
    text = str(value)
    bare = text and text.isprintable() and not set(text) & set(' "=')
    return text if bare else _quoted(text)


def _one_line(text: str) -> str:
    return text if text.isprintable() else _quoted(text)[1:-1]


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=not text.isprintable())  # ASCII has no further ends of line


def _priority(level: int) -> int:
    return next((priority for least, priority in _PRIORITIES if level >= least), _DEBUG_PRIORITY)
