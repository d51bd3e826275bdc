"""What the box's answers to commitment requests rest on: proofs, memory, sound bytes, what destinations say."""

import math
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path

import pytest
import trio.testing
from msgspec import structs

from edged.config import Proof
from edged.config.choices import Duplicate
from edged.dicom.reasons import FailureReason
from edged.services import commitment
from edged.services.commitment_evidence import Unproven, Witness
from edged.services.commitment_judge import judge
from edged.store.chunks import delete_chunks
from edged.store.commit_memory import mark_lost
from edged.store.events import last_event
from edged.store.eviction import evict_oldest
from edged.store.instances import find_instance, instances_under, take_out
from edged.store.queue import drop_deliveries
from edged.store.records import DeliveryState, Instance, Reference
from edged.store.transaction import Transaction
from edged.telemetry.clock import ManualClock
from tests.support.box_kit import ARCHIVE, Box, opened_box
from tests.support.commitment_kit import moved
from tests.support.stow_kit import CT, Named, made, named

ONE, TWO, THREE = named(1), named(2), named(3)
GRACE_S = 600.0
COMMITTED = DeliveryState.COMMITTED
ABSENT, FAILED = FailureReason.NO_SUCH_OBJECT_INSTANCE, FailureReason.PROCESSING_FAILURE


class Saying:
    """A destination that says what the test wants; it keeps what it was asked for."""

    def __init__(self, answer: Proof | Unproven) -> None:
        self.answer = answer
        self.asked: list[str] = []
        self.questions = 0

    async def ask(self, references: Sequence[Reference]) -> Mapping[Reference, Proof | Unproven]:
        self.asked += [each.sop_instance_uid for each in references]
        self.questions += 1
        return dict.fromkeys(references, self.answer)


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Box]:
    async with opened_box(tmp_path, ARCHIVE) as opened:
        yield opened


@pytest.fixture
async def local(tmp_path: Path) -> AsyncIterator[Box]:
    async with opened_box(tmp_path, '[commitment]\nevidence = "local"\n') as opened:
        yield opened


async def ask(box: Box, *names: Named, uid: str = "2.25.1", sop_class: str = CT, placed: bool = False) -> None:
    wanted = tuple(
        Reference(
            sop_class_uid=sop_class,
            sop_instance_uid=each.instance,
            study_instance_uid=each.study if placed else "",
            series_instance_uid=each.series if placed else "",
        )
        for each in names
    )
    await box.commitment.request(uid, wanted, study_form=placed, digest=b"")


async def told(box: Box, uid: str = "2.25.1") -> list[int | None]:
    """What stands of a request now, after one walk."""
    await box.commitment.decide_open()
    request = await box.commitment.find(uid)
    assert request is not None
    return [each.reason for each in await box.commitment.references(request)]


def later(box: Box, seconds: float) -> None:
    assert isinstance(box.clock, ManualClock)
    box.clock.advance(seconds)


async def proven(box: Box, *names: Named, proof: str = "dicomweb") -> None:
    await box.stow(*(made(each) for each in names))
    for each in names:
        await moved(box, each, COMMITTED, proof=proof)


async def evict(box: Box) -> Collection[int]:
    evicted = await box.store.write(partial(evict_oldest, committed_before=9e12, least_bytes=0, now=box.clock.wall()))
    box.store.sweep_soon()
    return evicted


def witness(box: Box, answer: Proof | Unproven) -> Saying:
    saying = Saying(answer)
    witnesses: dict[int, Witness] = box.parts.surroundings.witnesses
    witnesses[box.routes.required[0]] = saying
    return saying


async def test_what_was_evicted_between_proof_and_answer_is_committed(box: Box) -> None:
    await box.stow(made(ONE))
    await ask(box, ONE)
    await moved(box, ONE, COMMITTED, proof="search")
    assert await evict(box)
    assert await told(box) == [0]


async def test_what_was_evicted_long_ago_is_committed_at_once(box: Box) -> None:
    await proven(box, ONE, TWO)
    assert len(await evict(box)) == 2
    later(box, 3 * 365 * 86_400.0)
    await ask(box, ONE, TWO, placed=True)
    request = await box.commitment.find("2.25.1")
    assert request is not None
    assert request.answered
    assert await told(box) == [0, 0]


async def test_a_memory_answers_for_its_class_and_place_only(box: Box) -> None:
    await proven(box, ONE)
    await evict(box)
    await ask(box, ONE, uid="2.25.1", sop_class="1.2.840.10008.5.1.4.1.1.7")
    assert await told(box, "2.25.1") == [FailureReason.CLASS_INSTANCE_CONFLICT]
    witness(box, Unproven.ABSENT)
    await ask(box, Named(ONE.instance, "1.2.3.9", ONE.study), uid="2.25.2", placed=True)
    assert await told(box, "2.25.2") == [None]
    later(box, GRACE_S)
    assert await told(box, "2.25.2") == [ABSENT]


