"""What a proof needs, and what keeps proving alive: kinds, classes and UIDs, hanging requests, endless answers."""

import json
from functools import partial
from pathlib import Path

import pytest
import trio

from edged.dicomweb.event_report import EventKind
from edged.store.commitments import asks, put_ask
from edged.store.records import Ask, DeliveryState
from edged.telemetry.clock import ManualClock
from edged.telemetry.conditions import Severity
from edged.upstream import looks
from tests.support.committing import Committing
from tests.support.forwarding_kit import Forwarding, destination, forwarding
from tests.support.scripted_archive import (
    Asked,
    Reply,
    Rule,
    ScriptedArchive,
    Stow,
    committed,
    report,
    scripted_archive,
)
from tests.support.stow_kit import named

UID = named(1).instance
OTHER_CLASS = "1.2.840.10008.5.1.4.1.1.88.11"


def failing(reason: int) -> Rule:
    """The rule that commits to nothing and gives a reason."""
    return lambda asked: committed(failed=dict.fromkeys(asked.listed, reason)) if asked.method == "POST" else Reply(404)


def already_there(archive: ScriptedArchive) -> None:
    """Let the archive store everything and say that it had it before."""

    def store(stow: Stow) -> Reply:
        archive.keep(stow)
        return report(failed=dict.fromkeys(stow.uids, 0x0111))

    archive.on_store = store


def hint_of(box: Forwarding, name: str) -> str:
    """What a condition says."""
    [condition] = [each for each in box.conditions.snapshot() if each.name == name]
    return condition.hint


async def test_what_was_only_found_is_not_proven_by_stored(tmp_path: Path) -> None:
    config = {"commitment": '["stored"]'}
    async with scripted_archive() as (archive, _), forwarding(tmp_path, destination(archive.url, **config)) as box:
        already_there(archive)
        await box.take_made(named(1))
        await box.until(lambda: box.condition_names() == {"no-proof:archive"}, step_s=5)
        archive.on_store = archive.store_all
        await box.take_made(*(named(n) for n in range(2, 9)))
        await box.until(lambda: box.at() == {"sent": 1, "committed": 7}, step_s=5)
        for _ in range(5):
            await box.pass_time(300)
        assert (box.delivery(UID).state, box.delivery(UID).proof) == (DeliveryState.SENT, "")
        assert '"search"' in hint_of(box, "no-proof:archive")
        assert sum(each.kind is EventKind.CONDITION_RAISED for each in box.events()) == 1


async def test_what_was_only_found_is_proven_by_search_where_it_is_listed(tmp_path: Path) -> None:
    config = {"commitment": '["stored", "search"]'}
    async with scripted_archive() as (archive, _), forwarding(tmp_path, destination(archive.url, **config)) as box:
        already_there(archive)
        await box.take_made(named(1))
        await box.until(lambda: box.at() == {"committed": 1}, step_s=5)
        assert (box.delivery(UID).evidence, box.delivery(UID).proof) == ("found", "search")


async def test_a_weaker_listed_kind_serves_when_the_stronger_is_not_to_be_had_and_that_is_told(tmp_path: Path) -> None:
    config = {"commitment": '["search", "stored"]'}
    async with scripted_archive() as (archive, _), forwarding(tmp_path, destination(archive.url, **config)) as box:
        archive.on_look = lambda _: Reply(500)
        await box.take_made(named(1), named(2))
        await box.until(lambda: box.at() == {"committed": 2}, step_s=5)
        assert {box.delivery(named(n).instance).proof for n in (1, 2)} == {"stored"}
        assert len(archive.looks) >= 3  # one passing fault takes no proof away
        [condition] = box.conditions.snapshot()
        assert (condition.name, condition.severity) == ("weaker-proof:archive", Severity.INFO)
        assert box.stands().proof == "stored"
        archive.on_look = archive.show
        await box.pass_time(700)
        await box.take_made(named(3))
        await box.until(lambda: box.at() == {"committed": 3}, step_s=1)
        assert box.delivery(named(3).instance).proof == "search"
        assert box.condition_names() == set()


