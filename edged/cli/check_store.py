"""`edged check-store`: all invariants across the tables of a store whose daemon is down, and with --deep every byte."""

import json
from pathlib import Path

import click

from edged.cli.figures import counted, size_text
from edged.cli.offline import become_owner, find_store, looking
from edged.cli.progress import Lines, Silence, progress
from edged.store.instances import all_instances
from edged.store.integrity import check, check_deep
from edged.store.schema import INSTANCES
from edged.store.transaction import Transaction

MOST_LISTED = 1000
"""Problems that are named one by one in JSON, which is held in memory."""


class _Findings:
    """Counts problems, says each at once, keeps the first."""

    def __init__(self) -> None:
        self.count = 0
        self.listed: list[str] = []
        self.read_bytes = 0

    def found(self, problem: str, lines: Lines) -> None:
        """Take note of a problem."""
        self.count += 1
        lines.line(problem)
        if len(self.listed) < MOST_LISTED:
            self.listed.append(problem)
        elif len(self.listed) == MOST_LISTED:
            self.listed.append("and more, see the plain output")


@click.command("check-store")
@click.option("--config", type=click.Path(path_type=Path), help="The box's TOML file.")
@click.option("--deep", is_flag=True, help="Read every instance and compare it with its digest.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(config: Path | None, deep: bool, as_json: bool) -> None:
    """Check the store; exit status 1 when something is wrong with it."""
    data_dir = find_store(config)
    become_owner(data_dir)
    findings = _Findings()
    with looking(data_dir) as environment, environment.reading() as txn:
        instances = txn.count(INSTANCES)
        lines = Silence() if as_json else Lines()
        for problem in check(txn):
            findings.found(problem, lines)
        if deep:
            _read_all(txn, findings, silent=as_json)
    if as_json:
        result = {"instances": instances, "problems": findings.listed}
        click.echo(json.dumps(result | ({"read_bytes": findings.read_bytes} if deep else {})))
    else:
        read = f", {size_text(findings.read_bytes)} read" if deep else ""
        click.echo(f"{counted(instances, 'instance')}{read}, {counted(findings.count, 'problem')}")
    if findings.count:
        raise SystemExit(1)


def _read_all(txn: Transaction, findings: _Findings, *, silent: bool) -> None:
    total = sum(instance.size for _, instance in all_instances(txn))
    with progress("reading", total, silent=silent) as lines:

        def advance(size: int) -> None:
            findings.read_bytes += size
            lines.advance(size)

        for problem in check_deep(txn, advance):
            findings.found(problem, lines)
