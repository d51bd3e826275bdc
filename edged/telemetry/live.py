"""What the parts of the box are doing now, for whoever watches.

The parts that run (upstream, server) publish frozen snapshots here and the capabilities read them, so
that facts flow down without the reader knowing the publisher. There is one `Live` for each box, handed
to those who need it. It holds the latest snapshot of each subject and no history: its size is that of
the settings. None of it is on disk. A rate decays with the moment at which it is read, hence `Rate`.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from types import MappingProxyType

from msgspec import Struct

from edged.telemetry.rate import Rate


class Phase(StrEnum):
    """Where on the way to an answer something failed: DESIGN 5."""

    DNS = "dns"
    TCP = "tcp"
    TLS = "tls"
    AUTH = "auth"
    HTTP = "http"
    BODY = "body"
    VERDICT = "verdict"


class DestinationState(StrEnum):
    """How a destination stands."""

    UP = "up"
    RETRYING = "retrying"
    HELD = "held"
    AUTH_FAULT = "auth-fault"
    MISCONFIGURED = "misconfigured"
    PAUSED = "paused"


class Service(StrEnum):
    """Whether a destination offers storage commitment, as far as is known."""

    UNKNOWN = "unknown"
    OFFERED = "offered"
    NOT_OFFERED = "not-offered"


class LastError(Struct, frozen=True, kw_only=True):
    """The latest failure of a destination; `time` in seconds since 1970-01-01 UTC."""

    phase: Phase
    text: str
    time: float


class DestinationLive(Struct, frozen=True, kw_only=True):
    """One destination: `phase` tells where it fails now, `last_error` where it failed last.

    `http` is the version that is spoken, with the reason; `workers` how many send at once, None while unknown;
    `rate_limit` the bytes per second that it may be sent now, None for no bound; `proof` the kind of proof that serves
    now; `notifications` that its event stream is listened to ("listening"), that it has none ("not-offered"), or why it
    is not; None while that is unknown, or where nobody wants to.
    """

    state: DestinationState
    phase: Phase | None = None
    last_error: LastError | None = None
    rate: Rate = Rate()
    http: str | None = None
    http_reason: str = ""
    workers: int | None = None
    rate_limit: float | None = None
    proof: str | None = None
    service: Service = Service.UNKNOWN
    notifications: str | None = None


class ListenersLive(Struct, frozen=True, kw_only=True):
    """The listeners: their real URLs, and when the certificate ends (seconds since 1970-01-01 UTC)."""

    urls: tuple[str, ...] = ()
    certificate_not_after: float | None = None


class StoreLive(Struct, frozen=True, kw_only=True):
    """The store: hours until it refuses new work if it goes on like this; None when it does not fill."""

    hours_to_full: float | None = None


class FollowersLive(Struct, frozen=True, kw_only=True):
    """Who follows the event log now: how many in all, and the names of those that have one."""

    connected: int = 0
    names: frozenset[str] = frozenset()


class Live:
    """The latest snapshots of one box."""

    def __init__(self) -> None:
        """Begin with nothing published."""
        self._destinations: dict[str, DestinationLive] = {}
        self._listeners = ListenersLive()
        self.store = StoreLive()
        """Replaced as a whole by whoever watches the store."""
        self.followers = FollowersLive()
        """Replaced as a whole by whoever serves them."""
        self._watchers: list[Callable[[str, DestinationLive], None]] = []

    def watch_destinations(self, watcher: Callable[[str, DestinationLive], None]) -> None:
        """Call `watcher` with each snapshot of a destination that is published."""
        self._watchers.append(watcher)

    @property
    def destinations(self) -> Mapping[str, DestinationLive]:
        """The destinations by name; one that has not published yet is absent."""
        return MappingProxyType(self._destinations)

    @property
    def listeners(self) -> ListenersLive:
        """The listeners."""
        return self._listeners

    def publish_destination(self, name: str, live: DestinationLive) -> None:
        """Replace the snapshot of a destination."""
        self._destinations[name] = live
        for watcher in self._watchers:
            watcher(name, live)

    def publish_listeners(self, live: ListenersLive) -> None:
        """Replace the snapshot of the listeners."""
        self._listeners = live
