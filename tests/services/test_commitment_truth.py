"""Whatever happens to what is under a UID, "committed" is said exactly while it is true (DESIGN §1.3, DICOM.md §6).

Requests are made and decided meanwhile, and the store is closed and opened again: what was answered stays answered.
"""

import shutil
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import cast

import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from edged.config import Commitment, Proof
from edged.config.choices import Duplicate
from edged.dicom.reasons import FailureReason
from edged.services.bell import Bells
from edged.services.commitment import CommitmentService
from edged.services.commitment_judge import Grounds, Undecided, judge
from edged.store.admission import Outcome
from edged.store.commit_memory import mark_lost, trim_memory
from edged.store.commitments import COMMITTED, read_request, references
from edged.store.eviction import evict_oldest, forget_oldest
from edged.store.instances import find_instance
from edged.store.queue import destination_id, move
from edged.store.records import Delivery, DeliveryState, Reference
from edged.store.store import Store, open_store
from edged.telemetry.clock import ManualClock
from tests.support.store_kit import CAPACITY, problems, put

CT = "1.2.840.10008.5.1.4.1.1.2"
UIDS = st.sampled_from(["1.1", "1.2"])
STATES = [state for state in DeliveryState if state is not DeliveryState.COMMITTED]
PROOFS = st.sampled_from([Proof.DICOMWEB, Proof.SEARCH, Proof.STORED])
GROUNDS = Grounds(Commitment())
MOST_STEPS = 30
RESTART = "restart"

Step = tuple[str, str, object]


@dataclass
class Known:
    """What is true of one UID: which data set it means, whether that is proven, and whether another claims it."""

    data: bytes | None = None
    proof: Proof | None = None
    is_here: bool = False
    is_claimed_twice: bool = False
    is_remembered: bool = False

    def is_committed(self) -> bool:
        known = self.is_here or self.is_remembered
        return known and not self.is_claimed_twice and self.proof in GROUNDS.settings.accept_proof


