"""One destination as its workers share it: breaker, sizes, notes, leases, and what the world is told of it.

Everything here is in memory and changed synchronously between awaits; what must last is moved in the store by
compare-and-set. `Destination` decides nothing about instances: the verdict table does.
"""

import random

import trio
from msgspec import structs

from edged.config import Destination as Settings
from edged.config import Rates
from edged.services.bell import Bell, Bells
from edged.services.commitment_evidence import Witness
from edged.services.queue_values import Hand
from edged.services.repair import Holder
from edged.services.retention import Reprover
from edged.store.store import Store
from edged.telemetry.clock import Clock
from edged.telemetry.conditions import Conditions, Severity
from edged.telemetry.live import DestinationLive, DestinationState, LastError, Live, Phase
from edged.upstream.batch_size import BatchLimits, BatchSize
from edged.upstream.dial import Connector, dial
from edged.upstream.idle import Idle
from edged.upstream.notes import MOST_NOTES, Notebook
from edged.upstream.redaction import Redactor
from edged.upstream.retry import Breaker, BreakerState
from edged.upstream.shares import Shares
from edged.upstream.verdict_values import ConditionName, DestinationVerdict, Standing

_STATES = {
    Standing.OK: DestinationState.UP,
    Standing.LATER: DestinationState.RETRYING,
    Standing.HOLD: DestinationState.HELD,
    Standing.PROBE_OTHER: DestinationState.HELD,
    Standing.AUTH_FAULT: DestinationState.AUTH_FAULT,
    Standing.PROXY_AUTH_FAULT: DestinationState.AUTH_FAULT,
}


LEAST_WAIT_S = 0.05
IDLE_S = 60.0
"""How long a worker that nothing is due for waits, unless something rings."""

DOWN = "destination-down"
DOWN_AFTER_S = 900.0
"""How long a destination may fail before that is a condition; archives are restarted, and links are lost, for less."""

GATHER_S = 0.25
"""How long after it followed up an event a task lets more of them gather."""


class Surroundings:
    """What a destination needs of the box.

    `gather_s`, `connector`, `reconcile` and `requester`, the box's name towards an archive whose events it follows, may
    be set before forwarding begins.

    Each destination that runs stands by its id in `holders`, for who repairs the store, in `witnesses`, for who answers
    commitment requests, in `reprovers`, for who lets instances go, and in `hands`, for who changes queues by hand.
    `rates` are by the names of the destinations; whoever changes them rings `tuned`. `reconcile` is the share of what
    is committed that is proven again each day. Who decompresses an instance holds `decoding`: one at a time.
    """

    def __init__(self, store: Store | None, clock: Clock, *, live: Live, conditions: Conditions, bells: Bells) -> None:
        self._store = store
        self.clock = clock
        self.live = live
        self.conditions = conditions
        self.bells = bells
        self.gather_s = GATHER_S
        self.connector: Connector = dial
        self.decoding = trio.Lock()
        self.reconcile = 0.0
        self.requester = "edged"
        self.shares = Shares(lambda: self.store.arriving > 0)
        self.rates: dict[str, Rates] = {}
        self.tuned = Bell()
        self.holders: dict[int, Holder] = {}
        self.witnesses: dict[int, Witness] = {}
        self.reprovers: dict[int, Reprover] = {}
        self.hands: dict[int, Hand] = {}

    def gathered_s(self) -> float:
        """When what is followed up now may be followed up again, by trio's clock: more gathers until then."""
        return trio.current_time() + self.gather_s

    @property
    def store(self) -> Store:
        """The store; a probe alone has none, and asks for none."""
        assert self._store is not None
        return self._store


