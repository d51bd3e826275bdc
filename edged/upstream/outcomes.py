"""Carrying out verdicts on instances: moves in the store, notes in memory, conditions for people.

One method a kind of verdict. What moves forward or aside moves by compare-and-set in one write a batch; all else is a
note about when to try again. Nothing here decides: `verdicts.decide` has.
"""

import random
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from math import inf, isfinite
from uuid import uuid4

from msgspec import structs

from edged.config.choices import Verify
from edged.store.queue import read_instance
from edged.store.records import Check, Delivery, DeliveryState
from edged.telemetry.live import Phase
from edged.upstream.batch import PART_BYTES
from edged.upstream.comparing import Finding, Purpose
from edged.upstream.destination import Destination
from edged.upstream.look import Looker
from edged.upstream.moves import bring, count_resend, delivery_of
from edged.upstream.notes import BREAKS_KEPT
from edged.upstream.parking import Parking
from edged.upstream.retry import SlowLane
from edged.upstream.stow import Form
from edged.upstream.verdict_status import NOT_NOW
from edged.upstream.verdict_values import (
    Answer,
    Break,
    ConditionName,
    Decision,
    DestinationVerdict,
    Kind,
    Silence,
    Standing,
    Verdict,
)

LOOK_AGAIN_S = 30.0
HOLD_S = 3600.0
DAY_S = 24 * 3600.0
RESENDS = 3
"""Of an instance that is "stored" and not to be seen; a fourth only on command (DICOM.md §5)."""

NOT_VISIBLE = "stored-not-visible"
NOT_VISIBLE_HINT = (
    "It answers stored, three times over, and does not show the instance. Ask whoever runs the archive; it is looked "
    "for daily and not sent again by itself."
)
_DIFFERS = "the destination has another instance under this SOP Instance UID"
_SAME = "the destination gave back the same data set"
_AUTH_FAULTS = frozenset({Standing.AUTH_FAULT, Standing.PROXY_AUTH_FAULT})