async def test_silence_takes_no_proof_away(tmp_path: Path) -> None:
    config = {"commitment": '["search", "stored"]'}
    async with scripted_archive() as (archive, _), forwarding(tmp_path, destination(archive.url, **config)) as box:
        archive.on_look = lambda _: Reply(reset=True)
        await box.take_made(named(1), named(2))
        for _ in range(20):
            await box.pass_time(60)
        assert box.at() == {"sent": 2}
        archive.on_look = archive.show
        await box.until(lambda: box.at() == {"committed": 2}, step_s=60)
        assert box.delivery(UID).proof == "search"


async def test_committed_under_another_sop_class_is_not_committed(tmp_path: Path) -> None:
    async with scripted_archive() as (archive, _), forwarding(tmp_path, destination(archive.url)) as box:

        def other(asked: Asked) -> Reply:
            items = [_item(OTHER_CLASS, uid) for uid in asked.listed]
            return Reply(200, json.dumps({"00081199": {"vr": "SQ", "Value": items}}).encode())

        archive.on_commitment = other
        await box.take_made(named(1))
        for _ in range(10):
            await box.pass_time(30)
        assert box.at() == {"sent": 1}
        archive.on_commitment = Committing(archive).at_once
        await box.until(lambda: box.at() == {"committed": 1}, step_s=60)


def _item(sop_class: str, uid: str) -> dict[str, object]:
    return {"00081150": {"vr": "UI", "Value": [sop_class]}, "00081155": {"vr": "UI", "Value": [uid]}}


async def test_many_that_cannot_be_proven_keep_no_other_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looks, "MOST_NOTES", 10)
    monkeypatch.setattr("edged.upstream.prover.AT_ONCE", 4)
    async with scripted_archive() as (archive, _), forwarding(tmp_path, destination(archive.url)) as box:
        bad = {named(n).instance for n in range(1, 31)}

        def commit(asked: Asked) -> Reply:
            listed = asked.listed
            return committed([uid for uid in listed if uid not in bad], {uid: 0x0110 for uid in listed if uid in bad})

        archive.on_commitment = commit
        await box.take_made(*(named(n) for n in range(1, 31)))
        await box.until(lambda: box.at() == {"sent": 30})
        for _ in range(10):
            await box.pass_time(30)
        [uid] = await box.take_made(named(50))
        await box.until(lambda: box.delivery(uid).state is DeliveryState.COMMITTED, step_s=10)
        asked = sum(len(each.listed) for each in archive.commitments)
        for _ in range(60):
            await box.pass_time(60)
        assert sum(len(each.listed) for each in archive.commitments) - asked <= 30 * 12 * 2
        bad.clear()
        await box.until(lambda: box.at() == {"committed": 31}, step_s=60)


async def test_a_corrected_wall_clock_makes_nothing_overdue(tmp_path: Path) -> None:
    async with scripted_archive() as (archive, _), forwarding(tmp_path, destination(archive.url)) as box:
        archive.on_store = lambda stow: report(stow.uids)
        archive.on_commitment = failing(0x0112)
        await box.take_made(named(1))
        await box.until(lambda: box.at() == {"sent": 1})
        box.clock.set_wall(box.clock.wall() + 40 * 86400)
        for _ in range(20):
            await box.pass_time(1)
        assert archive.sent_uids == [UID]


async def test_resends_are_counted_over_restarts(tmp_path: Path) -> None:
    clock = ManualClock()
    async with scripted_archive() as (archive, _):
        archive.on_store = lambda stow: report(stow.uids)
        archive.on_commitment = failing(0x0112)
        config = destination(archive.url, visible_within='"1m"')
        async with forwarding(tmp_path, config, clock, keep=True) as box:
            await box.take_made(named(1))
            await box.until(lambda: len(archive.stows) == 3, step_s=60)
        async with forwarding(tmp_path, config, clock, keep=True) as box:
            await box.until(lambda: "stored-not-visible:archive" in box.condition_names(), step_s=60)
            assert archive.sent_uids == [UID] * 4
            assert box.delivery(UID).resends == 3
        async with forwarding(tmp_path, config, clock) as box:
            await box.until(lambda: "stored-not-visible:archive" in box.condition_names(), step_s=60)
            assert archive.sent_uids == [UID] * 4


