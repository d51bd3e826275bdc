"""`edged export`: the stored instances as PS3.10 files, from a store whose daemon is down or whose index is damaged."""

import json
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TypedDict, Unpack

import click

from edged.cli.figures import counted, size_text
from edged.cli.offline import become_owner, find_store, looking
from edged.cli.progress import Lines, progress
from edged.cli.settings import fail
from edged.services.export import Exported, Result, Selection, export, salvage
from edged.services.export_tree import FileTree, file_tree
from edged.store.salvage import NEEDED, USEFUL, chunk_bytes

MOST_LISTED = 1000
"""Failures that are named one by one in JSON, which is held in memory."""


class _Totals:
    """Counts what became of the instances."""

    def __init__(self) -> None:
        self.results: Counter[Result] = Counter()
        self.written_bytes = 0
        self.failures: list[dict[str, object]] = []

    def gather(self, exported: Iterable[Exported], total_bytes: int, *, silent: bool) -> None:
        """Count what is exported, and show how far it is."""
        with progress("exporting", total_bytes, silent=silent) as lines:
            for each in exported:
                self.add(each, lines)

    def add(self, each: Exported, lines: Lines) -> None:
        """Count an instance; say so if it failed."""
        self.results[each.result] += 1
        lines.advance(each.size)
        if each.result is Result.WRITTEN:
            self.written_bytes += each.size
        if each.result is Result.FAILED:
            uid = each.sop_instance_uid or None
            lines.line(f"number {each.number} ({uid or 'unknown UID'}) was not exported: {each.text}")
            if len(self.failures) < MOST_LISTED:
                self.failures.append({"number": each.number, "sop_instance_uid": uid, "text": each.text})

    def as_json(self) -> str:
        """Write the figures as one JSON object."""
        counts = {result.value: self.results[result] for result in (Result.WRITTEN, Result.PRESENT, Result.FAILED)}
        return json.dumps({**counts, "written_bytes": self.written_bytes, "failures": self.failures})

    def as_text(self, directory: Path) -> str:
        """Write the figures as one line."""
        written = counted(self.results[Result.WRITTEN], "instance")
        parts = [f"{written} exported to {directory} ({size_text(self.written_bytes)})"]
        if self.results[Result.PRESENT]:
            parts.append(f"{self.results[Result.PRESENT]:,} there already")
        if self.results[Result.FAILED]:
            parts.append(f"{self.results[Result.FAILED]:,} failed")
        return ", ".join(parts)


class Options(TypedDict):
    """What was typed."""

    config: Path | None
    uncommitted: bool
    study: str | None
    from_chunks: bool
    as_json: bool


@click.command("export")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option("--config", type=click.Path(path_type=Path), help="The box's TOML file.")
@click.option("--uncommitted", is_flag=True, help="Only what some required destination has not committed to.")
@click.option("--study", help="Only the study with this Study Instance UID.")
@click.option("--salvage", "from_chunks", is_flag=True, help="Trust no index: recover what is whole in the chunks.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(directory: Path, **options: Unpack[Options]) -> None:
    """Write stored instances to DIR as study/series/instance.dcm; exit status 1 when one could not be."""
    if options["from_chunks"] and options["uncommitted"]:
        fail(2, "--salvage reads no index, which alone knows what is --uncommitted")
    data_dir = find_store(options["config"])
    totals = _Totals()
    try:
        _make(directory, data_dir)
        become_owner(data_dir)
        with file_tree(directory) as tree:
            _write(data_dir, tree, totals, options=options)
    except OSError as error:
        place = error.filename or directory
        fail(1, f"cannot write to {place} as the owner of {data_dir}: {error.strerror}")
    click.echo(totals.as_json() if options["as_json"] else totals.as_text(directory))
    if totals.results[Result.FAILED]:
        raise SystemExit(1)


def _make(directory: Path, data_dir: Path) -> None:
    """Make the folder for the store's owner, as whom the command goes on."""
    if not directory.exists():
        directory.mkdir(mode=0o700, parents=True)
        if os.geteuid() == 0:
            status = data_dir.stat()
            os.chown(directory, status.st_uid, status.st_gid)


def _write(data_dir: Path, tree: FileTree, totals: _Totals, *, options: Options) -> None:
    if options["from_chunks"]:
        with looking(data_dir, NEEDED, useful=USEFUL) as environment:
            exported = salvage(environment, tree, options["study"])
            totals.gather(exported, chunk_bytes(environment), silent=options["as_json"])
        return
    selection = Selection(options["study"], options["uncommitted"])
    with looking(data_dir) as environment, environment.reading() as txn:
        total = sum(instance.size for _, instance in selection.of(txn))
        totals.gather(export(txn, tree, selection), total, silent=options["as_json"])