class Outcomes:
    """What becomes of instances at one destination."""

    def __init__(self, destination: Destination, looker: Looker, parking: Parking) -> None:
        self._destination = destination
        self._looker = looker
        self._parking = parking

    async def apply(self, numbers: Mapping[str, int], decision: Decision, heard: Answer | Silence) -> None:
        """Do what was decided for every instance of a batch."""
        sent = {numbers[uid]: each for uid, each in decision.instances.items() if each.kind is Kind.SENT}
        if sent:
            await self._sent(sent)
        broke = Break(heard.sent_bytes, heard.elapsed_s) if len(numbers) == 1 and isinstance(heard, Silence) else None
        teaches = _teaches(heard, decision.destination.standing)
        for uid, verdict in decision.instances.items():
            if verdict.kind is Kind.PENDING and teaches:
                self._destination.notebook.failed(numbers[uid])
            elif verdict.kind is not Kind.SENT:
                await self._one(numbers[uid], verdict, broke)

    async def without_too_large(self, forms: Iterable[Form]) -> tuple[Form, ...]:
        """Park what the destination's sizes exclude before it is uploaded; return the rest."""
        settings = self._destination.settings
        kept = []
        for form in forms:
            if settings.max_instance_bytes is not None and form.length > settings.max_instance_bytes:
                await self._parking.exclude(form.number, _too_large(form, "max_instance", settings.max_instance_bytes))
            elif settings.max_request_bytes is not None and form.length + PART_BYTES > settings.max_request_bytes:
                await self._parking.exclude(form.number, _too_large(form, "max_request", settings.max_request_bytes))
            else:
                kept.append(form)
        return tuple(kept)

    def later(self, number: int, after_s: float | None, **changes: object) -> None:
        """Try an instance again after its own back-off."""
        destination = self._destination
        backoff = destination.notebook.of(number).backoff
        backoff = backoff.failed(destination.now(), retry_after_s=after_s, random01=random.random())  # noqa: S311
        destination.notebook.refused(number, backoff=backoff, due_s=backoff.due_s, **changes)

    async def verify(self, number: int, verdict: Verdict) -> None:
        """The destination may have it already: look, before it is uploaded again (DICOM.md §4, §5)."""
        finding, compared = await self._look(number, Purpose.VERIFY)
        if finding is Finding.THERE:
            await self._found(number, verdict.reason, compared=compared)
        elif finding is Finding.DIFFERS:
            await self._parking.park(number, replace(verdict, kind=Kind.PARK, text=_DIFFERS))
        elif finding is Finding.ABSENT:
            await self._look_again(number)
        elif finding is not None:
            self._cannot_look(number, silent=finding is Finding.SILENT)

    async def found_before(self, number: int) -> bool:
        """Whether what may have been there before is not to be uploaded: it is there, or was sent often enough."""
        destination, notebook = self._destination, self._destination.notebook
        finding, compared = await self._look(number, Purpose.PROOF)
        if finding is Finding.THERE:
            await self._found(number, None, compared=compared)
            return True
        delivery = await delivery_of(destination, number)
        if delivery is not None and delivery.resends and not await count_resend(destination, number, most=RESENDS):
            notebook.refused(number, verify_until_s=inf, due_s=destination.now() + LOOK_AGAIN_S, alone=True)
            destination.blame(number, NOT_VISIBLE, NOT_VISIBLE_HINT)
            return True
        notebook.keep(number, replace(notebook.of(number), asked=True))
        return False

    async def _look(self, number: int, purpose: Purpose) -> tuple[Finding | None, bool]:
        """Look for an instance as its delivery and the settings demand; also whether data sets were compared."""
        destination = self._destination
        instance = await destination.box.store.read(partial(read_instance, number=number))
        delivery = await delivery_of(destination, number)
        if instance is None or delivery is None:
            return None, False
        asked = purpose is Purpose.VERIFY and destination.settings.verify is Verify.RETRIEVE
        if delivery.check is Check.DIGEST or asked:
            return await self._looker.compare_data_sets(instance, destination.box.store.processor), True
        return await self._looker.look(instance, purpose), False

    async def _found(self, number: int, reason: int | None, *, compared: bool) -> None:
        destination, now = self._destination, self._wall()
        found = Delivery(state=DeliveryState.SENT, since=now, evidence="found", reason=reason, sent_at=now)
        found = destination.notebook.of(number).answered or found
        if compared:
            found = structs.replace(found, answer=_SAME)
        await bring(destination, {number: found}, compared=compared)
        self._parking.found()

    async def _sent(self, verdicts: Mapping[int, Verdict]) -> None:
        destination = self._destination
        batch, now = uuid4().hex[:12], self._wall()
        sent = Delivery(state=DeliveryState.SENT, since=now, evidence="stored", batch=batch, sent_at=now)
        warned = {number: structs.replace(sent, reason=verdict.warning) for number, verdict in verdicts.items()}
        uncompared = await bring(destination, warned)
        destination.accepted(len(verdicts))
        self._parking.accepted()
        for number in uncompared:
            destination.notebook.refused(number, answered=warned[number])
            await self.verify(number, Verdict(Kind.VERIFY))
        destination.released.ring()

    async def _one(self, number: int, verdict: Verdict, broke: Break | None) -> None:
        notebook, now = self._destination.notebook, self._destination.now()
        match verdict.kind:
            case Kind.AGAIN | Kind.PENDING:
                return
            case Kind.SPLIT:
                notebook.refused(number, alone=True)
            case Kind.HALVE:
                notebook.refused(number)
            case Kind.LATER:
                breaks = (*notebook.of(number).breaks, *filter(None, [broke]))[-BREAKS_KEPT:]
                self.later(number, verdict.after_s, breaks=breaks)
            case Kind.DOUBTFUL | Kind.STUCK:
                await self._doubt(number, verdict)
            case Kind.VERIFY:
                await self.verify(number, verdict)
            case Kind.VERIFY_LATER:
                wait_s = verdict.after_s or LOOK_AGAIN_S
                until = now + wait_s + self._destination.settings.visible_within_s
                notebook.refused(number, due_s=now + wait_s, verify_until_s=until, alone=True)
            case Kind.HOLD:
                notebook.refused(number, due_s=now + HOLD_S)
                self._blame(number, verdict)
            case _:
                await self._parking.park(number, verdict)

    async def _doubt(self, number: int, verdict: Verdict) -> None:
        destination = self._destination
        notebook, now = destination.notebook, destination.now()
        others_passed = notebook.history(number).others_accepted
        lane = notebook.of(number).slow or SlowLane(now)
        lane = lane.doubted(now, others_passed=others_passed, random01=random.random())  # noqa: S311 - jitter
        if lane.stuck or verdict.kind is Kind.STUCK:
            stuck = Delivery(state=DeliveryState.STUCK, since=self._wall(), reason=verdict.reason, text=verdict.text)
            await bring(destination, {number: stuck})
            return
        notebook.refused(number, slow=lane, alone=True, due_s=lane.backoff.due_s)
        if lane.overdue(now) or verdict.condition is not None:
            self._blame(number, verdict)

    async def _look_again(self, number: int) -> None:
        """Not to be seen yet: archives index late, and a 404 is no verdict before `visible_within` is over."""
        destination, now = self._destination, self._destination.now()
        notebook = destination.notebook
        note = notebook.of(number)
        until = now + destination.settings.visible_within_s if note.verify_until_s is None else note.verify_until_s
        if now < until:
            wait_s = LOOK_AGAIN_S if isfinite(until) else DAY_S
            notebook.refused(number, verify_until_s=until, due_s=now + wait_s, alone=True)
        elif isfinite(until) and await count_resend(destination, number, most=RESENDS):
            notebook.refused(number, verify_until_s=None, answered=None, asked=True, due_s=now, alone=True)
        else:
            destination.blame(number, NOT_VISIBLE, NOT_VISIBLE_HINT)
            notebook.refused(number, verify_until_s=inf, due_s=now + DAY_S, alone=True)

    def _cannot_look(self, number: int, *, silent: bool) -> None:
        """Nothing was learnt; what can never be looked for is held under a condition and not uploaded for ever."""
        destination, now = self._destination, self._destination.now()
        note = destination.notebook.of(number)
        until = now + destination.settings.visible_within_s if note.verify_until_s is None else note.verify_until_s
        if silent:
            text = "no answer to a look for an instance"
            destination.failed(DestinationVerdict(Standing.LATER, text=text), Phase.HTTP)
        hopeless = not silent and now >= until
        if hopeless:
            hint = "It answers neither retrieve nor search, and never says stored: nothing tells what it has."
            destination.blame(number, ConditionName.CANNOT_PROVE.value, hint)
        wait_s = HOLD_S if hopeless else LOOK_AGAIN_S
        destination.notebook.refused(number, verify_until_s=until, due_s=now + wait_s, alone=True)

    def _blame(self, number: int, verdict: Verdict) -> None:
        condition = verdict.condition.value if verdict.condition else "doubtful"
        self._destination.blame(number, condition, verdict.text)

    def _wall(self) -> float:
        return self._destination.box.clock.wall()


def _too_large(form: Form, key: str, limit: int) -> str:
    return f"{form.length} bytes; {key} of this destination is {limit}"


def _teaches(heard: Answer | Silence, standing: Standing) -> bool:
    """Whether a failure may be the fault of what was sent: not when nothing was, or when the peer spoke of itself."""
    if isinstance(heard, Silence):
        return heard.sent_bytes > 0 and not heard.not_processed
    return heard.status not in NOT_NOW and standing not in _AUTH_FAULTS
