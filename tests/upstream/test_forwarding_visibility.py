"""Archives that say "stored" and show nothing: late indexes, lies, and the end of sending again (DICOM.md §5)."""

from pathlib import Path

import pytest

from edged.store.queue_admin import Action
from edged.store.records import DeliveryState
from edged.telemetry.clock import ManualClock
from tests.support.forwarding_kit import destination, forwarding
from tests.support.scripted_archive import Reply, Stow, report, scripted_archive
from tests.support.stow_kit import named
from tests.upstream.test_by_hand import decide

SEARCH = '["search"]'
UID = named(1).instance


async def test_a_late_index_is_waited_for_and_nothing_is_sent_twice(tmp_path: Path) -> None:
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box,
    ):
        archive.hidden = {named(n).instance for n in range(1, 6)}
        await box.take_made(*(named(n) for n in range(1, 6)))
        await box.until(lambda: box.at() == {"sent": 5})
        for _ in range(13):
            await box.pass_time(60)
        assert box.at() == {"sent": 5}
        archive.hidden = set()
        await box.until(lambda: box.at() == {"committed": 5}, step_s=60)
        assert set(archive.times.values()) == {1}


async def test_said_stored_and_never_shown_is_sent_three_times_more_and_then_told(tmp_path: Path) -> None:
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box,
    ):
        archive.on_store = lambda stow: report(stow.uids)
        await box.take_made(named(1))
        await box.until(lambda: "stored-not-visible:archive" in box.condition_names(), step_s=60)
        assert archive.sent_uids == [UID] * 4
        for _ in range(60):
            await box.pass_time(3600)
        assert archive.sent_uids == [UID] * 4
        assert box.at() == {"sent": 1}
        archive.keep(archive.stows[-1])
        await box.until(lambda: box.at() == {"committed": 1}, step_s=60)
        assert box.condition_names() == set()


async def test_it_is_not_sent_again_before_it_could_be_seen(tmp_path: Path) -> None:
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box,
    ):
        archive.on_store = lambda stow: report(stow.uids)
        await box.take_made(named(1))
        await box.until(lambda: box.at() == {"sent": 1})
        for _ in range(29):
            await box.pass_time(30)
        assert archive.sent_uids == [UID]
        await box.until(lambda: archive.sent_uids == [UID] * 2, step_s=30)


@pytest.mark.parametrize("answer", [Reply(200), Reply(204), Reply(200, b"{}"), Reply(202, b"thank you")])
async def test_200_with_nothing_stored_is_uploaded_again_only_after_long_looks(tmp_path: Path, answer: Reply) -> None:
    """What Orthanc says of a body that it did not understand."""
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box,
    ):
        archive.on_store = lambda _: answer
        await box.take_made(named(1))
        await box.until(lambda: len(archive.stows) == 1)
        for _ in range(29):
            await box.pass_time(30)
        assert len(archive.stows) == 1
        assert len(archive.looks) > 10
        await box.until(lambda: "stored-not-visible:archive" in box.condition_names(), step_s=60)
        assert len(archive.stows) == 4
        for _ in range(60):
            await box.pass_time(3600)
        assert len(archive.stows) == 4
        assert box.at() == {"held": 1}
        archive.keep(archive.stows[0])
        await box.until(lambda: box.at() == {"committed": 1}, step_s=3600)
        assert box.delivery(UID).evidence == "found"
        await box.until(lambda: box.condition_names() == set())


@pytest.mark.parametrize("says", [Reply(200), None])
async def test_a_person_can_have_it_sent_again(tmp_path: Path, says: Reply | None) -> None:
    """By its UID, whether it was answered with nothing or with "stored"; then it is counted anew."""
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH, visible_within='"2m"')) as box,
    ):
        archive.on_store = lambda stow: says or report(stow.uids)
        await box.take_made(named(1))
        for times in (4, 8):
            await box.until(lambda: "stored-not-visible:archive" in box.condition_names(), step_s=30)
            assert len(archive.stows) == times
            assert (await decide(box, Action.RETRY, uids=(UID,))).done == 1
            await box.until(lambda times=times: len(archive.stows) == times + 1)  # type: ignore[misc]
            assert box.condition_names() == set()
            await box.pass_time(30)
            assert len(archive.stows) == times + 1, "it is waited for anew"
        archive.on_store = archive.store_all
        await box.until(lambda: box.at() == {"committed": 1}, step_s=30)
        assert box.condition_names() == set()


async def test_after_a_restart_a_person_can_have_it_sent_again(tmp_path: Path) -> None:
    clock = ManualClock()
    async with scripted_archive() as (archive, _):
        archive.on_store = lambda _: Reply(200)
        config = destination(archive.url, commitment=SEARCH, visible_within='"2m"')
        async with forwarding(tmp_path, config, clock, keep=True) as box:
            await box.take_made(named(1))
            await box.until(lambda: "stored-not-visible:archive" in box.condition_names(), step_s=30)
        async with forwarding(tmp_path, config, clock) as box:
            await box.until(lambda: "stored-not-visible:archive" in box.condition_names(), step_s=30)
            assert len(archive.stows) == 4
            archive.on_store = archive.store_all
            assert (await decide(box, Action.RETRY, uids=(UID,))).done == 1
            await box.until(lambda: box.at() == {"committed": 1}, step_s=30)
            assert len(archive.stows) == 5


