"""The workers of one destination: lease a batch, send it, do what the verdict table says.

`next_batch` and `apply` decide synchronously; the awaits between them only send, and move deliveries in the store by
compare-and-set. A lease lives in memory and ends with the worker's turn, whatever happens to it.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import trio

from edged.config import CredentialError
from edged.dicomweb.store_report import Accepted, read_store_report
from edged.services.retrieve import WebForm
from edged.store.errors import StoreError
from edged.store.queue import Waiting, read_instance, waiting
from edged.store.records import DeliveryState
from edged.store.transaction import Transaction
from edged.telemetry.live import Phase
from edged.upstream.batch import choose_batch, choose_probe
from edged.upstream.connection import Client
from edged.upstream.destination import Destination
from edged.upstream.message import NoAnswer, Response
from edged.upstream.outcomes import Outcomes
from edged.upstream.retry import BreakerState
from edged.upstream.stow import store_request
from edged.upstream.verdict_values import (
    REPEATS,
    Answer,
    Context,
    Decision,
    DestinationVerdict,
    Kind,
    Report,
    Silence,
    Standing,
    Verdict,
)
from edged.upstream.verdicts import decide

log = logging.getLogger(__name__)

TEXT_BYTES = 400
_AT_ONCE = frozenset({Standing.REFRESH_CREDENTIAL, Standing.ACCEPT_XML, Standing.NEW_CONNECTION, Standing.FOLLOW})


@dataclass(frozen=True, slots=True)
class Batch:
    """What one request carries; `numbers` by SOP Instance UID."""

    forms: tuple[WebForm, ...]
    probing: bool

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

    def __init__(self, destination: Destination, client: Client, outcomes: Outcomes) -> None:
        self._destination = destination
        self._client = client
        self._outcomes = outcomes

    async def work(self) -> None:
        """Take batches for ever; one of the destination's parallel workers."""
        destination = self._destination
        while True:
            arrived, released = destination.box.bells.arrived.next, destination.released.next
            rows = await self._lease()
            if not rows:
                await _wait_any(destination.next_try_s(), arrived, released)
                continue
            probing = destination.breaker.state is not BreakerState.CLOSED
            try:
                await self._serve(rows, probing=probing)
            finally:
                destination.leased.difference_update(row.number for row in rows)
                if probing and destination.breaker.state is BreakerState.PROBING:
                    destination.breaker = destination.breaker.abandoned()
                destination.released.ring()

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

    async def _serve(self, rows: Sequence[Waiting], *, probing: bool) -> None:
        """The guard of a forwarder item: whatever goes wrong is logged once and tried again later."""
        try:
            if self._destination.notebook.of(rows[0].number).verify_until_s is not None:
                await self._outcomes.verify(rows[0].number, Verdict(Kind.VERIFY))
                return
            forms = await self._destination.box.store.read(partial(self._load, rows=rows))
            await self._send(Batch(await self._outcomes.without_too_large(forms), probing))
        except (StoreError, CredentialError) as error:
            self._stumble(rows, str(error))
        except Exception as error:
            log.exception("sending to %s failed", self._destination.name)
            self._stumble(rows, f"{type(error).__name__} while sending")

    def _stumble(self, rows: Sequence[Waiting], text: str) -> None:
        for row in rows:
            self._outcomes.later(row.number, None)
        self._destination.failed(DestinationVerdict(Standing.LATER, text=text), Phase.AUTH)

    def _load(self, txn: Transaction, rows: Sequence[Waiting]) -> list[WebForm]:
        store = self._destination.box.store
        return [WebForm(store, row.number, found) for row in rows if (found := read_instance(txn, row.number))]

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
        await self._outcomes.apply(batch.numbers, decision, heard, began_s=began)
        self._tell(batch, decision, phase)

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
            silence = Silence(
                phase=error.phase.value,
                sent_bytes=error.sent_bytes,
                elapsed_s=trio.current_time() - began,
                not_processed=error.not_processed,
                http2=error.http2,
                text=error.text,
            )
            return silence, Phase(error.phase.value)
        return self._heard(response), Phase.VERDICT if response.status < 500 else Phase.HTTP

    def _heard(self, response: Response) -> Answer:
        fields = dict(response.headers)
        read = None if response.truncated else read_store_report(response.body, fields.get("content-type"))
        report = None
        if read is not None:
            report = Report(
                accepted={uid: each.warning for uid, each in read.outcomes.items() if isinstance(each, Accepted)},
                failed={uid: each.reason for uid, each in read.outcomes.items() if not isinstance(each, Accepted)},
            )
        return Answer.received(
            response.status,
            response.headers,
            report=report,
            text="" if report else response.body[:TEXT_BYTES].decode("utf-8", "replace"),
            now=self._destination.box.clock.wall(),
        )

    def _context(self, batch: Batch) -> Context:
        notebook = self._destination.notebook
        settings = self._destination.settings
        return Context(
            histories={uid: notebook.history(number) for uid, number in batch.numbers.items()},
            overrides={code: Kind(verdict.value) for code, verdict in settings.reasons.items()},
            url=str(self._client.endpoint),
            batch_failures=int(any(notebook.of(number).backoff.failures for number in batch.numbers.values())),
        )

    def _note_sizes(self, batch: Batch, decision: Decision, seconds: float) -> None:
        destination = self._destination
        kinds = {verdict.kind for verdict in decision.instances.values()}
        if Kind.HALVE in kinds:
            destination.size = destination.size.refused(len(batch.forms), batch.size)
        elif Kind.SENT in kinds:
            destination.size = destination.size.measured(len(batch.forms), batch.size, seconds)
            destination.sent(batch.size)

    def _tell(self, batch: Batch, decision: Decision, phase: Phase) -> None:
        verdict = decision.destination
        log.info(
            "sent %d instances, %d bytes to %s: %s",
            len(batch.forms),
            batch.size,
            self._destination.name,
            verdict.standing,
        )
        if verdict.standing is Standing.OK:
            self._destination.passed()
            return
        auth = verdict.standing in {Standing.AUTH_FAULT, Standing.PROXY_AUTH_FAULT}
        self._destination.failed(verdict, Phase.AUTH if auth else phase)


async def _wait_any(seconds: float, *events: trio.Event) -> None:
    """Return when one of the events is set, or after some seconds."""
    with trio.move_on_after(seconds):
        async with trio.open_nursery() as nursery:

            async def wait(event: trio.Event) -> None:
                await event.wait()
                nursery.cancel_scope.cancel()

            for event in events:
                nursery.start_soon(wait, event)
