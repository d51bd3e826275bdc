"""Storage commitment as user agent: what is durable before it is asked, and what each answer leads to and proves."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import trio

from edged.store.commitments import asks
from edged.store.records import DeliveryState
from edged.store.waiting import waiting
from edged.telemetry.clock import ManualClock
from edged.upstream.asker import Asker
from edged.upstream.prover import WORTH_A_REQUEST, Prover
from tests.support.committing import Committing
from tests.support.forwarding_kit import Forwarding, destination, forwarding
from tests.support.scripted_archive import Asked, Reply, committed, scripted_archive
from tests.support.stow_kit import named

EIGHT = [named(n) for n in range(1, 9)]
UIDS = {each.instance for each in EIGHT}


def open_asks(box: Forwarding) -> set[str]:
    """The Transaction UIDs that the store holds."""
    return set(box.store.read_now(partial(asks, destination=box.routes.ids["archive"])))


async def test_the_result_may_come_with_the_answer(tmp_path: Path) -> None:
    async with scripted_archive() as (archive, _), forwarding(tmp_path, destination(archive.url)) as box:
        archive.on_commitment = Committing(archive).at_once
        await box.take_made(*EIGHT)
        await box.until(lambda: box.at() == {"committed": 8})
        assert {box.delivery(uid).proof for uid in UIDS} == {"dicomweb"}
        assert {each.method for each in archive.commitments} == {"POST"}
        assert sum(len(each.listed) for each in archive.commitments) == 8
        assert open_asks(box) == set()
        asked = archive.commitments[0]
        assert asked.all("content-type") == ["application/dicom+json"]
        assert asked.all("accept") == ["application/dicom+json"]
        assert archive.looks == []


@pytest.mark.parametrize("count", [WORTH_A_REQUEST - 1, WORTH_A_REQUEST])
async def test_many_are_kept_waiting_for_no_more_when_no_more_are_on_their_way(tmp_path: Path, count: int) -> None:
    """A few wait until more may have gathered; of all that a study brings the last are asked about at once."""
    async with scripted_archive() as (archive, _), forwarding(tmp_path, destination(archive.url)) as box:
        archive.on_commitment = Committing(archive).at_once
        await box.take_made(named(100))
        await box.until(lambda: box.at() == {"committed": 1})
        box.surroundings.gather_s = 3600.0
        await box.pass_time(0)  # from the next look on
        await box.take_made(*(named(n) for n in range(1, count + 1)))
        if count == WORTH_A_REQUEST:
            await box.until(lambda: box.at() == {"committed": 1 + count})
        else:
            await box.until(lambda: box.at() == {"committed": 1, "sent": count})
            await box.pass_time(60)
            assert box.at() == {"committed": 1, "sent": count}


async def test_a_request_leaves_in_the_round_that_opens_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is noted while it is opened may be waited for, but not by what is open already."""
    async with scripted_archive() as (archive, _), forwarding(tmp_path, destination(archive.url)) as box:
        archive.on_commitment = Committing(archive).at_once
        ask, round_, left = Asker.ask, Prover._round, list[float | None]()

        async def ask_at_last(asker: Asker, numbers: Sequence[int]) -> None:
            await ask(asker, numbers)
            left.append(asker.next_due_s)

        async def look_after_it(prover: Prover, nursery: trio.Nursery) -> float:
            pause = await round_(prover, nursery)
            left.append(prover._asker.next_due_s)
            return pause

        monkeypatch.setattr(Asker, "ask", ask_at_last)
        monkeypatch.setattr(Prover, "_round", look_after_it)
        await box.take_made(named(1))
        await box.until(lambda: box.at() == {"committed": 1})
        opened = [at for at, each in enumerate(left) if each is not None]
        assert len(opened) == 1
        assert left[opened[0] + 1] is None


async def test_202_is_checked_after_retry_after(tmp_path: Path) -> None:
    async with scripted_archive() as (archive, _), forwarding(tmp_path, destination(archive.url)) as box:
        archive.on_commitment = Committing(archive, after=3)
        await box.take_made(*EIGHT)
        await box.until(lambda: box.at() == {"sent": 8} and bool(archive.commitments))
        await box.pass_time(4)
        assert {each.method for each in archive.commitments} == {"POST"}
        await box.until(lambda: box.at() == {"committed": 8}, step_s=5)
        assert open_asks(box) == set()


