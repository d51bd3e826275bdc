"""Explaining: an instance from its arrival to after its eviction, conflicts, and studies by their exceptions."""

from functools import partial
from pathlib import Path

import pytest

from edged.services.explain_values import At, Explained, StudyExplained
from edged.services.explaining import NOT_CONFIGURED, Explaining
from edged.services.explaining_study import AT_ONCE, ExplainingStudy
from edged.store.commit_memory import mark_lost
from edged.store.commitments import put_ask
from edged.store.eviction import evict_oldest, forget_oldest
from edged.store.history import note
from edged.store.instances import find_instance
from edged.store.queue_walk import EntryState
from edged.store.records import Ask, DeliveryState, Happened, HistoryEntry
from edged.telemetry.clock import ManualClock
from tests.support.box_kit import ARCHIVE, Box, opened_box
from tests.support.commitment_kit import JSON, moved, sop_form
from tests.support.stow_kit import STUDY, Named, made, named

OTHER = '[[destination]]\nname = "other"\nurl = "http://127.0.0.1:9"\nrequired = false\n'
RULE = '[[route]]\nname = "pictures"\nto = ["archive"]\nwhen = { modality = "*" }\n[[route]]\nname = "rest"\n'
ONE, TWO, THREE = named(1), named(2), named(3)


async def explained(box: Box, uid: str) -> Explained:
    explaining = Explaining(box.store, box.routes, box.clock, hands=box.parts.surroundings.hands)
    found = await explaining.instance(uid)
    assert found is not None
    return found


async def study(box: Box, uid: str = STUDY, *, offset: int = 0, limit: int = 500) -> StudyExplained:
    explaining = ExplainingStudy(box.store, box.routes, box.clock, hands=box.parts.surroundings.hands)
    found = await explaining.study(uid, offset=offset, limit=limit)
    assert found is not None
    return found


async def number_of(box: Box, name: Named) -> int:
    found = await box.store.read(partial(find_instance, sop_instance_uid=name.instance))
    assert found is not None
    return found[0]


def at(found: Explained) -> At:
    """How far the one instance is at the first destination."""
    [life] = found.instances
    return life.destinations[0]


async def test_nothing_is_known(tmp_path: Path) -> None:
    async with opened_box(tmp_path, ARCHIVE) as box:
        explaining = Explaining(box.store, box.routes, box.clock, hands={})
        assert await explaining.instance("1.2.3") is None
        assert await explaining.instance("conflict-1") is None
        assert await ExplainingStudy(box.store, box.routes, box.clock, hands={}).study("1.2.3") is None


async def test_where_it_came_from_and_what_it_waits_for(tmp_path: Path) -> None:
    async with opened_box(tmp_path, ARCHIVE + OTHER + RULE) as box:
        await box.stow(made(ONE))
        found = await explained(box, ONE.instance)
        [life] = found.instances
        assert (life.intake, life.sender, life.rule) == ("stow", "anonymous", "rest")
        assert life.address == "127.0.0.1"
        assert (life.study_instance_uid, life.standing, life.conflict) == (STUDY, "held", None)
        archive, other = life.destinations
        assert (archive.destination, archive.required, archive.state) == ("archive", True, EntryState.PENDING)
        assert (other.destination, other.required, other.configured) == ("other", False, True)
        assert archive.waits_for == "forwarding to begin"
        assert [(each.what, each.time) for each in found.moments] == [("received", life.received)]
        assert found.evicted is None


async def test_every_answer_stands_in_its_place_in_time(tmp_path: Path) -> None:
    clock = ManualClock()
    async with opened_box(tmp_path, ARCHIVE, clock=clock) as box:
        await box.stow(made(ONE))
        number = await number_of(box, ONE)
        clock.advance(10.0)
        said = HistoryEntry(
            what=Happened.ANSWERED,
            time=clock.wall(),
            destination=box.routes.all[0],
            batch="b1",
            status=409,
            reason=0xA900,
            text="no such modality here",
            times=3,
            until=clock.wall() + 5,
        )
        await box.store.write(partial(note, number=number, entry=said))
        clock.advance(10.0)
        await moved(box, ONE, DeliveryState.PARKED, reason=0xA900)
        found = await explained(box, ONE.instance)
    assert [each.what for each in found.moments] == ["received", "answered", "parked"]
    answered = found.moments[1]
    assert (answered.destination, answered.batch, answered.status, answered.times) == ("archive", "b1", 409, 3)
    assert answered.reason == "A900H data set does not match SOP class"
    assert answered.text == "no such modality here"
    assert (at(found).state, at(found).reason) == (EntryState.PARKED, "A900H data set does not match SOP class")


async def test_open_requests_of_both_kinds_are_named(tmp_path: Path) -> None:
    async with opened_box(tmp_path, ARCHIVE) as box:
        await box.stow(made(ONE), made(TWO))
        await moved(box, ONE, DeliveryState.SENT)
        ask = Ask(numbers=(await number_of(box, ONE),), created=5.0)
        there = box.routes.all[0]
        await box.store.write(partial(put_ask, destination=there, transaction_uid="2.25.7", ask=ask))
        assert (await box.ask("POST", "/commitment-requests/2.25.8", JSON, sop_form([ONE]))).status in {200, 202}
        found = await explained(box, ONE.instance)
        assert [(each.transaction_uid, each.created) for each in at(found).asked] == [("2.25.7", 5.0)]
        assert found.instances[0].requests == ("2.25.8",)
        other = await explained(box, TWO.instance)
        assert (at(other).asked, other.instances[0].requests) == ((), ())