async def test_what_a_person_moves_to_and_fro_stays_told(tmp_path: Path) -> None:
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH, visible_within='"2m"')) as box,
    ):
        archive.on_store = lambda _: Reply(200)
        await box.take_made(named(1))
        await box.until(lambda: "stored-not-visible:archive" in box.condition_names(), step_s=30)
        for action in (Action.HOLD, Action.RELEASE):
            assert (await decide(box, action, uids=(UID,))).done == 1
        for _ in range(3):
            await box.pass_time(24 * 3600)
        assert "stored-not-visible:archive" in box.condition_names()
        assert len(archive.stows) == 4


async def test_no_restart_begins_the_count_of_uploads_anew(tmp_path: Path) -> None:
    """First sent, then three times more: over all starts together."""
    clock = ManualClock()
    async with scripted_archive() as (archive, _):
        archive.on_store = lambda _: Reply(200)
        config = destination(archive.url, commitment=SEARCH, visible_within='"1m"')
        for life in range(6):
            async with forwarding(tmp_path, config, clock, keep=True) as box:
                if not life:
                    await box.take_made(named(1))
                for _ in range(3):
                    await box.pass_time(31)
        assert len(archive.stows) == 4
        async with forwarding(tmp_path, config, clock) as box:
            await box.until(lambda: "stored-not-visible:archive" in box.condition_names(), step_s=60)
            archive.keep(archive.stows[0])
            await box.until(lambda: box.at() == {"committed": 1}, step_s=3600)
        assert len(archive.stows) == 4


async def test_200_with_an_empty_body_that_did_store_is_found(tmp_path: Path) -> None:
    async with scripted_archive() as (archive, _):

        def terse(stow: Stow) -> Reply:
            archive.keep(stow)
            return Reply(200)

        archive.on_store = terse
        async with forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box:
            await box.take_made(*(named(n) for n in range(1, 9)))
            await box.until(lambda: box.at() == {"committed": 8})
            assert set(archive.times.values()) == {1}
            assert {box.delivery(named(n).instance).evidence for n in range(1, 9)} == {"found"}


async def test_a_part_of_a_batch_that_was_not_stored_is_not_taken_for_sent(tmp_path: Path) -> None:
    """200, all named as stored, half of it there: the proof finds out."""
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box,
    ):

        def half(stow: Stow) -> Reply:
            archive.keep(stow, [uid for uid in stow.uids if uid != UID])
            return report(stow.uids)

        archive.on_store = half
        await box.take_made(*(named(n) for n in range(1, 9)))
        await box.until(lambda: box.at() == {"committed": 7, "sent": 1})
        archive.on_store = archive.store_all
        await box.until(lambda: box.at() == {"committed": 8}, step_s=60)
        assert archive.times[UID] == 1


async def test_what_differs_is_never_a_proof(tmp_path: Path) -> None:
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box,
    ):
        other = b'[{"00080018":{"vr":"UI","Value":["%s"]},"00083002":{"vr":"UI","Value":["1.2.3"]}}]' % UID.encode()
        archive.on_look = lambda _: Reply(200, other)
        await box.take_made(named(1))
        await box.until(lambda: "proof-differs:archive" in box.condition_names())
        for _ in range(30):
            await box.pass_time(600)
        assert box.at() == {"sent": 1}
        assert archive.sent_uids == [UID]
        archive.on_look = archive.show
        await box.until(lambda: box.delivery(UID).state is DeliveryState.COMMITTED, step_s=60)
        assert box.condition_names() == set()


@pytest.mark.parametrize("study", ["", '"0020000D":{"vr":"UI","Value":["9.9.9"]},'])
async def test_a_bare_uid_or_one_in_another_study_is_never_a_proof(tmp_path: Path, study: str) -> None:
    ct = '"00080016":{"vr":"UI","Value":["1.2.840.10008.5.1.4.1.1.2"]},' if study else ""
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box,
    ):
        shown = f'[{{{study}{ct}"00080018":{{"vr":"UI","Value":["{UID}"]}}}}]'.encode()
        archive.on_look = lambda _: Reply(200, shown)
        await box.take_made(named(1))
        for _ in range(30):
            await box.pass_time(600)
        assert box.at() == {"sent": 1}
        assert archive.sent_uids == [UID]
        archive.on_look = archive.show
        await box.until(lambda: box.at() == {"committed": 1}, step_s=600)


async def test_what_cannot_be_asked_is_no_proof_and_says_so(tmp_path: Path) -> None:
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box,
    ):
        archive.on_look = lambda _: Reply(501)
        await box.take_made(*(named(n) for n in range(1, 9)))
        await box.until(lambda: box.condition_names() == {"no-proof:archive"})
        for _ in range(30):
            await box.pass_time(600)
        assert box.at() == {"sent": 8}
        assert set(archive.times.values()) == {1}
        archive.on_look = archive.show
        await box.until(lambda: box.at() == {"committed": 8}, step_s=60)
        assert box.condition_names() == set()


async def test_stored_is_proof_only_where_it_is_listed(tmp_path: Path) -> None:
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment='["stored"]')) as box,
    ):
        await box.take_made(*(named(n) for n in range(1, 9)))
        await box.until(lambda: box.at() == {"committed": 8})
        assert {box.delivery(named(n).instance).proof for n in range(1, 9)} == {"stored"}
        assert archive.looks == []
        assert archive.commitments == []
