"""`edged check-store`: all invariants across the tables of a store whose daemon is down."""

import json
import os
from pathlib import Path

import click

from edged.cli.settings import fail, settings_for
from edged.store.environment import opened, owned
from edged.store.errors import StoreError
from edged.store.integrity import check
from edged.store.schema import INSTANCES


@click.command("check-store")
@click.option("--config", type=click.Path(path_type=Path), help="The box's TOML file.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(config: Path | None, as_json: bool) -> None:
    """Check the store; exit status 1 when something is wrong with it."""
    data_dir = settings_for(config).box.data_dir
    if not (data_dir / "store").is_dir():
        fail(3, f"there is no store in {data_dir}")
    _become_owner(data_dir)
    try:
        with owned(data_dir), opened(data_dir, None) as environment, environment.reading() as txn:
            instances, problems = txn.count(INSTANCES), list(check(txn))
    except StoreError as error:
        fail(1, str(error))
    if as_json:
        click.echo(json.dumps({"instances": instances, "problems": problems}))
    else:
        for problem in problems:
            click.echo(problem)
        click.echo(f"{instances} instances, {len(problems)} problems")
    if problems:
        raise SystemExit(1)


def _become_owner(data_dir: Path) -> None:
    """Run as the folder's owner, so that nothing in it ends up as root's."""
    status = data_dir.stat()
    if os.geteuid() == 0 and status.st_uid != 0:
        os.setgid(status.st_gid)
        os.setuid(status.st_uid)
