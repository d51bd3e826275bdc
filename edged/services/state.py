"""The state object: what a person or a monitor must know of the box (DESIGN §6 "Capabilities as the monitor").

Made from counters and live snapshots only, so that it costs the same at a full store and with every destination dead.
Unknown is None; a part that does not exist yet is absent, never invented.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from edged import __version__
from edged.config import Destination, Settings
from edged.services.destinations import Routes
from edged.services.followers import followers
from edged.store.counters import standing, taken_back
from edged.store.queue import Figures, destination_names, figures
from edged.store.records import DeliveryState, Standing
from edged.store.standings import UNSENT
from edged.store.store import Store
from edged.store.transaction import Transaction
from edged.telemetry.clock import Clock
from edged.telemetry.conditions import Condition, Conditions
from edged.telemetry.live import DestinationLive, DestinationState, Live, Service

State = dict[str, object]


@dataclass(frozen=True, slots=True)
class _Queues:
    """One destination in the store: its queues, and how many commitments to it were taken back."""

    states: Mapping[DeliveryState, Figures]
    taken_back: int

    @property
    def unsent(self) -> list[Figures]:
        """What it has not taken, but what is parked."""
        return [self.states[state] for state in UNSENT]

    @property
    def uncommitted(self) -> list[Figures]:
        """What is not committed."""
        return [each for state, each in self.states.items() if state is not DeliveryState.COMMITTED]


class StateService:
    """Makes the state object."""

    def __init__(self, store: Store, settings: Settings, routes: Routes, *, clock: Clock, live: Live) -> None:
        self._store = store
        self._settings = settings
        self._routes = routes
        self._clock = clock
        self._live = live
        self._began = clock.monotonic()

    async def state(self, conditions: Conditions) -> State:
        """Return the state object of this moment."""
        now = self._clock.wall()
        queues, standings, notifications = await self._store.read(self._counted)
        destinations = [self._destination(each, queues[each.name], now) for each in self._settings.destinations]
        removed = [name for name in sorted(queues) if name not in self._routes.ids]
        destinations += [_removed(name, queues[name], now) for name in removed]
        return {
            "version": __version__,
            "name": self._settings.box.name,
            "time": now,
            "clock_trusted": self._clock.trusted(),
            "uptime_s": round(self._clock.monotonic() - self._began, 3),
            "listeners": list(self._live.listeners.urls),
            "certificate_days": self._certificate_days(now),
            "limits": {
                "max_requests": self._settings.origin.max_requests,
                "max_instance_bytes": self._settings.origin.max_instance_bytes,
            },
            "store": self._space() | {"instances": standings},
            "oldest_unsent_s": _greatest(destinations, "oldest_unsent_s"),
            "destinations": destinations,
            "notifications": notifications,
            "conditions": [_condition(each) for each in conditions.snapshot()],
        }

    def _counted(self, txn: Transaction) -> tuple[dict[str, _Queues], dict[str, int], State]:
        """Count what waits, also for destinations that are no longer in the settings."""
        queues = {name: _queues(txn, number) for number, name in destination_names(txn).items()}
        told = {name: each for name, each in queues.items() if name in self._routes.ids or _rows(each.uncommitted)}
        standings = {value.value: txn.counter(standing(value)) for value in Standing}
        return told, standings, followers(txn, self._live.followers)

    def _space(self) -> State:
        space = self._store.space
        return {
            "capacity_bytes": space.capacity,
            "used_bytes": space.used,
            "free_bytes": space.free,
            "hours_to_full": self._live.store.hours_to_full,
        }

    def _certificate_days(self, now: float) -> float | None:
        ends = self._live.listeners.certificate_not_after
        return None if ends is None else round((ends - now) / 86_400, 1)

    def _destination(self, destination: Destination, queues: _Queues, now: float) -> State:
        live = self._live.destinations.get(destination.name)
        return {
            "name": destination.name,
            "required": destination.required,
            "commitment": [each.value for each in destination.commitment],
            **_live_fields(live),
            **_figures(queues, now),
            "rate_bytes_per_s": None if live is None else round(live.rate.bytes_per_s(self._clock.monotonic())),
        }


def _queues(txn: Transaction, number: int) -> _Queues:
    states = {state: figures(txn, number, state) for state in DeliveryState}
    return _Queues(states, txn.counter(taken_back(number)))


def _removed(name: str, queues: _Queues, now: float) -> State:
    """What waits for a destination that left the settings: held until a person decides (DESIGN §1.5)."""
    return {
        "name": name,
        "required": None,
        "commitment": None,
        **_live_fields(None),
        "state": DestinationState.HELD.value,
        **_figures(queues, now),
        "rate_bytes_per_s": None,
    }


def _figures(queues: _Queues, now: float) -> State:
    states = queues.states
    return {
        "queued": _rows(queues.unsent),
        "queued_bytes": sum(each.bytes for each in queues.unsent),
        "on_hold": states[DeliveryState.ON_HOLD].rows,
        "stuck": states[DeliveryState.STUCK].rows,
        "sent": states[DeliveryState.SENT].rows,
        "committed": states[DeliveryState.COMMITTED].rows,
        "taken_back": queues.taken_back,
        "parked": states[DeliveryState.PARKED].rows,
        "oldest_unsent_s": _age(queues.unsent, now),
        "oldest_uncommitted_s": _age(queues.uncommitted, now),
    }


_UNTOLD: State = dict.fromkeys(
    (
        *("state", "phase", "last_error", "http", "http_reason", "workers", "rate_limit_bytes_per_s"),
        *("proof", "service", "notifications"),
    )
)


def _live_fields(live: DestinationLive | None) -> State:
    if live is None:
        return _UNTOLD
    error = live.last_error
    return {
        "state": live.state.value,
        "phase": live.phase.value if live.phase else None,
        "last_error": {"phase": error.phase.value, "text": error.text, "time": error.time} if error else None,
        "http": live.http,
        "http_reason": live.http_reason or None,
        "workers": live.workers,
        "rate_limit_bytes_per_s": live.rate_limit,
        "proof": live.proof,
        "service": None if live.service is Service.UNKNOWN else live.service.value,
        "notifications": live.notifications,
    }


def _condition(condition: Condition) -> State:
    return {
        "name": condition.name,
        "since": condition.since,
        "severity": condition.severity.value,
        "hint": condition.hint,
    }


def _rows(queues: list[Figures]) -> int:
    return sum(each.rows for each in queues)


def _age(queues: list[Figures], now: float) -> float | None:
    oldest = min((each.oldest for each in queues if each.oldest is not None), default=None)
    return None if oldest is None else round(max(0.0, now - oldest), 3)


def _greatest(destinations: list[State], key: str) -> float | None:
    return max((value for each in destinations if isinstance(value := each[key], float)), default=None)
