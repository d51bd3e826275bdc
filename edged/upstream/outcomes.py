"""Carrying out verdicts on instances: moves in the store, notes in memory, conditions for people.

One method a kind of verdict. What moves forward or aside moves by compare-and-set in one write a batch; all else is a
note about when to try again. Nothing here decides: `verdicts.decide` has.
"""

import random
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from math import inf, isfinite
from typing import TypeVar

from msgspec import structs

from edged.config import Destination as Settings
from edged.config.choices import Verify
from edged.store.queue import read_instance
from edged.store.records import Check, Delivery, DeliveryState
from edged.telemetry.live import Phase
from edged.upstream.batch import PART_BYTES
from edged.upstream.comparing import Finding, Purpose
from edged.upstream.destination import Destination
from edged.upstream.exchange import Exchanged
from edged.upstream.leaving import FOUND, TRANSCODED, in_either_form, may_leave_decompressed
from edged.upstream.look import Looker
from edged.upstream.moves import bring, count_resend, delivery_of
from edged.upstream.notes import BREAKS_KEPT
from edged.upstream.parking import Parking
from edged.upstream.retry import SlowLane
from edged.upstream.stow import Form
from edged.upstream.telling import Telling
from edged.upstream.verdict_status import NOT_NOW
from edged.upstream.verdict_values import (
    Answer,
    Break,
    ConditionName,
    DestinationVerdict,
    Kind,
    Silence,
    Standing,
    Verdict,
)

F = TypeVar("F", bound=Form)

LOOK_AGAIN_S = 30.0
HOLD_S = 3600.0
DAY_S = 24 * 3600.0
RESENDS = 3
"""Of an instance that is "stored" and not to be seen; a fourth only on command (DICOM.md §5)."""

NOT_VISIBLE = "stored-not-visible"
NOT_VISIBLE_HINT = (
    "It answers stored, three times over, and does not show the instance. Ask whoever runs the archive; it is looked "
    "for daily and not sent again by itself; edged queue retry with its UID sends it once more."
)
_DIFFERS = "the destination has another instance under this SOP Instance UID"
_GIVES_ANOTHER = (
    "what the destination gives back under this SOP Instance UID is another data set: another instance, or this one "
    "with attributes that it changes; compare them there, then discard this entry with the reason, or retry it"
)
_UNTOLD = "It answers neither retrieve nor search, and never says stored: nothing tells what it has."
_RECODED = (
    "Another data set may have been sent under an instance's UID before this one, and what the archive gives back is "
    "compressed in another way or not at all, so that the two cannot be compared. Compare them at the archive; where "
    "it has the right one, let this one go with edged queue discard."
)
_SAME = "the destination gave back the same data set"
_AUTH_FAULTS = frozenset({Standing.AUTH_FAULT, Standing.PROXY_AUTH_FAULT})