async def test_the_transaction_uid_is_durable_before_it_leaves_and_outlives_a_lost_answer(tmp_path: Path) -> None:
    async with scripted_archive() as (archive, _), forwarding(tmp_path, destination(archive.url)) as box:
        rule = Committing(archive)
        seen: list[bool] = []

        def lose(asked: Asked) -> Reply:
            seen.append(asked.transaction_uid in open_asks(box))
            rule(asked)
            archive.on_commitment = rule
            return Reply(reset=True)

        archive.on_commitment = lose
        await box.take_made(named(1))
        await box.until(lambda: box.at() == {"committed": 1}, step_s=10)
        assert seen == [True]
        assert [each.method for each in archive.commitments] == ["POST", "GET"]
        assert len({each.transaction_uid for each in archive.commitments}) == 1


async def test_a_lost_request_is_made_again_under_the_same_uid(tmp_path: Path) -> None:
    async with scripted_archive() as (archive, _), forwarding(tmp_path, destination(archive.url)) as box:
        rule = Committing(archive)

        def lose(_: Asked) -> Reply:
            archive.on_commitment = rule
            return Reply(reset=True)

        archive.on_commitment = lose
        await box.take_made(named(1))
        await box.until(lambda: box.at() == {"committed": 1}, step_s=10)
        assert [each.method for each in archive.commitments] == ["POST", "GET", "POST", "GET"]
        assert len({each.transaction_uid for each in archive.commitments}) == 1


async def test_a_restart_in_the_middle_goes_on_with_the_same_uid(tmp_path: Path) -> None:
    clock = ManualClock()
    async with scripted_archive() as (archive, _):
        rule = Committing(archive)
        archive.on_commitment = lambda asked: replace(rule(asked), status=202, body=b"")
        async with forwarding(tmp_path, destination(archive.url), clock, keep=True) as box:
            await box.take_made(*EIGHT)
            await box.until(lambda: box.at() == {"sent": 8} and sum(map(len, rule.requested.values())) == 8)
            before = open_asks(box)
            assert before == set(rule.requested)
        archive.on_commitment = rule
        archive.commitments.clear()
        async with forwarding(tmp_path, destination(archive.url), clock) as box:
            await box.until(lambda: box.at() == {"committed": 8}, step_s=5)
            assert {each.method for each in archive.commitments} == {"GET"}
            assert {each.transaction_uid for each in archive.commitments} == before
            assert open_asks(box) == set()
        assert set(archive.times.values()) == {1}


async def test_409_means_a_new_uid_at_once(tmp_path: Path) -> None:
    async with scripted_archive() as (archive, _), forwarding(tmp_path, destination(archive.url)) as box:
        rule = Committing(archive)

        def in_use(_: Asked) -> Reply:
            archive.on_commitment = rule
            return Reply(409)

        archive.on_commitment = in_use
        await box.take_made(named(1))
        await box.until(lambda: box.at() == {"committed": 1}, step_s=5)
        first, second = (each for each in archive.commitments if each.method == "POST")
        assert first.transaction_uid != second.transaction_uid
        assert open_asks(box) == set()


async def test_409_for_ever_is_paced_and_told(tmp_path: Path) -> None:
    async with scripted_archive() as (archive, _), forwarding(tmp_path, destination(archive.url)) as box:
        archive.on_commitment = lambda _: Reply(409)
        await box.take_made(named(1))
        await box.until(lambda: "commitment-refused:archive" in box.condition_names(), step_s=1)
        before = len(archive.commitments)
        for _ in range(10):
            await box.pass_time(60)
        assert len(archive.commitments) - before <= 20
        assert box.at() == {"sent": 1}
        assert len(open_asks(box)) == 1
        archive.on_commitment = Committing(archive)
        await box.until(lambda: box.at() == {"committed": 1}, step_s=60)
        assert box.condition_names() == set()


