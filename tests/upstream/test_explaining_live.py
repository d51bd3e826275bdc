"""Explaining while a box forwards: the answers that it had, and what it is waiting for now."""

from pathlib import Path

from edged.services.explain_values import Explained
from edged.services.explaining import Explaining
from edged.store.queue_walk import EntryState
from tests.support.committing import Committing
from tests.support.forwarding_kit import Forwarding, destination, forwarding
from tests.support.scripted_archive import Reply, report, scripted_archive
from tests.support.stow_kit import named

ONE = named(1)


async def explained(box: Forwarding) -> Explained:
    explaining = Explaining(box.store, box.routes, box.clock, hands=box.surroundings.hands)
    found = await explaining.instance(ONE.instance)
    assert found is not None
    return found


async def test_an_answer_that_moves_nothing_is_told_with_what_comes_next(tmp_path: Path) -> None:
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment='["search"]')) as box,
    ):
        archive.on_store = lambda stow: report(failed=dict.fromkeys(stow.uids, 0x0110))
        await box.take_made(ONE)
        await box.until(lambda: bool(archive.stows))
        await box.pass_time(0.0)
        found = await explained(box)
        [at] = found.instances[0].destinations
        assert at.state is EntryState.PENDING
        assert at.next_try_s is not None
        assert at.waits_for
        [answer] = [each for each in found.moments if each.what == "answered"]
        assert (answer.destination, answer.reason) == ("archive", "0110H processing failure")
        assert answer.batch


async def test_a_destination_that_cannot_serve_is_what_is_waited_for(tmp_path: Path) -> None:
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment='["search"]')) as box,
    ):
        archive.on_store = lambda _: Reply(503, headers=(("Retry-After", "60"),))
        await box.take_made(ONE)
        await box.until(lambda: bool(archive.stows))
        await box.pass_time(0.0)
        [at] = (await explained(box)).instances[0].destinations
        assert at.waits_for == "the destination, which is tried with one instance at a time"
        assert at.next_try_s is not None
        assert 55 < at.next_try_s < 65


async def test_sent_and_committed_are_told_with_the_batch_and_the_proof(tmp_path: Path) -> None:
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment='["search"]')) as box,
    ):
        await box.take_made(ONE)
        await box.until(lambda: box.at() == {"committed": 1})
        found = await explained(box)
        [at] = found.instances[0].destinations
        assert (at.committed, at.proof, at.evidence) == (True, "search", "stored")
        assert at.batch
        assert [each.what for each in found.moments][:1] == ["received"]
        assert [each.what for each in found.moments][-2:] == ["sent", "committed"]


async def test_the_commitment_request_that_proved_it_is_named(tmp_path: Path) -> None:
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url)) as box,
    ):
        committing = Committing(archive)
        archive.on_commitment = committing
        await box.take_made(ONE)
        await box.until(lambda: box.at() == {"committed": 1}, step_s=1)
        [at] = (await explained(box)).instances[0].destinations
        assert at.proof == "dicomweb"
        assert [at.transaction_uid] == list(committing.requested)