class Outcomes:
    """What becomes of instances at one destination."""

    def __init__(self, destination: Destination, looker: Looker, parking: Parking) -> None:
        self._destination = destination
        self._looker = looker
        self._parking = parking
        self._telling = Telling(destination)

    async def apply(self, numbers: Mapping[str, int], exchanged: Exchanged) -> None:
        """Do what was decided for every instance of a batch."""
        decision, heard = exchanged.decision, exchanged.heard
        await self._telling.heard(numbers, exchanged)
        sent = {numbers[uid]: each for uid, each in decision.instances.items() if each.kind is Kind.SENT}
        if sent:
            await self._sent(sent, exchanged.batch)
        broke = Break(heard.sent_bytes, heard.elapsed_s) if len(numbers) == 1 and isinstance(heard, Silence) else None
        teaches = _teaches(heard, decision.destination.standing)
        for uid, verdict in decision.instances.items():
            if verdict.may_be_there:
                self._destination.notebook.look_first(numbers[uid])
            if verdict.kind is Kind.PENDING and teaches:
                self._destination.notebook.failed(numbers[uid])
            elif verdict.kind is not Kind.SENT:
                await self._one(numbers[uid], verdict, broke)

    async def without_too_large(self, forms: Iterable[Form]) -> tuple[Form, ...]:
        """Park what the destination's sizes exclude before it is uploaded; return the rest."""
        kept = []
        for form in forms:
            if text := too_large(form.length, self._destination.settings):
                await self._parking.exclude(form.number, text)
            else:
                kept.append(form)
        return tuple(kept)

    async def without_arrived(self, forms: Iterable[F]) -> list[F]:
        """Look once for what may have arrived, its answer lost; return what is to be sent.

        Nothing is, where no answer is had. That one is not to be seen is no verdict and not counted: it goes again, as
        over HTTP/1.1, where nobody looks.
        """
        notebook, left = self._destination.notebook, []
        for form in forms:
            if notebook.of(form.number).may_be_there:
                finding, compared = await self._look(form.number, Purpose.VERIFY)
                if finding is Finding.SILENT:
                    self._unanswered()
                    return []
                if finding is Finding.THERE:
                    await self._found(form.number, None, compared=compared)
                    continue
                notebook.keep(form.number, replace(notebook.of(form.number), may_be_there=False))
            left.append(form)
        return left

    def later(self, number: int, after_s: float | None, **changes: object) -> None:
        """Try an instance again after its own back-off."""
        destination = self._destination
        backoff = destination.notebook.of(number).backoff
        backoff = backoff.failed(destination.now(), retry_after_s=after_s, random01=random.random())  # noqa: S311
        destination.notebook.refused(number, backoff=backoff, due_s=backoff.due_s, **changes)

    async def verify(self, number: int, verdict: Verdict) -> None:
        """The destination may have it already: look, before it is uploaded again (DICOM.md §4, §5)."""
        finding, compared = await self._look(number, Purpose.VERIFY)
        if finding is not None and finding is not Finding.THERE:
            await self._telling.looked(number, finding)
        if finding is Finding.THERE:
            await self._found(number, verdict.reason, compared=compared)
        elif finding is Finding.DIFFERS:
            conflict = replace(
                verdict, kind=Kind.PARK, text=_GIVES_ANOTHER if compared else _DIFFERS, condition=ConditionName.CONFLICT
            )
            await self._parking.park(number, conflict)
        elif finding is Finding.ABSENT:
            await self._look_again(number)
        elif finding is not None:
            self._cannot_look(number, finding)

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
        either = may_leave_decompressed(instance, destination.settings)
        sought = in_either_form(instance, destination.settings)
        if delivery.check is not Check.DIGEST and not asked:
            how = Purpose.EITHER if either and purpose is Purpose.PROOF else purpose
            return await self._looker.look(sought, how), False
        finding = await self._looker.compare_data_sets(instance, destination.box.store.processor)
        if finding is not Finding.RECODED:
            return finding, True
        if not either:
            return Finding.DIFFERS, True
        finding = await self._looker.look(sought, Purpose.VERIFY)
        nothing_told = finding is Finding.THERE and delivery.check is Check.DIGEST
        return (Finding.RECODED if nothing_told else finding), False

    async def _found(self, number: int, reason: int | None, *, compared: bool) -> None:
        destination, now = self._destination, self._wall()
        found = Delivery(state=DeliveryState.SENT, since=now, evidence=FOUND, reason=reason, sent_at=now)
        if destination.notebook.of(number).transcode:
            found = structs.replace(found, answer=TRANSCODED)
        found = destination.notebook.of(number).answered or found
        if compared:
            found = structs.replace(found, answer=_SAME)
        await bring(destination, {number: found}, compared=compared)
        self._parking.found()

    async def _sent(self, verdicts: Mapping[int, Verdict], batch: str) -> None:
        destination = self._destination
        now = self._wall()
        sent = Delivery(state=DeliveryState.SENT, since=now, evidence="stored", batch=batch, sent_at=now)
        warned = {number: structs.replace(sent, reason=verdict.warning) for number, verdict in verdicts.items()}
        for number in [each for each in warned if destination.notebook.of(each).transcode]:
            warned[number] = structs.replace(warned[number], answer=TRANSCODED)
            await self._telling.transcoded(number, TRANSCODED, batch)
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
            case Kind.TRANSCODE:
                notebook.refused(number, transcode=True, alone=True, due_s=now)
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
        if now < until < inf:
            notebook.refused(number, verify_until_s=until, due_s=now + LOOK_AGAIN_S, alone=True)
        elif isfinite(until) and await count_resend(destination, number, most=RESENDS):
            notebook.refused(number, verify_until_s=None, answered=None, asked=True, due_s=now, alone=True)
        else:
            destination.blame(number, NOT_VISIBLE, NOT_VISIBLE_HINT)
            notebook.refused(number, verify_until_s=inf, due_s=now + DAY_S, alone=True)

    def _cannot_look(self, number: int, finding: Finding) -> None:
        """Nothing was learnt; what can never be looked for is held under a condition and not uploaded for ever."""
        destination, now = self._destination, self._destination.now()
        note = destination.notebook.of(number)
        until = now + destination.settings.visible_within_s if note.verify_until_s is None else note.verify_until_s
        if finding is Finding.SILENT:
            self._unanswered()
        hopeless = finding is not Finding.SILENT and now >= until
        if hopeless:
            hint = _RECODED if finding is Finding.RECODED else _UNTOLD
            destination.blame(number, ConditionName.CANNOT_PROVE.value, hint)
        wait_s = HOLD_S if hopeless else LOOK_AGAIN_S
        destination.notebook.refused(number, verify_until_s=until, due_s=now + wait_s, alone=True)

    def _unanswered(self) -> None:
        text = "no answer to a look for an instance"
        self._destination.failed(DestinationVerdict(Standing.LATER, text=text), Phase.HTTP)

    def _blame(self, number: int, verdict: Verdict) -> None:
        condition = verdict.condition.value if verdict.condition else "doubtful"
        self._destination.blame(number, condition, verdict.text)

    def _wall(self) -> float:
        return self._destination.box.clock.wall()


def too_large(length: int, settings: Settings) -> str:
    """Why an instance of so many bytes is not to be sent by the settings; empty if it is."""
    limits = (("max_instance", settings.max_instance_bytes, 0), ("max_request", settings.max_request_bytes, PART_BYTES))
    found = ((key, limit) for key, limit, beside in limits if limit is not None and length + beside > limit)
    return next((f"{length} bytes; {key} of this destination is {limit}" for key, limit in found), "")


def _teaches(heard: Answer | Silence, standing: Standing) -> bool:
    """Whether a failure may be the fault of what was sent: not when nothing was, or when the peer spoke of itself."""
    if isinstance(heard, Silence):
        return heard.sent_bytes > 0 and not heard.not_processed
    return heard.status not in NOT_NOW and standing not in _AUTH_FAULTS
