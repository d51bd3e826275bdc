"""What was committed and evicted comes again: it is stored like any other, and uploaded only if it is not there."""

from functools import partial
from pathlib import Path

from edged.store.eviction import evict_oldest
from edged.store.records import DeliveryState
from tests.support.forwarding_kit import Forwarding, destination, forwarding
from tests.support.scripted_archive import scripted_archive
from tests.support.stow_kit import named

SEARCH = '["search"]'
UID = named(1).instance


async def sent_committed_and_evicted(box: Forwarding) -> None:
    await box.take_made(named(1))
    await box.until(lambda: box.at() == {"committed": 1}, step_s=1)
    evict = partial(evict_oldest, committed_before=float("inf"), least_bytes=0, now=box.clock.wall())
    assert len(await box.store.write(evict)) == 1


async def test_the_same_again_costs_no_upload_while_the_archive_has_it(tmp_path: Path) -> None:
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box,
    ):
        await sent_committed_and_evicted(box)
        await box.take_made(named(1))
        await box.until(lambda: box.at() == {"committed": 2}, step_s=1)
        assert archive.sent_uids == [UID]
        assert box.delivery(UID).evidence == "found"


async def test_what_the_archive_lost_is_uploaded_again_at_once(tmp_path: Path) -> None:
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box,
    ):
        await sent_committed_and_evicted(box)
        archive.lose(UID)
        await box.take_made(named(1))
        await box.until(lambda: archive.sent_uids == [UID, UID])
        await box.until(lambda: box.delivery(UID).state is DeliveryState.COMMITTED, step_s=1)
        assert box.delivery(UID).evidence == "stored"
