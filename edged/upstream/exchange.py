"""One store request and what it means: asked, asked again at once as often as the verdict table allows, decided.

Nothing is carried out here but what concerns the request itself: another connection, another form of answer, another
target. Every such repetition is counted, of whatever kind.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from http import HTTPStatus
from uuid import uuid4

import trio

from edged.services.retrieve import WebForm
from edged.telemetry.live import Phase
from edged.upstream.asking import Asking
from edged.upstream.batch import Batch
from edged.upstream.batch_context import context_of
from edged.upstream.destination import Destination
from edged.upstream.heard import answer_of, silence_of, unsent_of
from edged.upstream.look import Looker
from edged.upstream.message import FIRST_REFUSAL, NoAnswer
from edged.upstream.stow import Form, nothing_early, other_accept, store_body, store_request
from edged.upstream.verdict_values import REPEATS, Answer, Decision, DestinationVerdict, Kind, Silence, Standing
from edged.upstream.verdicts import decide

_AT_ONCE = frozenset({Standing.OTHER_ACCEPT, Standing.NEW_CONNECTION, Standing.FOLLOW})


@dataclass(frozen=True, slots=True)
class Exchanged:
    """What was heard of a batch, in which phase, what is decided, and how long all of it took in seconds.

    `batch` is its id in the log and in the records; `said` is what the peer said in its own words, without secrets.
    """

    heard: Answer | Silence
    phase: Phase
    decision: Decision
    seconds: float
    batch: str
    said: str


@dataclass(frozen=True, slots=True)
class _Way:
    """How a request leaves: its target, the form of answer that it accepts, and whether on a new connection."""

    target: str
    accept: str
    fresh: bool = False

    def after(self, verdict: DestinationVerdict) -> "_Way":
        """How it leaves once more."""
        accept = other_accept(self.accept) if verdict.standing is Standing.OTHER_ACCEPT else self.accept
        return _Way(verdict.location or self.target, accept, verdict.standing is Standing.NEW_CONNECTION)


class Exchange:
    """Sends batches to one destination."""

    def __init__(self, destination: Destination, asking: Asking, looker: Looker) -> None:
        self._destination = destination
        self._asking = asking
        self._looker = looker

    async def send(self, batch: Batch) -> Exchanged:
        """Send a batch and say what became of it. Raises CredentialError and StoreError."""
        way = _Way(self._asking.target("/studies"), self._destination.accept)
        context, began = context_of(batch, self._destination), trio.current_time()
        while True:
            heard, phase, unsent = await self._ask(batch, way)
            context = replace(context, unsent=unsent, url=self._asking.endpoint.url(way.target))
            decision = decide(heard, tuple(batch.numbers), context)
            if not _again(decision) or context.repeated >= REPEATS:
                break
            way = way.after(decision.destination)
            tried = context.tried_other_accept or decision.destination.standing is Standing.OTHER_ACCEPT
            context = replace(context, repeated=context.repeated + 1, tried_other_accept=tried)
        if isinstance(heard, Answer) and (heard.report is not None or heard.status < FIRST_REFUSAL):
            self._destination.accept = way.accept
        seconds = trio.current_time() - began
        probe = decision.destination.standing is Standing.PROBE_OTHER and len(batch.forms) == 1
        if probe and await self._looker.search_passes():
            decision = decide(heard, tuple(batch.numbers), replace(context, search_passed=True))
        said = self._asking.redactor.text(heard.said)
        return Exchanged(heard, phase, decision, seconds, batch=uuid4().hex[:12], said=said)

    def _early(self, forms: Sequence[Form]) -> AbstractContextManager[None]:
        """Begin to read what is stored of instances that leave next."""
        sizes = {form.number: form.instance.size for form in forms if isinstance(form, WebForm)}
        return self._destination.box.store.early(sizes, lane=self._destination.lane, blocks=True)

    async def _ask(self, batch: Batch, way: _Way) -> tuple[Answer | Silence, Phase, frozenset[str]]:
        stored = [form.number for form in batch.forms if isinstance(form, WebForm)]
        early = nothing_early if self._destination.box.store.streams.are_in_memory(stored) else self._early
        body = store_body(batch.forms, early=early)
        request = store_request(body, target=way.target, accept=way.accept)
        began = trio.current_time()
        try:
            response = await self._asking.request(request, fresh=way.fresh, urgent=batch.urgent, follow=False)
        except NoAnswer as error:
            return silence_of(error, trio.current_time() - began), error.phase, frozenset()
        answer = answer_of(response, self._destination.box.clock.wall())
        phase = Phase.VERDICT if response.status < HTTPStatus.INTERNAL_SERVER_ERROR else Phase.HTTP
        return answer, phase, unsent_of(response, body.ends())


def _again(decision: Decision) -> bool:
    """Whether the same request is to be sent again at once."""
    unprocessed = any(verdict.kind is Kind.AGAIN for verdict in decision.instances.values())
    return unprocessed or decision.destination.standing in _AT_ONCE
