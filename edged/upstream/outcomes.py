"""Carrying out verdicts on instances: moves in the store, notes in memory, conditions for people.

One method a kind of verdict. What moves forward or aside moves by compare-and-set in one write a batch; all else is a
note about when to try again. Nothing here decides: `verdicts.decide` has.
"""

import random
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from uuid import uuid4

from edged.services.retrieve import WebForm
from edged.store.queue import move, read_instance
from edged.store.records import Delivery, DeliveryState
from edged.store.transaction import Transaction
from edged.upstream.destination import Destination
from edged.upstream.look import Finding, Looker
from edged.upstream.notes import BREAKS_KEPT
from edged.upstream.park_guard import Unpark
from edged.upstream.retry import SlowLane
from edged.upstream.verdict_values import Answer, Break, Decision, Kind, Silence, Verdict

LOOK_AGAIN_S = 30.0
HOLD_S = 3600.0
DAY_S = 24 * 3600.0
RESENDS = 3

_UNSENT = (DeliveryState.HELD,)
_SLOW = frozenset({Kind.DOUBTFUL, Kind.STUCK})


class Outcomes:
    """What becomes of instances at one destination."""

    def __init__(self, destination: Destination, looker: Looker) -> None:
        self._destination = destination
        self._looker = looker

    async def apply(
        self, numbers: Mapping[str, int], decision: Decision, heard: Answer | Silence, *, began_s: float
    ) -> None:
        """Do what was decided for every instance of a batch."""
        sent = {numbers[uid]: each for uid, each in decision.instances.items() if each.kind is Kind.SENT}
        if sent:
            await self._sent(sent)
        broke = self._break(heard, began_s) if len(numbers) == 1 and isinstance(heard, Silence) else None
        for uid, verdict in decision.instances.items():
            if verdict.kind is not Kind.SENT:
                await self._one(numbers[uid], verdict, broke)

    async def without_too_large(self, forms: Iterable[WebForm]) -> tuple[WebForm, ...]:
        """Park what the destination's `max_instance` excludes before it is uploaded; return the rest."""
        limit = self._destination.settings.max_instance_bytes
        kept = []
        for form in forms:
            if limit is None or form.length <= limit:
                kept.append(form)
                continue
            text = f"{form.length} bytes; max_instance of this destination is {limit}"
            await self._move([form.number], Delivery(state=DeliveryState.PARKED, since=self._wall(), text=text))
            self._destination.raise_condition("parked", f"An instance is too large: {text}.", lasting=True)
        return tuple(kept)

    def later(self, number: int, after_s: float | None, **changes: object) -> None:
        """Try an instance again after its own back-off."""
        destination = self._destination
        backoff = destination.notebook.of(number).backoff
        backoff = backoff.failed(destination.now(), retry_after_s=after_s, random01=random.random())  # noqa: S311
        destination.notebook.refused(number, backoff=backoff, due_s=backoff.due_s, **changes)

    async def _sent(self, verdicts: Mapping[int, Verdict]) -> None:
        destination = self._destination
        batch, now = uuid4().hex[:12], self._wall()

        def moved(txn: Transaction) -> None:
            for number, verdict in verdicts.items():
                sent = Delivery(
                    state=DeliveryState.SENT,
                    since=now,
                    evidence="stored",
                    reason=verdict.warning,
                    batch=batch,
                    sent_at=now,
                )
                move(txn, number, destination.number, expected=_UNSENT, to=sent)

        await destination.box.store.write(moved)
        destination.notebook.accepted += len(verdicts)
        destination.guard.record_accepted()
        for number in verdicts:
            destination.notebook.forget(number)
        destination.box.bells.logged.ring()
        destination.released.ring()

    async def _one(self, number: int, verdict: Verdict, broke: Break | None) -> None:
        notebook, now = self._destination.notebook, self._destination.now()
        match verdict.kind:
            case Kind.AGAIN | Kind.PENDING:
                return
            case Kind.SPLIT:
                notebook.keep(number, replace(notebook.of(number), alone=True))
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
                self._raise(verdict)
            case _:
                await self._park(number, verdict)

    async def _doubt(self, number: int, verdict: Verdict) -> None:
        notebook, now = self._destination.notebook, self._destination.now()
        others_passed = notebook.history(number).others_accepted
        lane = notebook.of(number).slow or SlowLane(now)
        lane = lane.doubted(now, others_passed=others_passed, random01=random.random())  # noqa: S311 - jitter
        notebook.refused(number, slow=lane, alone=True, due_s=lane.backoff.due_s)
        if lane.stuck or verdict.kind is Kind.STUCK:
            stuck = Delivery(state=DeliveryState.STUCK, since=self._wall(), reason=verdict.reason, text=verdict.text)
            await self._move([number], stuck)
            self._raise(verdict, "stuck")
        elif lane.overdue(now):
            self._raise(verdict, "stuck")

    async def verify(self, number: int, verdict: Verdict) -> None:
        """The destination may have it already: look, before it is uploaded again (DICOM.md §4, §5)."""
        destination = self._destination
        instance = await destination.box.store.read(partial(read_instance, number=number))
        if instance is None:
            return
        finding = await self._looker.look(instance)
        if finding is Finding.THERE:
            now = self._wall()
            found = Delivery(state=DeliveryState.SENT, since=now, evidence="found", reason=verdict.reason, sent_at=now)
            await self._move([number], found)
            destination.notebook.forget(number)
            destination.box.bells.logged.ring()
        elif finding is Finding.DIFFERS:
            text = "the destination has another instance under this SOP Instance UID"
            await self._park(number, replace(verdict, kind=Kind.PARK, text=text))
        else:
            self._look_again(number)

    def _look_again(self, number: int) -> None:
        """Not to be seen yet: archives index late, and a 404 is no verdict before `visible_within` is over."""
        destination, now = self._destination, self._destination.now()
        note = destination.notebook.of(number)
        until = note.verify_until_s or now + destination.settings.visible_within_s
        if now < until:
            destination.notebook.refused(number, verify_until_s=until, due_s=now + LOOK_AGAIN_S, alone=True)
            return
        resends = note.resends + 1
        if resends >= RESENDS:
            hint = "It answers stored and never shows the instance. Ask whoever runs the archive; it is tried daily."
            destination.raise_condition("stored-not-visible", hint, lasting=True)
        due = now + (DAY_S if resends >= RESENDS else 0.0)
        destination.notebook.refused(number, verify_until_s=None, resends=resends, due_s=due, alone=True)

    async def _park(self, number: int, verdict: Verdict) -> None:
        parked = Delivery(state=DeliveryState.PARKED, since=self._wall(), reason=verdict.reason, text=verdict.text)
        await self._move([number], parked)
        destination = self._destination
        destination.notebook.forget(number)
        destination.box.bells.logged.ring()
        destination.box.bells.proven.ring()
        unparked = destination.guard.record_parked(str(number))
        if unparked is not None:
            await self._unpark(unparked)
            return
        hint = f"An instance was refused for good ({verdict.text}). See edged queue list --parked."
        destination.raise_condition("parked", hint, lasting=True)

    async def _unpark(self, unparked: Unpark) -> None:
        held = Delivery(state=DeliveryState.HELD, since=self._wall())
        await self._move([int(uid) for uid in unparked.uids], held, expected=(DeliveryState.PARKED,))
        self._destination.misconfigured("It refused five instances in a row and took none: check its settings.")

    async def _move(
        self, numbers: Iterable[int], to: Delivery, *, expected: tuple[DeliveryState, ...] = _UNSENT
    ) -> None:
        destination = self._destination

        def moved(txn: Transaction) -> None:
            for number in numbers:
                move(txn, number, destination.number, expected=expected, to=to)

        await destination.box.store.write(moved)

    def _raise(self, verdict: Verdict, name: str | None = None) -> None:
        condition = name or (verdict.condition.value if verdict.condition else "doubtful")
        self._destination.raise_condition(condition, verdict.text, lasting=True)

    def _wall(self) -> float:
        return self._destination.box.clock.wall()

    @staticmethod
    def _break(heard: Silence, began_s: float) -> Break:
        return Break(heard.sent_bytes, heard.elapsed_s)
