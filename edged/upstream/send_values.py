"""What goes into and comes out of sending files: the settings, the outcome of each file, why it stopped.

Values, and the interface of whoever watches. Invariant: an outcome is STORED only on the word of the archive.
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol


class Outcome(StrEnum):
    """What became of one file."""

    STORED = "stored"
    REFUSED = "refused"  # by the archive
    UNPROVEN = "unproven"  # the archive did not say what became of it
    UNREADABLE = "unreadable"  # not sent: the file itself is at fault
    SKIPPED = "skipped"  # not sent: no DICOM file


@dataclass(frozen=True, slots=True)
class FileResult:
    """The outcome of one file; `reason` is a Failure or Warning Reason, `text` says it in words."""

    path: Path
    outcome: Outcome
    size: int = 0
    sop_instance_uid: str = ""
    reason: int | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Stop:
    """Why the rest was not sent; `answered` says whether the archive ever answered, `status` how at last."""

    text: str
    answered: bool
    status: int | None = None
    hint: str = ""


class Watcher(Protocol):
    """Is told how it goes."""

    def moved(self, size: int) -> None:
        """So many more bytes are on their way; negative when a try is over."""

    def paused(self, seconds: float, text: str) -> None:
        """The next try begins after so many seconds, for this reason."""

    def told(self, result: FileResult) -> None:
        """The outcome of one file."""


@dataclass(frozen=True, slots=True)
class SendSettings:
    """How to send; `headers` go with every request."""

    parallel: int = 4
    batch_files: int = 32
    batch_bytes: int = 64 << 20
    retries: int = 4
    headers: tuple[tuple[str, str], ...] = ()