async def test_what_was_let_go_is_told_of_as_long_as_it_is_remembered(tmp_path: Path) -> None:
    clock = ManualClock()
    async with opened_box(tmp_path, ARCHIVE, clock=clock) as box:
        await box.stow(made(ONE))
        received = clock.wall()
        await moved(box, ONE, DeliveryState.STUCK)
        clock.advance(10.0)
        await moved(box, ONE, DeliveryState.COMMITTED, proof="dicomweb")
        before = await explained(box, ONE.instance)
        assert (before.instances[0].may_go, at(before).committed, at(before).proof) == (True, True, "dicomweb")
        clock.advance(10.0)
        gone = partial(evict_oldest, committed_before=clock.wall(), least_bytes=0, now=clock.wall())
        assert await box.store.write(gone)
        found = await explained(box, ONE.instance)
        assert found.instances == ()
        assert found.evicted is not None
        assert (found.evicted.proofs, found.evicted.lost) == ({"archive": "dicomweb"}, False)
        assert [(each.what, each.time - received) for each in found.moments] == [
            ("stuck", 0.0),
            ("committed", 10.0),
            ("evicted", 20.0),
        ]
        await box.store.write(partial(mark_lost, sop_instance_uid=ONE.instance))
        found = await explained(box, ONE.instance)
        assert found.evicted is not None
        assert found.evicted.lost
        await box.store.write(partial(forget_oldest, keep=0))
        assert (await explained(box, ONE.instance)).evicted is not None


async def test_a_conflict_is_told_under_both_names(tmp_path: Path) -> None:
    keep = f'duplicate = "keep-both"\n[origin]\nbind = ["http://127.0.0.1:0"]\n{ARCHIVE}'
    async with opened_box(tmp_path, keep) as box:
        await box.stow(made(ONE))
        await box.stow(made(ONE, fill=b"\x33"))
        found = await explained(box, ONE.instance)
        first, second = found.instances
        assert (first.conflict, second.standing) == (None, "conflict")
        assert second.conflict == f"conflict-{second.number}"
        assert [each.state for each in second.destinations] == [None]
        alone = await explained(box, second.conflict)
        assert [each.number for each in alone.instances] == [second.number]
        assert alone.evicted is None


async def test_a_destination_that_left_the_settings_is_waited_for(tmp_path: Path) -> None:
    async with opened_box(tmp_path, ARCHIVE + OTHER, keep=True) as box:
        await box.stow(made(ONE))
    async with opened_box(tmp_path, ARCHIVE) as box:
        [life] = (await explained(box, ONE.instance)).instances
        assert [(each.configured, each.waits_for == NOT_CONFIGURED) for each in life.destinations] == [
            (True, False),
            (False, True),
        ]
        assert [each.configured for each in (await study(box)).destinations] == [True, False]


async def test_a_study_is_counted_and_its_exceptions_come_first(tmp_path: Path) -> None:
    names = [named(n) for n in range(1, 8)]
    states = [
        DeliveryState.COMMITTED,
        DeliveryState.SENT,
        DeliveryState.ON_HOLD,
        DeliveryState.STUCK,
        DeliveryState.PARKED,
        DeliveryState.COMMITTED,
    ]
    async with opened_box(tmp_path, ARCHIVE) as box:
        await box.stow(*(made(each) for each in names))
        for name, state in zip(names, states, strict=False):
            await moved(box, name, state, proof="search", reason=0xA900 if state is DeliveryState.PARKED else None)
        found = await study(box)
        [archive] = found.destinations
        assert (archive.committed, archive.sent, archive.pending) == (2, 1, 1)
        assert (archive.on_hold, archive.stuck, archive.parked) == (1, 1, 1)
        assert (found.instances, found.uncommitted_total) == (7, 5)
        assert [each.at.state for each in found.uncommitted] == [
            EntryState.PARKED,
            EntryState.STUCK,
            EntryState.ON_HOLD,
            EntryState.PENDING,
            EntryState.SENT,
        ]
        assert found.uncommitted[0].sop_instance_uid == names[4].instance
        assert found.uncommitted[0].at.reason == "A900H data set does not match SOP class"
        page = await study(box, offset=1, limit=2)
        assert page.uncommitted == found.uncommitted[1:3]
        assert page.uncommitted_total == 5
        assert (await study(box, offset=99)).uncommitted == ()
        series = await study(box, names[0].series)
        assert (series.series_instance_uid, series.instances) == (names[0].series, 7)


@pytest.mark.parametrize("limit", [1, 7])
async def test_a_study_of_several_reads_is_told_as_a_whole(limit: int, tmp_path: Path) -> None:
    many = 6 * AT_ONCE + 100
    async with opened_box(tmp_path, ARCHIVE) as box:
        for first in range(0, many, 100):
            await box.stow(*(made(named(n), size=600) for n in range(first, first + 100)))
        last = named(many - 1)
        await moved(box, last, DeliveryState.PARKED, reason=0xA900)
        found = await study(box, limit=limit)
        assert (found.instances, found.uncommitted_total) == (many, many)
        assert len(found.uncommitted) == limit
        assert found.uncommitted[0].sop_instance_uid == last.instance