async def test_a_request_that_hangs_holds_no_other_up(tmp_path: Path) -> None:
    async with scripted_archive() as (archive, _), forwarding(tmp_path, destination(archive.url)) as box:
        gate = trio.Event()
        rule = Committing(archive)

        def hang(_: Asked) -> Reply:
            archive.on_commitment = rule.at_once
            return Reply(503, after=gate)

        archive.on_commitment = hang
        await box.take_made(named(1))
        await box.until(lambda: len(archive.commitments) == 1, step_s=1)
        await box.take_made(*(named(n) for n in range(2, 5)))
        await box.until(lambda: box.at() == {"sent": 1, "committed": 3}, step_s=1)
        gate.set()
        await box.until(lambda: box.at() == {"committed": 4}, step_s=5)
        listed = [uid for asked in archive.commitments for uid in asked.listed]
        assert listed.count(UID) == 2


async def test_a_search_that_hangs_holds_no_request_up(tmp_path: Path) -> None:
    config = {"commitment": '["dicomweb", "search"]'}
    async with scripted_archive() as (archive, _), forwarding(tmp_path, destination(archive.url, **config)) as box:
        gate = trio.Event()
        archive.on_look = lambda _: Reply(404, after=gate)
        await box.take_made(named(1))
        await box.until(lambda: len(archive.looks) == 1, step_s=1)
        archive.on_commitment = Committing(archive)
        await box.pass_time(700)
        await box.take_made(named(2))
        await box.until(lambda: box.at() == {"sent": 1, "committed": 1}, step_s=5)
        gate.set()
        await box.until(lambda: box.at() == {"committed": 2}, step_s=5)


@pytest.mark.parametrize("reason", [0x0110, 0x0112])
async def test_what_is_never_committed_is_told_after_a_day(tmp_path: Path, reason: int) -> None:
    """0112H and shown all the same, or 0110H for ever: nothing moves, and nobody would know."""
    async with scripted_archive() as (archive, _), forwarding(tmp_path, destination(archive.url)) as box:
        archive.on_commitment = failing(reason)
        await box.take_made(named(1))
        await box.until(lambda: box.at() == {"sent": 1})
        for _ in range(23):
            await box.pass_time(3600)
        assert box.condition_names() == set()
        await box.until(lambda: box.condition_names() == {"not-committed:archive"}, step_s=3600)
        assert hint_of(box, "not-committed:archive").startswith("1 instance is sent and not committed, for 1.0 days;")
        assert set(archive.times.values()) == {1}
        archive.on_commitment = Committing(archive).at_once
        await box.until(lambda: box.at() == {"committed": 1} and not box.condition_names(), step_s=300)


async def test_a_request_of_which_nothing_is_left_is_dropped(tmp_path: Path) -> None:
    clock = ManualClock()
    async with scripted_archive() as (archive, _):
        archive.on_commitment = Committing(archive).at_once
        async with forwarding(tmp_path, destination(archive.url), clock, keep=True) as box:
            number = box.routes.ids["archive"]
            ask = Ask(numbers=(4711,), created=0.0)
            await box.store.write(partial(put_ask, destination=number, transaction_uid="1.2.3", ask=ask))
        async with forwarding(tmp_path, destination(archive.url), clock) as box:
            await box.take_made(named(1))
            await box.until(lambda: box.at() == {"committed": 1}, step_s=5)
            assert "1.2.3" not in {each.transaction_uid for each in archive.commitments}
            assert box.store.read_now(partial(asks, destination=number)) == {}
