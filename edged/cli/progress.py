"""A bar over bytes or things on a terminal, with lines above it; lines alone elsewhere, and nothing for a program."""

from collections.abc import Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class Lines:
    """Writes lines; the plain form."""

    def line(self, text: str) -> None:
        """Write a line."""
        click.echo(text)

    def advance(self, size: int) -> None:
        """Take note of what is done, in bytes or things."""


class Silence(Lines):
    """Writes nothing: a program reads the result."""

    def line(self, text: str) -> None:
        """Drop a line."""


class Bar(Lines):
    """Writes lines above a bar."""

    def __init__(self, shown: Progress, task: TaskID) -> None:
        self._shown = shown
        self._task = task

    def line(self, text: str) -> None:
        """Write a line above the bar."""
        self._shown.console.print(Text(text), soft_wrap=True)

    def advance(self, size: int) -> None:
        """Move the bar."""
        self._shown.advance(self._task, size)


@contextmanager
def progress(description: str, total: int, *, silent: bool, of_bytes: bool = True) -> Iterator[Lines]:
    """Show how far something is while the block runs; `total` in bytes, or else in things."""
    console = Console(highlight=False)
    if silent or not console.is_terminal:
        yield Silence() if silent else Lines()
        return
    amount = DownloadColumn() if of_bytes else MofNCompleteColumn()
    columns = TextColumn("{task.description}"), BarColumn(None), amount, TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True) as shown:
        yield Bar(shown, shown.add_task(description, total=total))
