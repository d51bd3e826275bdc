"""`edged explain`: the whole life of an instance, or how far a study is, asked of the running daemon.

Exit status: 0 known, 1 nothing is known under this UID, 2 usage, 3 the daemon cannot be reached.
"""

from functools import partial
from http import HTTPStatus
from pathlib import Path
from urllib.parse import quote

import click
import msgspec
import trio
from rich.console import Console

from edged.cli.control import UNREACHABLE, Asked, Control, Refused, ask, find_control
from edged.cli.explain_text import explanation
from edged.cli.settings import fail
from edged.services.explain_values import Explanation
from edged.services.explaining_study import MOST_OFFSET, MOST_SHOWN

_NARROWEST = 100


@click.command("explain")
@click.argument("uid")
@click.option("--limit", type=click.IntRange(1, MOST_SHOWN), default=20, help="Of a study: how many to show at once.")
@click.option("--offset", type=click.IntRange(0, MOST_OFFSET), default=0, help="Of a study: how many to pass over.")
@click.option("--socket", type=click.Path(path_type=Path), help="The daemon's control socket.")
@click.option("--config", type=click.Path(path_type=Path), help="The TOML file that the daemon was started with.")
@click.option("--json", "as_json", is_flag=True, help="Print what is known as JSON.")
def command(uid: str, *, limit: int, offset: int, as_json: bool, **where: Path | None) -> None:
    """Tell all that is known under UID: of an instance, evicted or not, a conflict id, a series or a study."""
    if not uid.strip():
        raise click.BadParameter("it is empty.", param_hint="UID")
    control = find_control(where["socket"], where["config"])
    query = {"limit": str(limit), "offset": str(offset)}
    body = _asked(control, Asked(path=f"/admin/explain/{quote(uid, safe='')}", query=query))
    try:
        found: Explanation = msgspec.json.decode(body, type=Explanation)
    except msgspec.DecodeError as error:
        fail(UNREACHABLE, f"what answers on {control.path} is not a box that this version knows: {error}")
    if as_json:
        click.echo(body)
        return
    console = Console(highlight=False)
    console.width = console.width if console.is_terminal else max(console.width, _NARROWEST)
    console.print(*explanation(found), sep="\n")


def _asked(control: Control, asked: Asked) -> bytes:
    try:
        return trio.run(partial(ask, control, asked), strict_exception_groups=True)
    except Refused as error:
        fail(1 if error.status == HTTPStatus.NOT_FOUND else 2, str(error))
