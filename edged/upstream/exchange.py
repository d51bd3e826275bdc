"""One store request and what it means: asked, asked again at once as often as the verdict table allows, decided.

Nothing is carried out here but what concerns the request itself: another connection, another form of answer, another
target. Every such repetition is counted, of whatever kind.
"""

from dataclasses import dataclass, replace
from http import HTTPStatus

import trio

from edged.telemetry.live import Phase
from edged.upstream.asking import Asking
from edged.upstream.batch import Batch
from edged.upstream.batch_context import context_of
from edged.upstream.destination import Destination
from edged.upstream.heard import answer_of, silence_of, unsent_of
from edged.upstream.look import Looker
from edged.upstream.message import NoAnswer
from edged.upstream.stow import store_body, store_request
from edged.upstream.verdict_values import REPEATS, Answer, Context, Decision, Kind, Silence, Standing
from edged.upstream.verdicts import decide

_AT_ONCE = frozenset({Standing.ACCEPT_XML, Standing.NEW_CONNECTION, Standing.FOLLOW})


@dataclass(frozen=True, slots=True)
class Exchanged:
    """What was heard of a batch, in which phase, what is decided, and how long all of it took in seconds."""

    heard: Answer | Silence
    phase: Phase
    decision: Decision
    seconds: float


class Exchange:
    """Sends batches to one destination."""

    def __init__(self, destination: Destination, asking: Asking, looker: Looker) -> None:
        self._destination = destination
        self._asking = asking
        self._looker = looker

    async def send(self, batch: Batch) -> Exchanged:
        """Send a batch and say what became of it. Raises CredentialError and StoreError."""
        context = context_of(batch, self._destination, url=str(self._asking.endpoint))
        target = self._asking.target("/studies")
        fresh, began = False, trio.current_time()
        while True:
            heard, phase, unsent = await self._ask(batch, target, fresh=fresh)
            context = replace(context, unsent=unsent)
            decision = decide(heard, tuple(batch.numbers), context)
            if not _again(decision) or context.repeated >= REPEATS:
                break
            standing = decision.destination.standing
            target, fresh = decision.destination.location or target, standing is Standing.NEW_CONNECTION
            context = self._repeated(context, standing)
        seconds = trio.current_time() - began
        probe = decision.destination.standing is Standing.PROBE_OTHER and len(batch.forms) == 1
        if probe and await self._looker.search_passes():
            decision = decide(heard, tuple(batch.numbers), replace(context, search_passed=True))
        return Exchanged(heard, phase, decision, seconds)

    def _repeated(self, context: Context, standing: Standing) -> Context:
        if standing is Standing.ACCEPT_XML:
            self._destination.accept = "application/dicom+xml"
        tried_xml = context.tried_xml or standing is Standing.ACCEPT_XML
        return replace(context, repeated=context.repeated + 1, tried_xml=tried_xml)

    async def _ask(self, batch: Batch, target: str, *, fresh: bool) -> tuple[Answer | Silence, Phase, frozenset[str]]:
        body = store_body(batch.forms)
        request = store_request(body, target=target, accept=self._destination.accept)
        began = trio.current_time()
        try:
            response = await self._asking.request(request, fresh=fresh, urgent=batch.urgent)
        except NoAnswer as error:
            return silence_of(error, trio.current_time() - began), error.phase, frozenset()
        answer = answer_of(response, self._destination.box.clock.wall())
        answer = replace(answer, text=self._asking.redactor.text(answer.text))
        phase = Phase.VERDICT if response.status < HTTPStatus.INTERNAL_SERVER_ERROR else Phase.HTTP
        return answer, phase, unsent_of(response, body.ends())


def _again(decision: Decision) -> bool:
    """Whether the same request is to be sent again at once."""
    unprocessed = any(verdict.kind is Kind.AGAIN for verdict in decision.instances.values())
    return unprocessed or decision.destination.standing in _AT_ONCE
