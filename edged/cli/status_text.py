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
    required: bool | None = None
    commitment: list[str] | None = None
    http: str | None = None
    http_reason: str | None = None
    workers: int | None = None
    rate_limit_bytes_per_s: float | None = None
    proof: str | None = None
    service: str | None = None
    notifications: str | None = None
    on_hold: int = 0
    stuck: int = 0
    taken_back: int = 0

    @property
    def configured(self) -> bool:
        """Whether it stands in the settings of the daemon."""
        return self.required is not None


class Follower(Struct):
    """A requester that follows the event log under a name; `behind` in events."""

    name: str
    connected: bool
    behind: int


class Notifications(Struct):
    """The event log, and who follows it."""

    newest_event: int
    connected: int
    named_total: int
    named: list[Follower]


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
    notifications: Notifications | None = None


def overview(state: State) -> Iterator[RenderableType]:
    """Yield the overview: the box, its store, its destinations, what is wrong."""
    yield _facts(state)
    if state.destinations:
        yield Text()
        yield _destinations(state)
        yield Text()
        yield _ways(state)
        yield from _errors(state)
    yield from _conditions(state)


def _facts(state: State) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_row(Text(state.name, "bold"), f"edged {state.version}, up {span_text(state.uptime_s)}")
    table.add_row("listens", Text(", ".join(state.listeners) or "nowhere"))
    table.add_row("store", _fill(state.store))
    table.add_row("instances", Text(_standings(state.store.instances)))
    table.add_row("unsent", Text(_oldest(state.oldest_unsent_s)))
    if state.notifications is not None:
        table.add_row("events", Text(events_text(state.notifications)))
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


def events_text(notifications: Notifications) -> str:
    """Return how many events there were, how many follow them, and who has fallen behind."""
    away = [each for each in notifications.named if not each.connected and each.behind]
    text = f"{notifications.newest_event:,}, {counted(notifications.connected, 'follower')}"
    if away:
        most = max(away, key=lambda each: each.behind)
        text += f"; {most.name} is away and {most.behind:,} behind" + (f", {len(away) - 1} more" if away[1:] else "")
    return text


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


def _ways(state: State) -> Table:
    """How each destination is reached and what proves there, in words; only what is known, or out of the ordinary."""
    table = Table.grid(padding=(0, 2))
    for each in state.destinations:
        table.add_row(Text(each.name, "bold"), Text("; ".join(filter(None, _way(each)))))
    return table


def _way(each: DestinationState) -> Iterator[str]:
    if not each.configured:
        yield "is not in the settings any more; what waits for it is kept"
    if each.http:
        yield f"HTTP/{each.http}" + (f" ({each.http_reason})" if each.http_reason else "")
    if each.workers is not None:
        yield counted(each.workers, "worker")
    if each.rate_limit_bytes_per_s is not None:
        yield f"at most {size_text(each.rate_limit_bytes_per_s)}/s now"
    yield _proof(each)
    yield _listened(each.notifications)
    if each.required is False:
        yield "not required"
    for number, what in ((each.on_hold, "on hold"), (each.stuck, "stuck"), (each.taken_back, "commitments taken back")):
        if number:
            yield f"{number:,} {what}"


def _listened(notifications: str | None) -> str:
    """Whether the results of storage commitment come as events, or why not; one that has none is nothing to tell."""
    if notifications in {None, "not-offered"}:
        return ""
    return (
        "its events are listened to" if notifications == "listening" else f"its events are not heard: {notifications}"
    )


def _proof(each: DestinationState) -> str:
    """What has proven there lately; before that, what may."""
    if each.commitment is None:
        return ""
    service = f", storage commitment {each.service}" if each.service else ""
    if each.proof:
        others = " or ".join(kind for kind in each.commitment if kind != each.proof)
        return f"proven by {each.proof}" + (f" ({others} would do too)" if others else "") + service
    return f"to be proven by {' or '.join(each.commitment)}{service}"


def _errors(state: State) -> Iterator[RenderableType]:
    for each in state.destinations:
        if each.last_error is not None and each.state != "up":
            ago = span_text(max(0.0, state.time - each.last_error.time))
            phase = each.last_error.phase
            text = each.last_error.text.removeprefix(f"{phase}: ")  # a failure without an answer names it already
            yield Text(f"{each.name} failed {ago} ago in {phase}: {text}")


def _calm(destinations: list[DestinationState]) -> Text:
    """What is said where no condition stands: what is not up may be so only for now."""
    if away := [each.name for each in destinations if each.state not in {None, "up"}]:
        verb = "is" if len(away) == 1 else "are"
        return Text(f"{', '.join(away)} {verb} not up, and tried again without end; nothing else to tell of", "yellow")
    return Text("nothing needs attention", "green")


def _conditions(state: State) -> Iterator[RenderableType]:
    yield Text()
    if not state.conditions:
        yield _calm(state.destinations)
        return
    yield Text(counted(len(state.conditions), "condition"), "bold")
    for each in state.conditions:
        since = span_text(max(0.0, state.time - each.since))
        yield Text(f"{each.severity.upper()} {each.name}, for {since}", _STYLES[each.severity])
        yield Padding(Text(each.hint), (0, 0, 0, 4))