async def test_what_the_result_does_not_name_is_asked_again_under_a_new_uid(tmp_path: Path) -> None:
    async with scripted_archive() as (archive, _), forwarding(tmp_path, destination(archive.url)) as box:
        rule = Committing(archive)
        missing = named(3).instance

        def forgetful(asked: Asked) -> Reply:
            left = [uid for uid in asked.listed if uid != missing]
            if missing in asked.listed:
                archive.on_commitment = rule.at_once
            return committed(left)

        archive.on_commitment = forgetful
        await box.take_made(*EIGHT)
        await box.until(lambda: box.at() == {"committed": 8}, step_s=1)
        asked_for = [each for each in archive.commitments if missing in each.listed]
        assert len(asked_for) == 2
        assert len({each.transaction_uid for each in asked_for}) == 2
        assert set(archive.times.values()) == {1}


async def test_in_both_lists_is_failed(tmp_path: Path) -> None:
    async with scripted_archive() as (archive, _), forwarding(tmp_path, destination(archive.url)) as box:
        both = named(1).instance
        archive.on_commitment = lambda asked: committed(
            asked.listed, {uid: 0x0110 for uid in asked.listed if uid == both}
        )
        await box.take_made(*EIGHT)
        await box.until(lambda: box.at() == {"committed": 7, "sent": 1})
        for _ in range(5):
            await box.pass_time(300)
        assert box.at() == {"committed": 7, "sent": 1}
        archive.on_commitment = Committing(archive).at_once
        await box.until(lambda: box.at() == {"committed": 8}, step_s=60)


@pytest.mark.parametrize("reason", [0x0122, 0x0119])
async def test_what_it_will_never_keep_is_parked_once_it_keeps_others(tmp_path: Path, reason: int) -> None:
    async with scripted_archive() as (archive, _), forwarding(tmp_path, destination(archive.url)) as box:
        refused = named(1).instance
        archive.on_commitment = lambda asked: committed(
            [uid for uid in asked.listed if uid != refused], {uid: reason for uid in asked.listed if uid == refused}
        )
        await box.take_made(named(1))
        await box.until(lambda: "commitment-refused:archive" in box.condition_names())
        assert box.at() == {"sent": 1}
        await box.take_made(named(2))
        await box.until(lambda: box.at() == {"parked": 1, "committed": 1}, step_s=5)
        assert box.delivery(refused).reason == reason
        await box.until(lambda: box.condition_names() == {"parked:archive"})


@pytest.mark.parametrize("reason", [0x0122, 0x0119])
async def test_a_destination_that_refuses_to_commit_to_anything_parks_nothing(tmp_path: Path, reason: int) -> None:
    async with scripted_archive() as (archive, _), forwarding(tmp_path, destination(archive.url)) as box:
        archive.on_commitment = Committing(archive).at_once
        await box.take_made(named(50))
        await box.until(lambda: box.at() == {"committed": 1}, step_s=1)
        archive.on_commitment = lambda asked: committed(failed=dict.fromkeys(asked.listed, reason))
        await box.take_made(*(named(n) for n in range(1, 21)))
        await box.until(lambda: box.at() == {"committed": 1, "sent": 20}, step_s=0)
        for _ in range(10):
            await box.pass_time(60)
        assert box.at() == {"committed": 1, "sent": 20}
        assert "commitment-refused:archive" in box.condition_names()
        archive.on_commitment = Committing(archive).at_once
        await box.until(lambda: box.at() == {"committed": 21}, step_s=60)


async def test_no_such_object_is_sent_again_after_visible_within(tmp_path: Path) -> None:
    async with scripted_archive() as (archive, _), forwarding(tmp_path, destination(archive.url)) as box:
        archive.on_commitment = lambda asked: committed(failed=dict.fromkeys(asked.listed, 0x0112))
        archive.on_look = lambda _: Reply(404)
        [uid] = await box.take_made(named(1))
        for _ in range(14):
            await box.pass_time(60)
        assert archive.times == {uid: 1}
        archive.on_look, archive.on_commitment = archive.show, Committing(archive).at_once
        archive.lose(uid)
        await box.until(lambda: box.at() == {"committed": 1}, step_s=60)
        assert archive.times == {uid: 2}


