"""The state object: what a person or a monitor must know of the box (DESIGN §6 "Capabilities as the monitor").

Made from counters and live snapshots only, so that it costs the same at a full store and with every destination dead.
Unknown is None; a part that does not exist yet is absent, never invented.
"""

from collections.abc import Mapping

from edged import __version__
from edged.config import Settings
from edged.services.destinations import Routes
from edged.store.counters import standing
from edged.store.queue import UNSENT, Figures, figures
from edged.store.records import DeliveryState, Standing
from edged.store.store import Store
from edged.store.transaction import Transaction
from edged.telemetry.clock import Clock
from edged.telemetry.conditions import Condition, Conditions
from edged.telemetry.live import DestinationLive, Live

State = dict[str, object]


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
        queues, standings = await self._store.read(self._counted)
        destinations = [self._destination(name, queues[name], now) for name in self._routes.ids]
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
            "conditions": [_condition(each) for each in conditions.snapshot()],
        }

    def _counted(self, txn: Transaction) -> tuple[dict[str, dict[DeliveryState, Figures]], dict[str, int]]:
        queues = {
            name: {state: figures(txn, destination, state) for state in DeliveryState}
            for name, destination in self._routes.ids.items()
        }
        return queues, {value.value: txn.counter(standing(value)) for value in Standing}

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

    def _destination(self, name: str, queues: Mapping[DeliveryState, Figures], now: float) -> State:
        live = self._live.destinations.get(name)
        unsent = [queues[state] for state in UNSENT]
        uncommitted = [*unsent, queues[DeliveryState.SENT], queues[DeliveryState.PARKED]]
        return {
            "name": name,
            **_live_fields(live),
            "queued": sum(each.rows for each in unsent),
            "queued_bytes": sum(each.bytes for each in unsent),
            "sent": queues[DeliveryState.SENT].rows,
            "committed": queues[DeliveryState.COMMITTED].rows,
            "parked": queues[DeliveryState.PARKED].rows,
            "oldest_unsent_s": _age(unsent, now),
            "oldest_uncommitted_s": _age(uncommitted, now),
            "rate_bytes_per_s": None if live is None else round(live.rate.bytes_per_s(self._clock.monotonic())),
        }


def _live_fields(live: DestinationLive | None) -> State:
    if live is None:
        return {"state": None, "phase": None, "last_error": None}
    error = live.last_error
    return {
        "state": live.state.value,
        "phase": live.phase.value if live.phase else None,
        "last_error": {"phase": error.phase.value, "text": error.text, "time": error.time} if error else None,
    }


def _condition(condition: Condition) -> State:
    return {
        "name": condition.name,
        "since": condition.since,
        "severity": condition.severity.value,
        "hint": condition.hint,
    }


def _age(queues: list[Figures], now: float) -> float | None:
    oldest = min((each.oldest for each in queues if each.oldest is not None), default=None)
    return None if oldest is None else round(max(0.0, now - oldest), 3)


def _greatest(destinations: list[State], key: str) -> float | None:
    return max((value for each in destinations if isinstance(value := each[key], float)), default=None)