@pytest.mark.parametrize("how", ["weak", "lost"])
async def test_a_memory_that_is_no_proof_today_is_asked_about(box: Box, how: str) -> None:
    await proven(box, ONE, proof="stored" if how == "weak" else "dicomweb")
    await evict(box)
    if how == "lost":
        await box.store.write(partial(mark_lost, sop_instance_uid=ONE.instance))
    archive = witness(box, Proof.DICOMWEB)
    await ask(box, ONE)
    assert await told(box) == [None]
    assert archive.asked == []
    later(box, GRACE_S)
    assert await told(box) == [0]


async def test_another_data_set_under_a_remembered_uid_must_be_proven_itself(box: Box) -> None:
    await proven(box, ONE)
    await evict(box)
    await box.stow(made(ONE, fill=b"\x22"))
    await ask(box, ONE)
    later(box, GRACE_S)
    assert await told(box) == [None]
    await moved(box, ONE, COMMITTED, proof="dicomweb")
    assert await told(box) == [0]


async def test_nobody_is_told_anything_while_two_data_sets_claim_a_uid(box: Box) -> None:
    box.door.duplicate = Duplicate.KEEP_BOTH
    await proven(box, ONE)
    await box.stow(made(ONE, fill=b"\x22"))
    await ask(box, ONE)
    later(box, GRACE_S)
    assert await told(box) == [None]
    assert await evict(box)
    assert await told(box) == [None]

    def discard(txn: Transaction) -> None:
        for number, conflict in list(instances_under(txn, ONE.instance)):
            drop_deliveries(txn, number, conflict)
            take_out(txn, number, conflict)
            delete_chunks(txn, number)

    await box.store.write(discard)
    assert await told(box) == [0]


async def test_a_box_that_is_an_archive_does_not_commit_to_what_it_doubts(local: Box) -> None:
    await local.stow(made(ONE), made(TWO))
    number = await number_of(local, ONE)
    local.store.suspects.note(number)
    await ask(local, ONE, TWO)
    assert await told(local) == [None, 0]
    later(local, GRACE_S)
    assert await told(local) == [None, 0]
    local.store.suspects.discard(number)
    assert await told(local) == [0, 0]


class Knowing:
    """A mender that knows which instances are bad."""

    def __init__(self, *bad: int) -> None:
        self.doubted = set(bad)

    async def mend(self, number: int, instance: Instance, **_: object) -> bool:
        raise AssertionError(f"nothing is sent again: {number} {instance}")


async def test_a_box_that_is_an_archive_denies_what_stays_damaged(local: Box) -> None:
    await local.stow(made(ONE), made(TWO))
    mender = Knowing(await number_of(local, ONE), await number_of(local, TWO))
    local.commitment.mender = mender
    await ask(local, ONE, TWO)
    assert await told(local) == [None, None]
    mender.doubted.discard(await number_of(local, TWO))
    assert await told(local) == [None, 0]
    later(local, GRACE_S)
    assert await told(local) == [FAILED, 0]


async def number_of(box: Box, name: Named) -> int:
    found = await box.store.read(partial(find_instance, sop_instance_uid=name.instance))
    assert found is not None
    return found[0]


@pytest.mark.parametrize(
    ("said", "answered"),
    [
        (Proof.DICOMWEB, 0),
        (Proof.SEARCH, 0),
        (Proof.STORED, FAILED),
        (Unproven.ABSENT, ABSENT),
        (Unproven.UNTOLD, FAILED),
        (Unproven.LATER, None),
        (Unproven.UNANSWERED, None),
    ],
)
async def test_the_destinations_are_asked_before_an_instance_is_denied(
    box: Box, said: Proof | Unproven, answered: int | None
) -> None:
    archive = witness(box, said)
    await ask(box, ONE)
    later(box, GRACE_S - 1)
    assert await told(box) == [None]
    assert archive.asked == []
    later(box, 1)
    assert await told(box) == [answered]
    assert archive.asked == [ONE.instance]


async def test_a_destination_that_does_not_answer_is_waited_for_and_asked_once_a_minute(box: Box) -> None:
    archive = witness(box, Unproven.UNANSWERED)
    await ask(box, ONE, TWO, THREE)
    later(box, GRACE_S)
    for _ in range(60):
        assert await told(box) == [None, None, None]
        later(box, 5)
    assert archive.questions <= 6
    assert len(archive.asked) <= 3 * 6
    archive.answer = Unproven.ABSENT
    later(box, 60)
    assert await told(box) == [ABSENT] * 3


