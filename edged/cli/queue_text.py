"""What `edged queue` prints: entries as a table or as lines of JSON, sums, and what became of a change."""

import json
import time
from collections.abc import Sequence

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from edged.cli.figures import counted, size_text, span_text
from edged.cli.progress import Lines
from edged.services.queue_values import Shown, Skipped, Stepped, Summed
from edged.store.queue_admin import Action

MOST_LISTED = 1000
"""Entries that are named one by one when nothing was done about them."""

_NARROWEST = 110
_DONE = {
    Action.RETRY: "to be sent again",
    Action.HOLD: "put on hold",
    Action.RELEASE: "released",
    Action.DISCARD: "discarded",
    Action.MOVE: "moved",
}


def show(entries: Sequence[Shown], *, as_json: bool, heading: bool) -> None:
    """Print some entries; with `heading` the table begins with the names of its columns."""
    if as_json:
        for entry in entries:
            click.echo(msgspec.json.encode(entry))
        return
    if not entries:
        return
    table = Table(box=None, pad_edge=False, show_header=heading, padding=(0, 2, 0, 0))
    for name in ("state", "destination", "since", "instance, and what it waits for"):
        table.add_column(name, no_wrap=name in {"state", "since"}, overflow="fold")
    for entry in entries:
        table.add_row(*map(Text, _cells(entry)))
    console = Console(highlight=False)
    console.width = console.width if console.is_terminal else max(console.width, _NARROWEST)
    console.print(table)


def sum_text(total: Summed) -> str:
    """Write sums in one line, as in `3 entries, 1.5 MB: 2 pending at archive, 1 conflict`."""
    entries = f"{counted(total.entries, 'entry', 'entries')}, {size_text(total.size_bytes)}"
    places = [
        f"{each.entries:,} {each.state.value}{f' at {each.destination}' if each.destination else ''}"
        for each in total.sums
    ]
    return f"{entries}: {', '.join(places)}" if places else entries


def unknown_text(uid: str) -> str:
    """Say that nothing is stored under a UID, and what may be wrong."""
    if uid.startswith("conflict"):
        return f"there is no {uid}: `edged queue list --state conflict` names those that there are"
    return f"nothing is stored here under {uid}: it has been let go, or never came; a study goes with --study"


class Totals:
    """Counts what became of a change."""

    def __init__(self, action: Action) -> None:
        self.interrupted = False
        self._action = action
        self._done = 0
        self._left: list[Skipped] = []
        self._skipped = 0
        self._unknown: list[str] = []

    @property
    def good(self) -> bool:
        """Whether all that was asked for was done."""
        return not (self.interrupted or self._skipped or self._unknown)

    def add(self, step: Stepped, lines: Lines) -> None:
        """Count a step, and say what it left as it is."""
        self._done += step.done
        self._unknown += step.unknown
        for each in step.skipped:
            if self._skipped < MOST_LISTED:
                self._left.append(each)
                lines.line(f"{each.sop_instance_uid or each.number}{_at(each)}: {each.text}")
            self._skipped += 1
        for uid in step.unknown:
            lines.line(unknown_text(uid))
        lines.advance(step.done + len(step.skipped))

    def as_json(self) -> str:
        """Write it as one JSON object."""
        return json.dumps(
            {
                "action": self._action.value,
                "done": self._done,
                "skipped": self._skipped,
                "interrupted": self.interrupted,
                "unknown": self._unknown,
                "left": msgspec.to_builtins(self._left),
            }
        )

    def as_text(self) -> str:
        """Write it as one line."""
        parts = [f"{counted(self._done, 'entry', 'entries')} {_DONE[self._action]}"]
        if self._skipped:
            parts.append(f"{self._skipped:,} left as they were")
        if self._unknown:
            parts.append(f"{len(self._unknown):,} unknown")
        if self.interrupted:
            parts.append("interrupted: what is done is done, run it again for the rest")
        return ", ".join(parts)


def _cells(entry: Shown) -> tuple[str, ...]:
    next_try = "" if not entry.next_try_s else f", in {span_text(entry.next_try_s)}"
    named = f"{entry.sop_instance_uid} ({entry.conflict})" if entry.conflict else entry.sop_instance_uid
    why = " ".join(filter(None, (entry.reason, entry.text)))
    return (
        entry.state.value + (", urgent" if entry.urgent else ""),
        entry.destination or "",
        time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry.since)),
        "\n  ".join(filter(None, (named, f"waits for {entry.waits_for}{next_try}", why))),
    )


def _at(each: Skipped) -> str:
    return f" at {each.destination}" if each.destination else ""
