"""What is set aside for another reason than a refusal: an archive with other data, and sizes in the settings."""

from dataclasses import replace
from pathlib import Path

import pytest

from edged.dicomweb.event_report import EventKind
from edged.store.records import DeliveryState
from tests.support.forwarding_kit import destination, forwarding
from tests.support.scripted_archive import Reply, Stow, report, scripted_archive
from tests.support.stow_kit import made, named

SEARCH = '["search"]'


async def test_another_instance_under_its_uid_is_a_conflict_event_too(tmp_path: Path) -> None:
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box,
    ):
        await box.take_made(named(1))
        await box.until(lambda: box.at() == {"committed": 1})
        shown = archive.on_look

        def other(stow: Stow) -> Reply:
            archive.keep(stow)
            return report(failed=dict.fromkeys(stow.uids, 0x0111))

        archive.on_store = other
        archive.on_look = lambda asked: replace(
            shown(asked),
            body=shown(asked).body.replace(b'"1.2.840.10008.5.1.4.1.1.2"', b'"1.2.840.10008.5.1.4.1.1.4"'),
        )
        [uid] = await box.take_made(named(2))
        await box.until(lambda: box.delivery(uid).state is DeliveryState.PARKED, step_s=5.0)
        [conflict] = box.events(EventKind.CONFLICT)
        assert (conflict.sop_instance_uid, conflict.destination) == (uid, "archive")
        assert conflict.text == box.delivery(uid).text
        assert [event.sop_instance_uid for event in box.events(EventKind.PARKED)] == [uid]


@pytest.mark.parametrize("key", ["max_instance", "max_request"])
async def test_what_was_too_large_goes_when_the_settings_let_it(tmp_path: Path, key: str) -> None:
    small, large, larger = named(1).instance, named(2).instance, named(3).instance
    async with scripted_archive() as (archive, _):
        config = destination(archive.url, commitment=SEARCH, **{key: '"10kB"'})
        async with forwarding(tmp_path, config, keep=True) as box:
            await box.take(made(named(1), size=3000), made(named(2), size=20_000), made(named(3), size=60_000))
            await box.until(lambda: box.at() == {"committed": 1, "parked": 2})
        config = destination(archive.url, commitment=SEARCH, **{key: '"40kB"'})
        async with forwarding(tmp_path, config, keep=True) as box:
            await box.until(lambda: box.at() == {"committed": 2, "parked": 1})
            assert key in box.delivery(larger).text
        async with forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box:
            await box.until(lambda: box.at() == {"committed": 3})
            await box.until(lambda: box.condition_names() == set())
        assert [archive.sent_uids.count(uid) for uid in (small, large, larger)] == [1, 1, 1]


async def test_what_an_archive_refused_stays_parked_over_a_restart(tmp_path: Path) -> None:
    async with scripted_archive() as (archive, _):
        async with forwarding(tmp_path, destination(archive.url, commitment=SEARCH), keep=True) as box:
            await box.take_made(named(1))
            await box.until(lambda: box.at() == {"committed": 1})
            archive.on_store = lambda stow: report(failed=dict.fromkeys(stow.uids, 0xC000))
            await box.take_made(named(2))
            await box.until(lambda: box.at() == {"committed": 1, "parked": 1})
        archive.on_store = archive.store_all
        async with forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box:
            await box.pass_time(1000.0)
            assert box.at() == {"committed": 1, "parked": 1}
