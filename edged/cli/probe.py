"""`edged probe`: the way to a destination step by step, from within the daemon that runs, or by a configuration file.

In the daemon a probe has the settings and the credentials that are in force. Without one, and with a configuration, it
is made from here by whoever calls, who must be able to read the files that the configuration names.
Exit status: 0 all good, 1 a step failed, 2 usage, 3 the daemon cannot be reached and there is no configuration.
"""

import socket
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import click
import msgspec
import trio
from rich.console import Console

from edged.cli.control import UNREACHABLE, Asked, Control, Refused, ask, find_control
from edged.cli.probe_text import report_of
from edged.cli.settings import fail, settings_for
from edged.services.probing import Report
from edged.telemetry.clock import SystemClock
from edged.upstream.probe import Probes

PATIENCE_S = 360.0
"""More than all steps of a probe may take."""

_NARROWEST = 100


@click.command("probe")
@click.argument("destination", default="")
@click.option("--instance", is_flag=True, help="Also send a small test instance. It stays in the archive.")
@click.option("--socket", type=click.Path(path_type=Path), help="The daemon's control socket.")
@click.option("--config", type=click.Path(path_type=Path), help="The TOML file that the daemon was started with.")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
def command(destination: str, *, instance: bool, as_json: bool, **where: Path | None) -> None:
    """Go the way to DESTINATION step by step, to all destinations if none is named; exit status 1 when a step fails."""
    control = find_control(where["socket"], where["config"])
    console = Console(highlight=False)
    console.width = console.width if console.is_terminal else max(console.width, _NARROWEST)
    with Console(stderr=True).status("probing"):
        report = _probed(control, destination, instance)
    if as_json:
        click.echo(msgspec.json.encode(report))
    else:
        console.print(*report_of(report), sep="\n")
    if not all(each.good for each in report.probes):
        raise SystemExit(1)


def _probed(control: Control, destination: str, instance: bool) -> Report:
    if control.config is not None and not _listens(control.path):
        click.echo("edged: no daemon runs; probing from here", err=True)
        return _directly(control.config, destination, instance)
    content = {"destination": destination, "instance": instance}
    asked = Asked(path="/admin/probe", method="POST", content=content, patience_s=PATIENCE_S)
    try:
        body = trio.run(partial(ask, control, asked), strict_exception_groups=True)
        return msgspec.json.decode(body, type=Report)
    except Refused as error:
        fail(2, str(error))
    except msgspec.DecodeError as error:
        fail(UNREACHABLE, f"what answers on {control.path} is not a box that this version knows: {error}")


def _directly(config: Path, destination: str, instance: bool) -> Report:
    settings = settings_for(config)
    probes = Probes(settings.destinations, SystemClock(settings.box.clock))
    if destination and destination not in probes.names:
        fail(2, f"there is no destination {destination} in {config}: {_listed(probes.names)}")
    names = [destination] if destination else probes.names
    return trio.run(partial(probes.probe, names, instance=instance), strict_exception_groups=True)


def _listens(path: Path) -> bool:
    """Whether a daemon listens there; one that this user may not reach does."""
    with socket.socket(socket.AF_UNIX) as trial:
        try:
            trial.connect(str(path))
        except PermissionError:
            return True
        except OSError:
            return False
    return True


def _listed(names: Sequence[str]) -> str:
    return f"there are {', '.join(names)}" if names else "there are none"
