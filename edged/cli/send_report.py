"""How `edged send` tells what becomes of the files: lines, a progress bar on a terminal, or JSON lines.

Each report is a Watcher of the sender and keeps figures only, so that a million files cost no memory. A file that was
not stored is shown with the reason and with what to do, never by its name alone.
"""

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from edged.cli.advice import advice, advice_on_stop
from edged.cli.figures import counted, size_text, span_text
from edged.upstream.send_values import FileResult, Outcome, Stop

_FAILED = (Outcome.REFUSED, Outcome.UNPROVEN, Outcome.UNREADABLE)


@dataclass(frozen=True, slots=True)
class Totals:
    """What there is to look at: files, and bytes in all."""

    files: int
    size: int


class Report:
    """Counts, and says everything in lines; the plain form."""

    def __init__(self, totals: Totals, url: str) -> None:
        self.totals = totals
        self.url = url
        self.files: Counter[Outcome] = Counter()
        self.stored_bytes = 0
        self._began = time.monotonic()

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show it while the block runs."""
        yield

    @property
    def all_stored(self) -> bool:
        """Whether there was something to store and all of it is stored."""
        return self.files[Outcome.STORED] > 0 and self._left() == 0 and not self._failed()

    def moved(self, size: int) -> None:
        """Take note of bytes on their way."""

    def paused(self, seconds: float, text: str) -> None:
        """Say that there is a wait."""
        self.note(f"waiting {span_text(seconds)} before the next try: {text}")

    def told(self, result: FileResult) -> None:
        """Count a file and show it."""
        self.files[result.outcome] += 1
        if result.outcome is Outcome.STORED:
            self.stored_bytes += result.size
        self.show(result)

    def show(self, result: FileResult) -> None:
        """Show one file."""
        if result.outcome is not Outcome.SKIPPED:
            self.line(file_line(result))

    def finish(self, stop: Stop | None, *, interrupted: bool) -> None:
        """Say what came of it all."""
        if stop is not None:
            self.note(f"stopped: {stop.text.rstrip('.')}; {advice_on_stop(stop, self.url)}")
        if interrupted:
            self.note("interrupted: send the rest again, what is stored already does no harm")
        self.line(self._summary())

    def line(self, text: str) -> None:
        """Write a line of the result."""
        click.echo(text)

    def note(self, text: str) -> None:
        """Write a line about the run."""
        click.echo(f"edged: {text}", err=True)

    def summary(self) -> dict[str, object]:
        """Return the figures by name."""
        counts = {outcome.value: self.files[outcome] for outcome in Outcome}
        return {**counts, "not_sent": self._left(), "stored_bytes": self.stored_bytes, "seconds": self._seconds()}

    def _summary(self) -> str:
        if not self.files.total() - self.files[Outcome.SKIPPED] and not self._left():
            return f"nothing to send: no DICOM file among {counted(self.totals.files, 'file')}"
        parts = [f"{counted(self.files[outcome], 'file')} {outcome}" for outcome in _FAILED if self.files[outcome]]
        if self._left():
            parts.append(f"{counted(self._left(), 'file')} not sent")
        if self.files[Outcome.SKIPPED]:
            parts.append(f"{counted(self.files[Outcome.SKIPPED], 'file')} skipped, not DICOM")
        stored = f"{counted(self.files[Outcome.STORED], 'file')} stored ({size_text(self.stored_bytes)})"
        return "; ".join([f"{stored} in {span_text(self._seconds())}", *parts])

    def _seconds(self) -> float:
        return round(time.monotonic() - self._began, 3)

    def _left(self) -> int:
        return max(0, self.totals.files - self.files.total())

    def _failed(self) -> int:
        return sum(self.files[outcome] for outcome in _FAILED)


class JSONReport(Report):
    """One JSON object a line: each file, at last the summary."""

    def show(self, result: FileResult) -> None:
        """Write one file."""
        fields = {
            "file": str(result.path),
            "outcome": result.outcome.value,
            "sop_instance_uid": result.sop_instance_uid or None,
            "reason": result.reason,
            "text": result.text,
        }
        self.line(json.dumps(fields))

    def _summary(self) -> str:
        return json.dumps({"summary": self.summary()})


class BarReport(Report):
    """A bar over files and bytes; above it only the files that were not stored."""

    def __init__(self, totals: Totals, url: str, console: Console) -> None:
        super().__init__(totals, url)
        self._console = console
        columns = (TextColumn("{task.description}"), BarColumn(None), DownloadColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=console, transient=True)
        self._bar = TaskID(0)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show the bar while the block runs."""
        with self._progress:
            self._bar = self._progress.add_task(self._described(), total=self.totals.size)
            yield

    def moved(self, size: int) -> None:
        """Move the bar."""
        self._progress.advance(self._bar, size)

    def show(self, result: FileResult) -> None:
        """Move the bar past a file; say so if it was not stored."""
        self._progress.update(self._bar, advance=result.size, description=self._described())
        if result.outcome in _FAILED or result.reason is not None:
            super().show(result)

    def line(self, text: str) -> None:
        """Write above the bar."""
        self._console.print(Text(text), soft_wrap=True)

    def note(self, text: str) -> None:
        """Write above the bar."""
        self._console.print(Text(f"edged: {text}"), soft_wrap=True)

    def _described(self) -> str:
        return f"{self.files.total()} of {counted(self.totals.files, 'file')}"


def file_line(result: FileResult) -> str:
    """Say in one line what became of a file, why, and what to do."""
    line = f"{result.outcome:<10} {result.path}"
    told = "; ".join(filter(None, (result.text.rstrip("."), advice(result) if result.outcome in _FAILED else "")))
    return f"{line}: {told}" if told else line
