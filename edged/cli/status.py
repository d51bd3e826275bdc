"""`edged status`: how the running box is, asked over its control socket.

Exit status: 0 good, 1 a condition of severity warning or critical stands, 3 the daemon cannot be reached.
"""

from functools import partial
from pathlib import Path

import click
import msgspec
import trio
from rich.console import Console

from edged.cli.control import UNREACHABLE, find_control, get
from edged.cli.settings import fail
from edged.cli.status_text import State, overview
from edged.telemetry.conditions import Severity

_NARROWEST = 100


@click.command("status")
@click.option("--socket", type=click.Path(path_type=Path), help="The daemon's control socket.")
@click.option("--config", type=click.Path(path_type=Path), help="The TOML file that the daemon was started with.")
@click.option("--json", "as_json", is_flag=True, help="Print the state object as JSON.")
def command(socket: Path | None, config: Path | None, as_json: bool) -> None:
    """Show how the box is; exit status 1 when something needs attention."""
    control = find_control(socket, config)
    body = trio.run(partial(get, control, "/admin/status"), strict_exception_groups=True)
    try:
        state = msgspec.json.decode(body, type=State)
    except msgspec.DecodeError as error:
        fail(UNREACHABLE, f"what answers on {control.path} is not a box that this version knows: {error}")
    if as_json:
        click.echo(body)
    else:
        console = Console(highlight=False)
        console.width = console.width if console.is_terminal else max(console.width, _NARROWEST)
        console.print(*overview(state), sep="\n")
    if any(each.severity is not Severity.INFO for each in state.conditions):
        raise SystemExit(1)
