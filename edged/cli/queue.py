"""`edged queue`: what waits, why, and a person's decisions about it.

Everything is asked of the running daemon, a page or a step at a time, so that a command holds little however much there
is, and one that is broken off leaves nothing half done: run again it goes on.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypedDict, TypeVar, Unpack

import click
import msgspec
import trio

from edged.cli.control import UNREACHABLE, Asked, Control, Refused, ask, find_control
from edged.cli.figures import counted
from edged.cli.progress import progress
from edged.cli.queue_text import Totals, show, sum_text, unknown_text
from edged.cli.settings import fail
from edged.services.queue_values import Listed, Stepped, Summed, ToConfirm
from edged.store.queue_admin import USUAL, Action
from edged.store.queue_walk import EntryState

PAGE = 500
PATIENCE_S = 120.0
"""A step of 500 entries takes well below a second, unless the disk is slow and busy."""

UIDS_A_PAGE = 100
SHOWN = 100
PREVIEW = 10

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., None])


class Options(TypedDict, total=False):
    """What was typed."""

    uids: tuple[str, ...]
    destination: str
    study: str
    parked: bool
    states: tuple[str, ...]
    reason: str
    to: str
    yes: bool
    limit: int | None
    socket: Path | None
    config: Path | None
    as_json: bool


@click.group("queue")
def command() -> None:
    """Show what waits to be sent or committed, and decide about it.

    Entries are chosen by --destination, --study, --state and --parked together, or by SOP Instance UIDs and conflict
    ids as `edged queue list` shows them.
    """


def _selecting(function: F) -> F:
    """Add what every command of the group takes."""
    states = click.Choice([each.value for each in EntryState])
    for add in (
        click.option("--json", "as_json", is_flag=True, help="Print JSON for a program."),
        click.option("--config", type=click.Path(path_type=Path), help="The TOML file of the daemon."),
        click.option("--socket", type=click.Path(path_type=Path), help="The daemon's control socket."),
        click.option("--state", "states", multiple=True, type=states, help="Only in this state."),
        click.option("--parked", is_flag=True, help="Only what is parked, as --state parked."),
        click.option("--study", default="", metavar="UID", help="Only of this study."),
        click.option("--destination", default="", metavar="NAME", help="Only at this destination."),
        click.argument("uids", metavar="[UID]...", nargs=-1),
    ):
        function = add(function)
    return function


_REASON = click.option("--reason", default="", metavar="TEXT", help="Why; it is kept with who decided.")


@command.command("list")
@_selecting
@click.option("--limit", type=click.IntRange(0), help="How many to show, 0 for all. [default: 100, with --json all]")
def list_command(**options: Unpack[Options]) -> None:
    """Show the entries: state, destination, why they wait and for how long. With --json one object a line."""
    control, as_json = find_control(options["socket"], options["config"]), options["as_json"]
    limit = options["limit"] if options["limit"] is not None else 0 if as_json else SHOWN
    shown, unknown, total = 0, list[str](), None
    for page in _pages(control, options, limit or None):
        entries = page.entries[: limit - shown] if limit else page.entries
        total = total or page.total
        unknown += page.unknown
        show(entries, as_json=as_json, heading=shown == 0)
        shown += len(entries)
        if limit and shown >= limit:
            break
    _conclude(shown, total, options)
    if unknown:
        fail(1, *map(unknown_text, unknown))


@command.command("retry")
@_selecting
@_REASON
def retry(**options: Unpack[Options]) -> None:
    """Send what is parked or stuck once more, as if it had not been refused; what is named and pending, at once."""
    _change(Action.RETRY, options)


@command.command("hold")
@_selecting
@_REASON
def hold(**options: Unpack[Options]) -> None:
    """Keep what is pending or stuck from being sent, until it is released; it is never let go meanwhile."""
    _change(Action.HOLD, options)


@command.command("release")
@_selecting
@_REASON
def release(**options: Unpack[Options]) -> None:
    """Let what is on hold be sent; and conflicts, by their ids.

    A conflict takes the place of what came before it under its UID: that one becomes the conflict if it was sent
    nowhere, and is let go if it is committed.
    """
    _change(Action.RELEASE, options)


@command.command("move")
@_selecting
@click.option("--to", required=True, metavar="NAME", help="The destination that gets them.")
@_REASON
def move(**options: Unpack[Options]) -> None:
    """Give the entries of one destination, which may have left the settings, to another."""
    _change(Action.MOVE, options)


@command.command("discard")
@_selecting
@click.option("--reason", required=True, metavar="TEXT", help="Why; it is kept with who decided.")
@click.option("--yes", is_flag=True, help="Ask nothing.")
def discard(**options: Unpack[Options]) -> None:
    """Give up entries for good: they are not sent, and with its last entry an instance is deleted. Asks twice."""
    if options["as_json"] and not options["yes"]:
        fail(2, "with --json nothing can be asked: add --yes")
    control = find_control(options["socket"], options["config"])
    asked = _posted(control, Action.DISCARD, _content(options), kind=ToConfirm)
    if not options["yes"] and asked.total.entries:
        _confirm(control, options, asked.total)
    _change(Action.DISCARD, options, token=asked.token, total=asked.total)


def _confirm(control: Control, options: Options, total: Summed) -> None:
    """Show what would go and ask twice; ends with 1 unless both answers agree."""
    first = next(_pages(control, _usual(options), PREVIEW))
    show(first.entries, as_json=False, heading=True)
    click.echo(f"to be discarded: {sum_text(total)}")
    click.confirm("Discard all of it? It will not be sent.", abort=True)
    typed = click.prompt("Type how many entries that are", type=int)
    if typed != total.entries:
        fail(1, "nothing was discarded")


def _usual(options: Options) -> Options:
    """What a bulk discard means: a conflict only where it is named."""
    if _states(options) or options["uids"]:
        return options
    return {**options, "states": tuple(USUAL[Action.DISCARD])}


def _change(action: Action, options: Options, *, token: str = "", total: Summed | None = None) -> None:
    """Do a change step by step, and say what became of it; ends with 1 if anything was left as it is."""
    control, totals = find_control(options["socket"], options["config"]), Totals(action)
    content = {**_content(options), "token": token}
    expected = _expected(control, action, options) if total is None else total.entries
    try:
        with progress(action.value, expected, silent=options["as_json"], of_bytes=False) as lines:
            for step in _steps(control, action, content):
                totals.add(step, lines)
    except* KeyboardInterrupt:
        totals.interrupted = True
    click.echo(totals.as_json() if options["as_json"] else totals.as_text())
    raise SystemExit(0 if totals.good else 1)


def _expected(control: Control, action: Action, options: Options) -> int:
    """Return how many entries a change is about, for whoever watches it."""
    if options["uids"] or options["as_json"]:
        return len(options["uids"])
    states = _states(options) or tuple(USUAL[action])
    total = next(_pages(control, {**options, "states": states, "parked": False}, 1)).total
    return 0 if total is None else total.entries


def _steps(control: Control, action: Action, content: dict[str, Any]) -> Iterator[Stepped]:
    after = ""
    while True:
        step = _posted(control, action, {**content, "after": after}, kind=Stepped)
        yield step
        if not (after := step.after):
            return


def _pages(control: Control, options: Options, limit: int | None) -> Iterator[Listed]:
    """Yield the pages of a listing; many UIDs are asked for by and by, since they stand in the query."""
    uids, size = options["uids"], min(PAGE, limit or PAGE)
    for start in range(0, max(1, len(uids)), UIDS_A_PAGE):
        after = ""
        while True:
            query = {
                "destination": options["destination"],
                "study": options["study"],
                "state": _states(options),
                "uid": uids[start : start + UIDS_A_PAGE],
                "limit": str(size),
                "after": after,
            }
            page = _answer(control, Asked(path="/admin/queue", query=query, patience_s=PATIENCE_S), Listed)
            yield page
            if not (after := page.after):
                break


def _content(options: Options) -> dict[str, Any]:
    return {
        "destination": options["destination"],
        "study": options["study"],
        "uids": options["uids"],
        "states": _states(options),
        "reason": options.get("reason", ""),
        "to": options.get("to", ""),
    }


def _states(options: Options) -> tuple[str, ...]:
    return (*options["states"], *((EntryState.PARKED,) if options["parked"] else ()))


def _posted(control: Control, action: Action, content: dict[str, Any], *, kind: type[T]) -> T:
    asked = Asked(method="POST", path=f"/admin/queue/{action.value}", content=content, patience_s=PATIENCE_S)
    return _answer(control, asked, kind)


def _answer(control: Control, asked: Asked, kind: type[T]) -> T:
    """Return what the daemon answers; ends with 2 when it says that this cannot be asked."""
    try:
        return msgspec.json.decode(trio.run(partial(ask, control, asked), strict_exception_groups=True), type=kind)
    except Refused as error:
        fail(2, str(error))
    except msgspec.DecodeError as error:
        fail(UNREACHABLE, f"what answers on {control.path} is not a box that this version knows: {error}")


def _nothing(options: Options) -> str:
    """Nothing at all, or nothing of what was asked for."""
    chosen = _states(options) or options["destination"] or options["study"] or options["uids"]
    return "nothing of that is in the queue" if chosen else "nothing waits"


def _conclude(shown: int, total: Summed | None, options: Options) -> None:
    if options["as_json"] or total is None:
        return
    more = total.entries - shown
    click.echo(f"all: {sum_text(total)}" if total.entries else _nothing(options))
    if more > 0 and not options["uids"]:
        click.echo(f"{counted(more, 'entry is', 'entries are')} not shown: --limit 0 shows all")
