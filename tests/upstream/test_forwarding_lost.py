"""Requests that broke off: what may have arrived is looked for once over HTTP/2, and nothing counts against anybody."""

from pathlib import Path

import pytest

from edged.telemetry.live import DestinationState
from tests.support.forwarding_kit import destination, forwarding
from tests.support.scripted_archive import Asked, Fault, Kind, Reply, Stow, report, scripted_archive
from tests.support.stow_kit import made, named

SEARCH = '["search"]'
VERSIONS = ['"1.1"', '"2"']


@pytest.mark.parametrize("http", VERSIONS)
async def test_uploads_that_break_time_and_again_go_on(tmp_path: Path, http: str) -> None:
    """A link that flaps: eight breaks of the only instance, not one of which is an archive that said "stored"."""
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH, http=http)) as box,
    ):
        broken: list[str] = []

        def head(asked: Asked) -> Fault | None:
            if asked.method != "POST" or len(broken) == 8:
                return None
            broken.append(asked.path)
            return Fault(Kind.RESET, 200)

        archive.on_head = head
        [uid] = await box.take_made(named(1))
        for _ in range(24):
            await box.pass_time(600)
        assert (box.at(), box.delivery(uid).resends) == ({"committed": 1}, 0)
        assert len(broken) == 8
        assert box.condition_names() == set()


@pytest.mark.parametrize("http", VERSIONS)
async def test_one_that_breaks_always_is_told_and_holds_up_no_others(tmp_path: Path, http: str) -> None:
    keys = {"commitment": SEARCH, "http": http, "parallel": "1"}
    async with scripted_archive() as (archive, _), forwarding(tmp_path, destination(archive.url, **keys)) as box:

        def head(asked: Asked) -> Fault | None:
            large = asked.method == "POST" and int(dict(asked.headers)["content-length"]) > 100_000
            return Fault(Kind.RESET, 20_000) if large else None

        archive.on_head = head
        await box.take(made(named(50), size=200_000))
        seen, others = set[str](), 0
        while "stuck:archive" not in box.condition_names() and others < 100:
            await box.take_made(named(100 + others))
            others += 1
            await box.pass_time(1800)
            seen |= box.condition_names()
        await box.until(lambda: box.at() == {"committed": others, "stuck": 1}, step_s=1)
        assert {"too-big-or-too-slow:archive", "stuck:archive"} <= seen
        assert "stored-not-visible:archive" not in seen


async def test_what_arrived_all_the_same_is_found_and_not_sent_twice(tmp_path: Path) -> None:
    keys = {"commitment": SEARCH, "http": '"2"', "parallel": "1"}  # a second request would break with the first
    async with scripted_archive() as (archive, _), forwarding(tmp_path, destination(archive.url, **keys)) as box:

        def lost(stow: Stow) -> Reply:
            archive.keep(stow, stow.uids[::2])
            archive.on_store = archive.store_all
            return Reply(reset=True)

        archive.on_store = lost
        names = [named(number) for number in range(1, 7)]
        await box.take_made(*names)
        await box.until(lambda: box.at() == {"committed": 6}, step_s=1)
        assert set(archive.times.values()) == {1}
        evidence = [box.delivery(each.instance).evidence for each in names]
        assert set(evidence) == {"found", "stored"}


async def test_a_batch_that_broke_goes_soon_after_the_link_is_back(tmp_path: Path) -> None:
    keys = {"commitment": SEARCH, "http": '"2"', "parallel": "1"}
    async with scripted_archive() as (archive, _), forwarding(tmp_path, destination(archive.url, **keys)) as box:
        archive.on_head = lambda _: Fault(Kind.RESET, 20_000)
        await box.take_made(*(named(number) for number in range(1, 31)))
        for _ in range(60):
            await box.pass_time(1)
        archive.on_head = lambda _: None
        for _ in range(20):
            await box.pass_time(30)
        assert box.at() == {"committed": 30}
        assert set(archive.times.values()) == {1}


async def test_nothing_is_sent_where_no_look_is_answered(tmp_path: Path) -> None:
    keys = {"commitment": SEARCH, "http": '"2"'}
    async with scripted_archive() as (archive, _), forwarding(tmp_path, destination(archive.url, **keys)) as box:
        archive.on_store = lambda _: Reply(reset=True)
        archive.on_look = lambda _: Reply(reset=True)
        await box.take_made(*(named(number) for number in range(1, 4)))
        await box.until(lambda: len(archive.looks) > 0, step_s=1)
        sent = len(archive.stows)
        for _ in range(10):
            await box.pass_time(300)
        assert len(archive.stows) == sent
        assert box.stands().state is DestinationState.RETRYING
        archive.on_store, archive.on_look = archive.store_all, archive.show
        await box.until(lambda: box.at() == {"committed": 3}, step_s=300)


async def test_it_is_looked_for_again_only_after_another_break(tmp_path: Path) -> None:
    keys = {"commitment": '["stored"]', "http": '"2"'}
    async with scripted_archive() as (archive, _), forwarding(tmp_path, destination(archive.url, **keys)) as box:

        def full(_: Stow) -> Reply:
            return Reply(503)

        def lost(_: Stow) -> Reply:
            archive.on_store = full
            return Reply(reset=True)

        archive.on_store = lost
        await box.take_made(named(1))
        await box.until(lambda: len(archive.stows) == 4, step_s=60)
        assert len(archive.looks) == 2, "metadata and search, once"
        archive.on_store = lambda stow: report(stow.uids)
        await box.until(lambda: box.at() == {"committed": 1}, step_s=60)