async def test_not_offered_and_search_listed_is_proven_by_search_and_asked_again_later(tmp_path: Path) -> None:
    config = {"commitment": '["dicomweb", "search"]'}
    async with scripted_archive() as (archive, _), forwarding(tmp_path, destination(archive.url, **config)) as box:
        await box.take_made(*EIGHT)
        await box.until(lambda: box.at() == {"committed": 8})
        assert {box.delivery(uid).proof for uid in UIDS} == {"search"}
        asked = len(archive.commitments)
        await box.take_made(named(9))
        await box.until(lambda: box.at() == {"committed": 9})
        assert len(archive.commitments) == asked
        archive.on_commitment = Committing(archive).at_once
        await box.pass_time(700)
        await box.take_made(named(10))
        await box.until(lambda: box.at() == {"committed": 10})
        assert box.delivery(named(10).instance).proof == "dicomweb"
        assert box.condition_names() == set()


async def test_a_kind_of_proof_that_is_not_listed_is_never_used(tmp_path: Path) -> None:
    async with scripted_archive() as (archive, _), forwarding(tmp_path, destination(archive.url)) as box:
        await box.take_made(*EIGHT)
        await box.until(lambda: box.condition_names() == {"no-proof:archive"})
        for _ in range(10):
            await box.pass_time(300)
        assert box.at() == {"sent": 8}
        assert archive.looks == []
        assert 1 <= len({each.transaction_uid for each in archive.commitments}) <= 12
        archive.on_commitment = Committing(archive).at_once
        await box.until(lambda: box.at() == {"committed": 8}, step_s=60)
        assert box.condition_names() == set()
        assert {box.delivery(uid).proof for uid in UIDS} == {"dicomweb"}


async def test_a_proxys_passing_404_takes_no_proof_away(tmp_path: Path) -> None:
    """404 to the result check of a request that was accepted: it is asked again under the same UID."""
    async with scripted_archive() as (archive, _), forwarding(tmp_path, destination(archive.url)) as box:
        rule = Committing(archive)

        def passing(asked: Asked) -> Reply:
            if asked.method == "POST":
                return rule(asked)
            archive.on_commitment = rule
            return Reply(404)

        archive.on_commitment = passing
        await box.take_made(named(1))
        await box.until(lambda: box.at() == {"committed": 1}, step_s=5)
        assert box.delivery(named(1).instance).proof == "dicomweb"


@pytest.mark.parametrize("answer", [Reply(500), Reply(503), Reply(200, b"<html>"), Reply(200, b"{}"), Reply(400)])
async def test_an_answer_that_commits_nothing_commits_nothing(tmp_path: Path, answer: Reply) -> None:
    async with scripted_archive() as (archive, _), forwarding(tmp_path, destination(archive.url)) as box:
        archive.on_commitment = lambda _: answer
        await box.take_made(*EIGHT)
        await box.until(lambda: box.at() == {"sent": 8})
        for _ in range(20):
            await box.pass_time(60)
        assert box.at() == {"sent": 8}
        assert len(archive.commitments) < 400
        archive.on_commitment = Committing(archive)
        await box.until(lambda: box.at() == {"committed": 8}, step_s=60)
        assert box.condition_names() == set()


async def test_413_is_asked_in_halves(tmp_path: Path) -> None:
    async with scripted_archive() as (archive, _), forwarding(tmp_path, destination(archive.url)) as box:
        rule = Committing(archive)
        archive.on_commitment = lambda asked: Reply(413) if len(asked.listed) > 2 else rule.at_once(asked)
        gate = trio.Event()
        archive.on_store = archive.gated(gate)
        await box.take_made(*EIGHT)
        gate.set()
        await box.until(lambda: box.at() == {"committed": 8}, step_s=1)
        assert open_asks(box) == set()


async def test_an_archive_that_is_silent_is_not_hammered(tmp_path: Path) -> None:
    async with scripted_archive() as (archive, nursery), forwarding(tmp_path, destination(archive.url)) as box:
        archive.on_commitment = lambda _: Reply(reset=True)
        await box.take_made(*EIGHT)
        await box.until(lambda: box.at() == {"sent": 8})
        before = len(archive.commitments)
        for _ in range(100):
            await box.pass_time(6)
        assert len(archive.commitments) - before < 40
        await archive.down()
        await box.pass_time(600)
        archive.on_commitment = Committing(archive)
        await archive.up(nursery)
        await box.until(lambda: box.at() == {"committed": 8}, step_s=60)
        number = box.routes.ids["archive"]
        assert box.store.read_now(partial(waiting, destination=number, state=DeliveryState.SENT)) == []