@dataclass
class Model:
    """A store, and beside it what is true."""

    store: Store
    known: dict[str, Known] = field(default_factory=dict)
    clock: ManualClock = field(default_factory=ManualClock)
    answers: dict[str, dict[str, int]] = field(default_factory=dict)
    """What was answered, by Transaction UID."""

    def of(self, uid: str) -> Known:
        return self.known.setdefault(uid, Known())

    async def receive(self, uid: str, how: object) -> None:
        data, duplicate = cast("tuple[bytes, Duplicate]", how)
        admitted = await put(self.store, data, uid, duplicate=duplicate)
        if admitted.outcome in {Outcome.STORED, Outcome.REPLACED}:
            claimed = self.of(uid).is_claimed_twice
            self.known[uid] = Known(data, is_here=True, is_claimed_twice=claimed)
        self.of(uid).is_claimed_twice |= admitted.outcome is Outcome.CONFLICT

    async def move(self, uid: str, to: object) -> None:
        found = self.store.read_now(partial(find_instance, sop_instance_uid=uid))
        if found is None:
            return
        state, proof = to if isinstance(to, tuple) else (to, None)
        delivery = Delivery(state=state, since=2000.0, proof=proof or "")
        await self.store.write(
            partial(move, number=found[0], destination=1, expected=tuple(DeliveryState), to=delivery)
        )
        self.of(uid).proof = proof

    async def evict(self, *_: object) -> None:
        await self.store.write(partial(evict_oldest, committed_before=9e9, least_bytes=0, now=5000.0))
        await self.store.write(partial(forget_oldest, keep=0))
        for known in self.known.values():
            if known.is_here and known.proof is not None:
                known.is_here, known.is_remembered = False, True

    async def lose(self, uid: str, _: object) -> None:
        await self.store.write(partial(mark_lost, sop_instance_uid=uid))
        self.of(uid).is_remembered = False

    async def forget(self, *_: object) -> None:
        await self.store.write(partial(trim_memory, keep=0))
        for known in self.known.values():
            known.is_remembered = False

    async def ask(self, *_: object) -> None:
        wanted = tuple(Reference(sop_class_uid=CT, sop_instance_uid=uid) for uid in ("1.1", "1.2"))
        transaction_uid = f"2.25.{len(self.answers) + 1}"
        self.answers[transaction_uid] = {}
        await self.service().request(transaction_uid, wanted, study_form=False, digest=b"")
        self.note_answers(transaction_uid)

    async def decide(self, *_: object) -> None:
        await self.service().decide_open()
        self.note_answers(*self.answers)

    async def pass_time(self, *_: object) -> None:
        self.clock.advance(GROUNDS.settings.grace_s)

    def service(self) -> CommitmentService:
        """Nothing of it outlives a step: it goes by the store alone."""
        return CommitmentService(self.store, GROUNDS.settings, self.clock, bells=Bells())

    def note_answers(self, *just_judged: str) -> None:
        """Require that what was just judged is true of now, and that all other answers are what they were."""
        for transaction_uid, answered in self.answers.items():
            request = self.store.read_now(partial(read_request, transaction_uid=transaction_uid))
            assert request is not None
            for each in self.store.read_now(partial(references, number=request.number)):
                uid, known = each.sop_instance_uid, self.of(each.sop_instance_uid)
                if uid in answered or transaction_uid not in just_judged:
                    assert each.reason == answered.get(uid)
                    continue
                assert (each.reason == COMMITTED) == known.is_committed(), (each, known)
                if each.reason == FailureReason.NO_SUCH_OBJECT_INSTANCE:
                    assert not known.is_here
                    assert self.clock.wall() >= request.received + GROUNDS.settings.grace_s
                if each.reason is not None:
                    answered[uid] = each.reason

    def require_all_true(self) -> None:
        self.note_answers()
        for uid in ("1.1", "1.2"):
            self.require_true(uid)

    def require_true(self, uid: str) -> None:
        reference = Reference(sop_class_uid=CT, sop_instance_uid=uid)
        for denied in (False, True):
            said = self.store.read_now(partial(judge, reference=reference, grounds=GROUNDS, denied=denied))
            known = self.of(uid)
            assert (said == COMMITTED) == known.is_committed(), (said, known)
            if known.is_claimed_twice:
                assert said is Undecided.WAITING
            elif not known.is_here and not known.is_committed():
                assert said is (Undecided.TO_ASK if denied else Undecided.WAITING)
            assert said is not FailureReason.NO_SUCH_OBJECT_INSTANCE  # that is for the destinations to say


STEPS = st.one_of(
    st.tuples(st.just("receive"), UIDS, st.tuples(st.sampled_from([b"a", b"b"]), st.sampled_from(Duplicate))),
    st.tuples(st.just("move"), UIDS, st.sampled_from(STATES)),
    st.tuples(st.just("move"), UIDS, st.tuples(st.just(DeliveryState.COMMITTED), PROOFS)),
    st.tuples(st.sampled_from(["evict", "lose", "forget"]), UIDS, st.none()),
    st.tuples(st.sampled_from(["ask", "decide", "pass_time", RESTART]), UIDS, st.none()),
)


def lives(steps: list[Step]) -> list[list[Step]]:
    """The steps between restarts."""
    found: list[list[Step]] = [[]]
    for step in steps:
        if step[0] == RESTART:
            found.append([])
        else:
            found[-1].append(step)
    return found


@settings(max_examples=60)
@given(st.lists(STEPS, max_size=MOST_STEPS))
def test_committed_is_said_exactly_while_it_is_true(steps: list[Step]) -> None:
    folder = Path(mkdtemp())

    async def run() -> None:
        model: Model | None = None
        for life in lives(steps):
            async with open_store(folder, CAPACITY, inline=True) as store:
                await store.write(partial(destination_id, name="archive"))
                model = replace(model, store=store) if model else Model(store)
                for what, uid, how in life:
                    await getattr(model, what)(uid, how)
                    model.require_all_true()
                model.require_all_true()
                assert problems(store) == []

    try:
        trio.run(run)
    finally:
        shutil.rmtree(folder)
