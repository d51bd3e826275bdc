"""A worker's turn: take a batch, send it, carry out what was decided, say how the destination stands.

Choosing is done by `lease`, sending and deciding by `exchange`, carrying out by `outcomes`. This is the guard of a
forwarder item: whatever goes wrong with one is logged once, and it is tried again later.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import trio

from edged.config import CredentialError
from edged.services.retrieve import WebForm
from edged.store.errors import InstanceGone, StoreError
from edged.store.waiting import Waiting
from edged.telemetry.live import Phase
from edged.upstream.auth_fault import hold_without_credential
from edged.upstream.batch import Batch, first_of_each
from edged.upstream.crew import Crew
from edged.upstream.decoding import NotTranscoded
from edged.upstream.destination import Destination
from edged.upstream.exchange import Exchange, Exchanged
from edged.upstream.forms import Forms
from edged.upstream.lease import Leases, Taken
from edged.upstream.look import Looker
from edged.upstream.message import FIRST_REFUSAL
from edged.upstream.outcomes import Outcomes
from edged.upstream.parking import Parking
from edged.upstream.transcoding import Transcoding
from edged.upstream.verdict_status import NOT_NOW
from edged.upstream.verdict_values import Answer, Kind, Silence, Standing, Verdict

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tools:
    """What the workers of one destination share."""

    crew: Crew
    leases: Leases
    forms: Forms
    exchange: Exchange
    outcomes: Outcomes
    transcoding: Transcoding
    parking: Parking
    looker: Looker


class Sender:
    """Sends what is queued for one destination."""

    def __init__(self, destination: Destination, tools: Tools) -> None:
        self._destination = destination
        self._tools = tools

    async def work_once(self) -> None:
        """Take a batch and serve it, or wait until there may be one: one turn of a worker."""
        destination, leases = self._destination, self._tools.leases
        arrived, released = destination.box.bells.arrived.next, destination.released.next
        try:
            taken = await leases.take()
        except StoreError as error:
            log.info("the queue of %s could not be read: %s", destination.name, error)
            taken = Taken()
        if taken.rows:
            with leases.held(taken.rows):
                await self._serve(taken)
            return
        self._tools.crew.starved()
        if not await self._probed_by_search():
            await _wait_any(destination.next_try_s(), arrived, released)

    async def _probed_by_search(self) -> bool:
        """Probe a destination for which nothing waits; return whether it was due."""
        if not await self._tools.leases.begin_search():
            return False
        with self._tools.leases.held():
            if await self._tools.looker.search_passes():
                self._destination.passed()
            else:
                self._destination.still_failing()
        return True

    async def _serve(self, taken: Taken) -> None:
        """The guard of a forwarder item: whatever goes wrong is logged once and tried again later."""
        rows = taken.rows
        try:
            forms = first_of_each(await self._tools.forms.of(rows, taken.seen))
            if forms and not await self._settled(rows[0], forms[0]):
                forms = await self._tools.outcomes.without_arrived(forms)
                async with self._tools.transcoding.applied(forms) as leaving:
                    await self._send(Batch(await self._tools.outcomes.without_too_large(leaving), rows[0].urgent))
        except CredentialError as error:
            hold_without_credential(self._destination, error)
        except InstanceGone as error:
            self._unreadable(rows, str(error))
        except (StoreError, NotTranscoded) as error:
            log.info("sending to %s: %s", self._destination.name, error)
            self._stumble(rows)
        except Exception:
            log.exception("sending to %s failed", self._destination.name)
            self._stumble(rows)

    async def _settled(self, row: Waiting, form: WebForm) -> bool:
        """Whether looking takes the place of sending now; what is looked for goes alone."""
        note = self._destination.notebook.of(form.number)
        if note.verify_until_s is not None:
            await self._tools.outcomes.verify(form.number, Verdict(Kind.VERIFY))
            return True
        return row.ask_first and not note.asked and await self._tools.outcomes.found_before(form.number)

    def _stumble(self, rows: Sequence[Waiting]) -> None:
        """It broke on this side: each tries again by its own back-off, alone, and the destination is not to blame."""
        for row in rows:
            self._tools.outcomes.later(row.number, None, alone=True)

    def _unreadable(self, rows: Sequence[Waiting], text: str) -> None:
        if len(rows) == 1:
            hint = f"An instance cannot be read from the store: {text}. Check the disk; edged export saves the others."
            self._destination.blame(rows[0].number, "unreadable", hint)
        self._stumble(rows)

    async def _send(self, batch: Batch) -> None:
        if not batch.forms:
            return
        age = self._tools.crew.age
        exchanged = await self._tools.exchange.send(batch)
        self._note_sizes(batch, exchanged)
        self._note_crew(batch, exchanged, age)
        await self._tools.outcomes.apply(batch.numbers, exchanged)
        self._tell(batch, exchanged)

    def _note_sizes(self, batch: Batch, exchanged: Exchanged) -> None:
        destination = self._destination
        kinds = {verdict.kind for verdict in exchanged.decision.instances.values()}
        if Kind.HALVE in kinds:
            destination.size = destination.size.refused(len(batch.forms), batch.size)
        elif Kind.SENT in kinds:
            destination.size = destination.size.measured(len(batch.forms), batch.size, exchanged.seconds)
            destination.sent(batch.size)

    def _note_crew(self, batch: Batch, exchanged: Exchanged, age: int) -> None:
        crew, heard = self._tools.crew, exchanged.heard
        if isinstance(heard, Answer) and heard.status in NOT_NOW:
            crew.pushed_back(age=age)
        elif any(verdict.kind is Kind.SENT for verdict in exchanged.decision.instances.values()):
            crew.finished(batch.size, exchanged.seconds, age=age)

    def _tell(self, batch: Batch, exchanged: Exchanged) -> None:
        """Say how the destination stands; an answer that only speaks against an instance says nothing of that."""
        destination, verdict, heard = self._destination, exchanged.decision.destination, exchanged.heard
        failures = destination.breaker.backoff.failures
        if verdict.standing is not Standing.OK:
            auth = verdict.standing in {Standing.AUTH_FAULT, Standing.PROXY_AUTH_FAULT}
            destination.failed(verdict, Phase.AUTH if auth else exchanged.phase)
        elif _is_well(heard) and not self._tools.parking.refusing:
            destination.passed()
        self._log(batch, exchanged, again=destination.breaker.backoff.failures == failures)

    def _log(self, batch: Batch, exchanged: Exchanged, *, again: bool) -> None:
        """Write a line on a batch; in an outage one at the first, second, fourth failure and so on of the destination.

        `again`: the destination's failure was counted already, with another batch.
        """
        destination, verdicts = self._destination, exchanged.decision.instances.values()
        stored = sum(verdict.kind is Kind.SENT for verdict in verdicts)
        told = {"batch": exchanged.batch}
        if stored:
            of = f"{stored} of " if stored < len(verdicts) else ""
            log.info("sent %s%s, %d bytes to %s", of, _counted(batch), batch.size, destination.name, extra=told)
            return
        if exchanged.decision.destination.standing is not Standing.OK and (
            again or not destination.breaker.backoff.should_log
        ):
            return
        log.info("could not send %s to %s: %s", _counted(batch), destination.name, exchanged.heard.summary, extra=told)


def _counted(batch: Batch) -> str:
    return "1 instance" if len(batch.forms) == 1 else f"{len(batch.forms)} instances"


def _is_well(heard: Answer | Silence) -> bool:
    """Whether whoever answered so does what it is there for, whatever it says of the instances."""
    return isinstance(heard, Answer) and (heard.report is not None or heard.status < FIRST_REFUSAL)


async def _wait_any(seconds: float, *events: trio.Event) -> None:
    """Return when one of the events is set, or after some seconds."""
    with trio.move_on_after(seconds):
        async with trio.open_nursery() as nursery:

            async def wait(event: trio.Event) -> None:
                await event.wait()
                nursery.cancel_scope.cancel()

            for event in events:
                nursery.start_soon(wait, event)
