"""`edged run`: the daemon."""

import logging
from functools import partial
from pathlib import Path

import click
import trio

from edged.app.daemon import run_daemon
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
    try:
        trio.run(
            partial(run_daemon, settings, click.echo, reread=partial(reread, config)), strict_exception_groups=True
        )
    except* ConfigError as group:
        fail(2, *(line for error in _leaves(group) for line in str(error).splitlines()))
    except* (StoreError, ListenerError, OSError) as group:
        fail(1, *(str(error) for error in _leaves(group)))


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found