async def test_without_a_required_destination_there_is_nobody_to_ask(tmp_path: Path) -> None:
    async with opened_box(tmp_path) as alone:
        await ask(alone, ONE)
        later(alone, GRACE_S)
        assert await told(alone) == [ABSENT]


async def test_an_instance_that_comes_while_a_destination_is_asked_is_not_denied(box: Box) -> None:
    class Slow(Saying):
        async def ask(self, references: Sequence[Reference]) -> Mapping[Reference, Proof | Unproven]:
            await box.stow(made(ONE))
            return await super().ask(references)

    box.parts.surroundings.witnesses[box.routes.required[0]] = Slow(Unproven.ABSENT)
    await ask(box, ONE)
    later(box, GRACE_S)
    assert await told(box) == [None]


async def test_whoever_waits_for_an_instance_is_found_by_its_event(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else is read, however many requests are open."""
    monkeypatch.setattr(commitment, "EVENTS", 3)
    names = [named(number) for number in range(12)]
    await box.stow(*map(made, names))
    for at, name in enumerate(names):
        await ask(box, name, THREE if name is not THREE else ONE, uid=f"2.25.{at}")
    after = await box.store.read(last_event)
    judged: list[str] = []

    def counting(txn: Transaction, reference: Reference, *rest: object, denied: bool) -> object:
        judged.append(reference.sop_instance_uid)
        return judge(txn, reference, *rest, denied=denied)  # type: ignore[arg-type]

    monkeypatch.setattr(commitment, "judge", counting)
    for name in (names[7], names[9]):
        await moved(box, name, COMMITTED, proof="dicomweb")
    after = await box.commitment.follow(after)
    assert set(judged) == {names[7].instance, names[9].instance}
    assert after == await box.store.read(last_event)
    judged.clear()
    assert await box.commitment.follow(after) == after
    assert judged == []


async def test_an_event_is_enough_to_decide(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first walk is over and the next never comes."""
    monkeypatch.setattr(commitment, "LOOK_AGAIN_S", math.inf)
    await box.stow(made(ONE))
    await ask(box, ONE)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(box.commitment.keep_deciding)
        await trio.testing.wait_all_tasks_blocked()
        await moved(box, ONE, COMMITTED, proof="dicomweb")
        while True:
            logged = box.bells.logged.next
            found = await box.commitment.find("2.25.1")
            if found is not None and found.answered:
                break
            await logged.wait()
        nursery.cancel_scope.cancel()


async def test_a_long_request_is_walked_in_slices(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commitment, "SLICE", 2)
    monkeypatch.setattr(commitment, "PAUSE_S", 0.0)
    names = [named(number) for number in range(7)]
    await proven(box, *names[:3])
    await ask(box, *names)
    await proven(box, *names[3:])
    assert await told(box) == [0] * 7
    request = await box.commitment.find("2.25.1")
    assert request is not None
    assert structs.asdict(request).items() >= {"left": 0, "failed": 0, "count": 7}.items()


ROUTED = f"""
[[destination]]
name = "images"
url = "http://images.example/"
[[destination]]
name = "reports"
url = "http://reports.example/"
[[route]]
name = "images"
to = ["images"]
when = {{sop_class = "{CT}"}}
[[route]]
name = "rest"
to = ["reports"]
"""


async def test_only_those_are_asked_whereto_the_rules_may_have_led(tmp_path: Path) -> None:
    async with opened_box(tmp_path, ROUTED) as routed:
        images, reports = Saying(Unproven.ABSENT), Saying(Proof.DICOMWEB)
        routed.parts.surroundings.witnesses.update(zip(routed.routes.required, (images, reports), strict=True))
        await ask(routed, ONE)
        await ask(routed, ONE, uid="2.25.2", sop_class="1.2.840.10008.5.1.4.1.1.88.11")
        later(routed, GRACE_S)
        assert await told(routed) == [ABSENT]
        assert await told(routed, "2.25.2") == [0]
        assert (images.questions, reports.questions) == (1, 1)


async def test_who_had_committed_to_what_is_lost_is_asked_again(box: Box) -> None:
    await proven(box, ONE)
    await evict(box)
    await box.store.write(partial(mark_lost, sop_instance_uid=ONE.instance))
    archive = witness(box, Unproven.ABSENT)
    await ask(box, ONE)
    later(box, GRACE_S)
    assert await told(box) == [ABSENT]
    archive.answer = Proof.DICOMWEB
    later(box, GRACE_S)
    await ask(box, ONE, uid="2.25.2")
    later(box, GRACE_S)
    assert await told(box, "2.25.2") == [0], "it was found again"