class Destination:
    """The shared state of one destination."""

    def __init__(self, number: int, settings: Settings, box: Surroundings) -> None:
        self.number = number
        self.settings = settings
        self.box = box
        self.notebook = Notebook()
        self.redactor = Redactor()
        self.breaker = Breaker()
        self.leased: set[int] = set()
        self.lane = box.shares.lane()
        self.released = Bell()
        self.idle = Idle()
        self.accept = "application/dicom+json"
        limits = BatchLimits(
            seconds=settings.batch_seconds,
            max_instances=settings.batch_instances,
            max_bytes=min(settings.batch_bytes, settings.max_request_bytes or settings.batch_bytes),
        )
        self.size = BatchSize.first(limits)
        self._failing_since_s: float | None = None
        self._raised: set[str] = set()
        self._blamed: dict[str, set[int]] = {}
        self._live = DestinationLive(state=DestinationState.UP)
        self._publish(self._live)

    @property
    def name(self) -> str:
        """The name in the settings."""
        return self.settings.name

    def now(self) -> float:
        """Seconds of the clock that due times are in."""
        return self.box.clock.monotonic()

    @property
    def rates(self) -> Rates:
        """How fast it may be sent to: the settings of the start, or those that were read since."""
        return self.box.rates.get(self.name, self.settings.rate)

    def may_begin(self) -> bool:
        """Whether a worker may take work now: freely, or as the one probe of a held destination."""
        if self.breaker.state is BreakerState.CLOSED:
            return True
        return self.breaker.state is BreakerState.OPEN and self.breaker.backoff.due(self.now())

    def next_try_s(self) -> float:
        """Seconds until something may be tried again that may not be tried now."""
        now = self.now()
        times = [self.notebook.next_due_s(now)]
        if (
            self.breaker.state is BreakerState.OPEN and self.breaker.backoff.due_s > now
        ):  # else nothing may be tried yet
            times.append(self.breaker.backoff.due_s)
        return max(LEAST_WAIT_S, min((at - now for at in times if at is not None), default=IDLE_S))

    def sent(self, size: int) -> None:
        """Note that the destination took `size` bytes: it is up."""
        rate = self._live.rate.after(self.box.clock.monotonic(), size)
        self._publish(structs.replace(self._live, rate=rate))

    def accepted(self, count: int) -> None:
        """Note that the destination took instances."""
        self.notebook.accepted += count

    def passed(self) -> None:
        """Note that the destination answered as it should."""
        self._failing_since_s = None
        if self.breaker.state is not BreakerState.CLOSED:
            self.breaker = self.breaker.passed()
            self.notebook.release_undoubted()
            self.released.ring()
        for condition in self._raised:
            self.box.conditions.clear(condition)
        self._raised.clear()
        if self._live.state is not DestinationState.UP:
            self._publish(structs.replace(self._live, state=DestinationState.UP, phase=None))

    def failed(self, verdict: DestinationVerdict, phase: Phase) -> None:
        """Note a failure that is the destination's: the breaker opens, a condition names the remedy."""
        error = LastError(phase=phase, text=verdict.text or verdict.hint, time=self.box.clock.wall())
        state = _STATES.get(verdict.standing, DestinationState.HELD)
        if verdict.condition is ConditionName.MISCONFIGURED:
            state = DestinationState.MISCONFIGURED
        self._publish(structs.replace(self._live, state=state, phase=phase, last_error=error))
        if verdict.condition is not None:
            self.raise_condition(verdict.condition.value, verdict.hint or verdict.text)
        self.still_failing(verdict.retry_after_s)

    def still_failing(self, retry_after_s: float | None = None) -> None:
        """Open the breaker, or keep it open for longer."""
        jitter = random.random()  # noqa: S311
        self.breaker = self.breaker.failed(self.now(), retry_after_s=retry_after_s, random01=jitter)
        self.released.ring()
        self._tell_down()

    def _tell_down(self) -> None:
        """Tell of what fails for long and has no condition of its own that says why."""
        down, now = f"{DOWN}:{self.name}", self.now()
        if self._failing_since_s is None:
            self._failing_since_s = now
        failing_s = now - self._failing_since_s
        if failing_s < DOWN_AFTER_S or self._raised - {down}:
            return
        error = self._live.last_error
        why = f", lately in {error.phase}: {error.text.removeprefix(f'{error.phase}: ')}" if error is not None else ""
        hint = (
            f"It takes nothing for {failing_s / 60:.0f} minutes{why}. What waits is kept and tried again by itself; "
            f"`edged probe {self.name}` shows the step that fails, with a remedy."
        )
        self.raise_condition(DOWN, hint)

    def misconfigured(self, text: str) -> None:
        """Note that it refuses whatever it is given: its entries are not to blame, and none is parked for it."""
        hint = "It refused five instances in a row and took none: compare what it accepts with what is sent."
        condition = ConditionName.MISCONFIGURED
        self.failed(DestinationVerdict(Standing.HOLD, condition=condition, hint=hint, text=text), Phase.VERDICT)

    def raise_condition(self, name: str, hint: str, *, lasting: bool = False) -> None:
        """Raise a condition of this destination; unless `lasting` it goes when the destination takes something."""
        full = f"{name}:{self.name}"
        self.box.conditions.raise_(full, Severity.WARNING, hint)
        if not lasting:
            self._raised.add(full)

    def blame(self, number: int, name: str, hint: str) -> None:
        """Raise a condition for the sake of one instance; it goes when the last such instance is `absolved`."""
        full = f"{name}:{self.name}"
        numbers = self._blamed.setdefault(full, set())
        if len(numbers) < MOST_NOTES:
            numbers.add(number)
        self.box.conditions.raise_(full, Severity.WARNING, hint)

    def absolve(self, number: int) -> None:
        """Note that an instance moved on: no condition stands for its sake."""
        for full, numbers in list(self._blamed.items()):
            numbers.discard(number)
            if not numbers:
                del self._blamed[full]
                self.box.conditions.clear(full)

    def tell(self, **changes: object) -> None:
        """Publish what is new of it, by the fields of DestinationLive."""
        self._publish(structs.replace(self._live, **changes))

    def _publish(self, live: DestinationLive) -> None:
        self._live = live
        self.box.live.publish_destination(self.name, live)
