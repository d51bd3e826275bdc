"""The state object as a person reads it: an overview that fits a terminal.

Pure: a decoded state in, renderables out. Only the fields that are shown are named here; more may be in the object
(DESIGN §6 "Capabilities as the monitor"), and what is null is shown as unknown.
"""

from collections.abc import Iterator

from msgspec import Struct
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from edged.cli.figures import counted, size_text, span_text
from edged.telemetry.conditions import Severity

_BAR = 30
_STYLES = {Severity.INFO: "dim", Severity.WARNING: "yellow", Severity.CRITICAL: "bold red"}


class Space(Struct):
    """How full the store is, and its instances by how far they are."""

    capacity_bytes: int
    used_bytes: int
    free_bytes: int
    instances: dict[str, int]


class LastError(Struct):
    """The latest failure of a destination."""

    phase: str
    text: str
    time: float


class DestinationState(Struct):
    """One destination."""

    name: str
    queued: int
    queued_bytes: int
    sent: int
    committed: int
    parked: int
    state: str | None = None
    phase: str | None = None
    last_error: LastError | None = None
    oldest_unsent_s: float | None = None
    rate_bytes_per_s: float | None = None


class ConditionState(Struct):
    """One standing problem."""

    name: str
    since: float
    severity: Severity
    hint: str


class State(Struct):
    """What the daemon says of itself."""

    version: str
    name: str
    time: float
    uptime_s: float
    listeners: list[str]
    store: Space
    destinations: list[DestinationState]
    conditions: list[ConditionState]
    oldest_unsent_s: float | None = None


def overview(state: State) -> Iterator[RenderableType]:
    """Yield the overview: the box, its store, its destinations, what is wrong."""
    yield _facts(state)
    if state.destinations:
        yield Text()
        yield _destinations(state)
        yield from _errors(state)
    yield from _conditions(state)


def _facts(state: State) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_row(Text(state.name, "bold"), f"edged {state.version}, up {span_text(state.uptime_s)}")
    table.add_row("listens", Text(", ".join(state.listeners) or "nowhere"))
    table.add_row("store", _fill(state.store))
    table.add_row("instances", Text(_standings(state.store.instances)))
    table.add_row("unsent", Text(_oldest(state.oldest_unsent_s)))
    return table


def _fill(space: Space) -> Text:
    """The bar counts to the soft cap, at which the box takes no more."""
    room = max(1, space.used_bytes + space.free_bytes)
    share = min(1.0, space.used_bytes / room)
    filled = round(share * _BAR)
    bar = Text("[").append("#" * filled, _level(share)).append("." * (_BAR - filled)).append("] ")
    text = f"{share:.0%} full, {size_text(space.free_bytes)} free of {size_text(space.capacity_bytes)}"
    return bar.append(text)


def _level(share: float) -> str:
    if share < 0.7:
        return "green"
    return "yellow" if share < 0.9 else "red"


def _standings(instances: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in instances.items() if count) or "none"


def _oldest(seconds: float | None) -> str:
    return "nothing waits" if seconds is None else f"the oldest waits for {span_text(seconds)}"


def _destinations(state: State) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("destination")
    table.add_column("state")
    for name in ("queued", "sent", "committed", "parked", "oldest", "rate"):
        table.add_column(name, justify="right")
    for each in state.destinations:
        queued = f"{each.queued:,} ({size_text(each.queued_bytes)})" if each.queued else "0"
        oldest = "" if each.oldest_unsent_s is None else span_text(each.oldest_unsent_s)
        rate = f"{size_text(each.rate_bytes_per_s)}/s" if each.rate_bytes_per_s else ""
        stands = " ".join(filter(None, (each.state or "unknown", each.phase and f"({each.phase})")))
        style = "green" if each.state == "up" else "yellow"
        figures = (queued, f"{each.sent:,}", f"{each.committed:,}", f"{each.parked:,}", oldest, rate)
        table.add_row(Text(each.name), Text(stands, style), *figures)
    return table


def _errors(state: State) -> Iterator[RenderableType]:
    for each in state.destinations:
        if each.last_error is not None and each.state != "up":
            ago = span_text(max(0.0, state.time - each.last_error.time))
            yield Text(f"{each.name} failed {ago} ago in {each.last_error.phase}: {each.last_error.text}")


def _conditions(state: State) -> Iterator[RenderableType]:
    yield Text()
    if not state.conditions:
        yield Text("nothing needs attention", "green")
        return
    yield Text(counted(len(state.conditions), "condition"), "bold")
    for each in state.conditions:
        since = span_text(max(0.0, state.time - each.since))
        yield Text(f"{each.severity.upper()} {each.name}, for {since}", _STYLES[each.severity])
        yield Padding(Text(each.hint), (0, 0, 0, 4))
