"""The workers of one destination: lease a batch, send it, do what the verdict table says.

`choose_batch` and `decide` decide synchronously; the awaits between them only send, and move deliveries in the store
by compare-and-set. A lease lives in memory and ends with the worker's turn, whatever happens to it.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus

import trio

from edged.config import CredentialError
from edged.services.retrieve import WebForm
from edged.store.errors import InstanceGone, StoreError
from edged.store.queue import figures, read_delivery, read_instance
from edged.store.records import DeliveryState
from edged.store.transaction import Transaction
from edged.store.waiting import Waiting, waiting
from edged.telemetry.live import Phase
from edged.upstream.batch import choose_batch, choose_probe
from edged.upstream.connection import Client
from edged.upstream.destination import Destination
from edged.upstream.heard import answer_of, silence_of
from edged.upstream.look import Looker
from edged.upstream.message import FIRST_REFUSAL, NoAnswer
from edged.upstream.outcomes import Outcomes
from edged.upstream.retry import BreakerState
from edged.upstream.stow import store_request
from edged.upstream.verdict_values import (
    REPEATS,
    Answer,
    ConditionName,
    Context,
    Decision,
    DestinationVerdict,
    Kind,
    Silence,
    Standing,
    Verdict,
)
from edged.upstream.verdicts import decide

log = logging.getLogger(__name__)

_AT_ONCE = frozenset({Standing.REFRESH_CREDENTIAL, Standing.ACCEPT_XML, Standing.NEW_CONNECTION, Standing.FOLLOW})


@dataclass(frozen=True, slots=True)
class Batch:
    """What one request carries; `numbers` by SOP Instance UID."""

    forms: tuple[WebForm, ...]

    @property
    def numbers(self) -> dict[str, int]:
        """The instance numbers by SOP Instance UID."""
        return {form.instance.sop_instance_uid: form.number for form in self.forms}

    @property
    def size(self) -> int:
        """Bytes of all instances."""
        return sum(form.length for form in self.forms)


class Sender:
    """Sends what is queued for one destination."""

    def __init__(self, destination: Destination, client: Client, outcomes: Outcomes, *, looker: Looker) -> None:
        self._destination = destination
        self._client = client
        self._outcomes = outcomes
        self._looker = looker

    async def work(self) -> None:
        """Take batches for ever; one of the destination's parallel workers."""
        destination = self._destination
        while True:
            arrived, released = destination.box.bells.arrived.next, destination.released.next
            try:
                rows = await self._lease()
            except StoreError as error:
                log.info("the queue of %s could not be read: %s", destination.name, error)
                rows = []
            if rows:
                with self._leased(rows):
                    await self._serve(rows)
            elif not await self._probed_by_search():
                await _wait_any(destination.next_try_s(), arrived, released)

    @contextmanager
    def _leased(self, rows: Sequence[Waiting]) -> Iterator[None]:
        """End the lease with the block, and a probe that told nothing."""
        destination = self._destination
        probing = destination.breaker.state is BreakerState.PROBING
        try:
            yield
        finally:
            destination.leased.difference_update(row.number for row in rows)
            if probing and destination.breaker.state is BreakerState.PROBING:
                destination.breaker = destination.breaker.abandoned()
            destination.released.ring()

    async def _probed_by_search(self) -> bool:
        """Probe a destination whose breaker is open and for which nothing waits; return whether it was due."""
        destination = self._destination
        if destination.breaker.state is not BreakerState.OPEN or not destination.may_begin():
            return False
        queued = partial(figures, destination=destination.number, state=DeliveryState.HELD)
        if (await destination.box.store.read(queued)).rows or not destination.may_begin():
            return False
        destination.breaker = destination.breaker.probe(destination.now())
        with self._leased(()):
            if await self._looker.search_passes():
                destination.passed()
            else:
                destination.still_failing()
        return True

    async def _lease(self) -> list[Waiting]:
        destination = self._destination
        if not destination.may_begin():
            return []
        excluded = destination.leased | destination.notebook.waiting(destination.now())
        rows = await destination.box.store.read(
            partial(waiting, destination=destination.number, state=DeliveryState.HELD, leased=excluded)
        )
        rows = [row for row in rows if row.number not in destination.leased]
        if not rows or not destination.may_begin():
            return []
        if destination.breaker.state is BreakerState.CLOSED:
            chosen = choose_batch(rows, destination.notebook, destination.size, last_study=destination.last_study)
            destination.last_study = chosen[0].study
        else:
            chosen = choose_probe(rows, destination.last_probed)
            destination.last_probed = chosen[0].number
            destination.breaker = destination.breaker.probe(destination.now())
        destination.leased.update(row.number for row in chosen)
        return chosen

    async def _serve(self, rows: Sequence[Waiting]) -> None:
        """The guard of a forwarder item: whatever goes wrong is logged once and tried again later."""
        try:
            forms = await self._destination.box.store.read(partial(self._load, rows=rows))
            if forms and self._destination.notebook.of(forms[0].number).verify_until_s is not None:
                await self._outcomes.verify(forms[0].number, Verdict(Kind.VERIFY))
                return
            if forms and self._to_be_asked(rows[0]) and await self._outcomes.found_before(forms[0].number):
                return
            await self._send(Batch(await self._outcomes.without_too_large(forms)))
        except CredentialError as error:
            hint = "The file with its credential cannot be used."
            fault = DestinationVerdict(Standing.AUTH_FAULT, condition=ConditionName.AUTH_FAULT, hint=hint)
            self._destination.failed(replace(fault, text=str(error)), Phase.AUTH)
        except InstanceGone as error:
            self._unreadable(rows, str(error))
        except StoreError as error:
            log.info("sending to %s: %s", self._destination.name, error)
            self._stumble(rows)
        except Exception:
            log.exception("sending to %s failed", self._destination.name)
            self._stumble(rows)

    def _to_be_asked(self, row: Waiting) -> bool:
        return row.ask_first and not self._destination.notebook.of(row.number).asked

    def _stumble(self, rows: Sequence[Waiting]) -> None:
        """It broke on this side: each tries again by its own back-off, alone, and the destination is not to blame."""
        for row in rows:
            self._outcomes.later(row.number, None, alone=True)

    def _unreadable(self, rows: Sequence[Waiting], text: str) -> None:
        if len(rows) == 1:
            hint = f"An instance cannot be read from the store: {text}. Check the disk; edged export saves the others."
            self._destination.blame(rows[0].number, "unreadable", hint)
        self._stumble(rows)

    def _load(self, txn: Transaction, rows: Sequence[Waiting]) -> list[WebForm]:
        """Read what is leased; what moved on between the look at the queue and the lease is left out."""
        box, destination = self._destination.box, self._destination.number
        forms = []
        for row in rows:
            instance, delivery = read_instance(txn, row.number), read_delivery(txn, row.number, destination)
            if instance is not None and delivery is not None and delivery.state is DeliveryState.HELD:
                forms.append(WebForm(box.store, row.number, instance))
        return forms

    async def _send(self, batch: Batch) -> None:
        if not batch.forms:
            return
        context = self._context(batch)
        target = f"{self._client.endpoint.base_path}/studies"
        began = trio.current_time()
        while True:
            heard, phase = await self._ask(batch, target, began)
            decision = decide(heard, tuple(batch.numbers), context)
            standing = decision.destination.standing
            if standing not in _AT_ONCE or context.repeated >= REPEATS:
                break
            target = decision.destination.location or target
            context = self._repeated(context, standing)
        self._note_sizes(batch, decision, trio.current_time() - began)
        if standing is Standing.PROBE_OTHER and len(batch.forms) == 1 and await self._looker.search_passes():
            decision = decide(heard, tuple(batch.numbers), replace(context, search_passed=True))
        await self._outcomes.apply(batch.numbers, decision, heard)
        self._tell(batch, decision, heard, phase=phase)

    def _repeated(self, context: Context, standing: Standing) -> Context:
        if standing is Standing.ACCEPT_XML:
            self._destination.accept = "application/dicom+xml"
        return replace(
            context,
            repeated=context.repeated + 1,
            refreshed=context.refreshed or standing is Standing.REFRESH_CREDENTIAL,
            tried_xml=context.tried_xml or standing is Standing.ACCEPT_XML,
        )

    async def _ask(self, batch: Batch, target: str, began: float) -> tuple[Answer | Silence, Phase]:
        request = store_request(batch.forms, target=target, accept=self._destination.accept)
        request = replace(request, headers=request.headers + self._destination.headers())
        try:
            response = await self._client.request(request)
        except NoAnswer as error:
            return silence_of(error, trio.current_time() - began), error.phase
        answer = answer_of(response, self._destination.box.clock.wall())
        return answer, Phase.VERDICT if response.status < HTTPStatus.INTERNAL_SERVER_ERROR else Phase.HTTP

    def _context(self, batch: Batch) -> Context:
        notebook = self._destination.notebook
        settings = self._destination.settings
        return Context(
            histories={uid: notebook.history(number) for uid, number in batch.numbers.items()},
            overrides={code: Kind(verdict.value) for code, verdict in settings.reasons.items()},
            url=str(self._client.endpoint),
            batch_failures=max(notebook.of(number).failures for number in batch.numbers.values()),
        )

    def _note_sizes(self, batch: Batch, decision: Decision, seconds: float) -> None:
        destination = self._destination
        kinds = {verdict.kind for verdict in decision.instances.values()}
        if Kind.HALVE in kinds:
            destination.size = destination.size.refused(len(batch.forms), batch.size)
        elif Kind.SENT in kinds:
            destination.size = destination.size.measured(len(batch.forms), batch.size, seconds)
            destination.sent(batch.size)

    def _tell(self, batch: Batch, decision: Decision, heard: Answer | Silence, *, phase: Phase) -> None:
        """Say how the destination stands; an answer that only speaks against an instance says nothing of that."""
        destination, verdict = self._destination, decision.destination
        count, name = len(batch.forms), destination.name
        log.info("sent %d instances, %d bytes to %s: %s", count, batch.size, name, verdict.standing)
        if verdict.standing is not Standing.OK:
            auth = verdict.standing in {Standing.AUTH_FAULT, Standing.PROXY_AUTH_FAULT}
            destination.failed(verdict, Phase.AUTH if auth else phase)
        elif isinstance(heard, Answer) and (heard.report or heard.status < FIRST_REFUSAL) and not destination.refusing:
            destination.passed()


async def _wait_any(seconds: float, *events: trio.Event) -> None:
    """Return when one of the events is set, or after some seconds."""
    with trio.move_on_after(seconds):
        async with trio.open_nursery() as nursery:

            async def wait(event: trio.Event) -> None:
                await event.wait()
                nursery.cancel_scope.cancel()

            for event in events:
                nursery.start_soon(wait, event)
