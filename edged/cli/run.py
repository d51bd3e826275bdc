"""`edged run`: the daemon."""

import logging
from functools import partial
from pathlib import Path

import click
import trio

from edged.app.daemon import run_daemon
from edged.cli.interruption import leaves
from edged.cli.settings import fail, reread, settings_for
from edged.config import ConfigError, remarks
from edged.server import ListenerError
from edged.store.errors import StoreError
from edged.telemetry import log


@click.command("run", help=__doc__)
@click.option("--config", type=click.Path(path_type=Path), help="The TOML file; see docs/configure.md.")
@click.option("--log-level", type=click.Choice([level.value for level in log.Level]), default="info", show_default=True)
def command(config: Path | None, log_level: str) -> None:
    """Run until SIGTERM or SIGINT."""
    settings = settings_for(config)
    log.configure(log.Level(log_level))
    for remark in remarks(settings):
        logging.getLogger(__name__).info("%s", remark)
    status, complaints = 0, list[str]()
    try:
        trio.run(
            partial(run_daemon, settings, click.echo, reread=partial(reread, config)), strict_exception_groups=True
        )
    except* ConfigError as group:
        status, complaints = 2, [line for error in leaves(group) for line in str(error).splitlines()]
    except* (StoreError, ListenerError, OSError) as group:
        status, complaints = 1, [str(error) for error in leaves(group)]
    if status:  # not raised above: before Python 3.11.4 it would come out in a group
        fail(status, *complaints)
