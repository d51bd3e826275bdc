"""307 and 308 within the origin: wherever they stand, an upload, a look and a commitment request reach their end."""

from pathlib import Path

import pytest

from tests.support.forwarding_kit import destination, forwarding
from tests.support.scripted_archive import BASE, Asked, Reply, Stow, committed, scripted_archive
from tests.support.stow_kit import named

SEARCH = '["search"]'


def moved(path: str, status: int = 307) -> Reply:
    """The same resource with a query that the first request lacks."""
    joined = f"{path}&token=1" if "?" in path else f"{path}?token=1"
    return Reply(status, headers=(("location", joined),))


@pytest.mark.parametrize("status", [307, 308])
@pytest.mark.parametrize("location", ["studies?token=1", "./studies?token=1", "?token=1", f"{BASE}/studies?token=1"])
async def test_a_relative_location_is_relative_to_the_request(tmp_path: Path, status: int, location: str) -> None:
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box,
    ):

        def once(stow: Stow) -> Reply:
            if stow.asked.path == f"{BASE}/studies":
                return Reply(status, headers=(("location", location),))
            return archive.store_all(stow)

        archive.on_store = once
        await box.take_made(named(1))
        await box.until(lambda: box.at() == {"committed": 1})
        assert [stow.asked.path for stow in archive.stows] == [f"{BASE}/studies", f"{BASE}/studies?token=1"]


async def test_a_redirect_after_a_redirect_is_relative_to_that(tmp_path: Path) -> None:
    way = {f"{BASE}/studies": "v2/studies", f"{BASE}/v2/studies": "studies?token=1"}
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box,
    ):

        def on(stow: Stow) -> Reply:
            after = way.get(stow.asked.path)
            return Reply(307, headers=(("location", after),)) if after else archive.store_all(stow)

        archive.on_store = on
        await box.take_made(named(1))
        await box.until(lambda: box.at() == {"committed": 1})
        assert [stow.asked.path for stow in archive.stows] == [*way, f"{BASE}/v2/studies?token=1"]


async def test_looks_and_commitment_requests_are_followed_too(tmp_path: Path) -> None:
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment='["dicomweb", "search"]')) as box,
    ):
        show = archive.show

        def strict(asked: Asked) -> Reply:
            return show(asked) if "token" in asked.path else moved(asked.path)

        archive.on_look = strict
        archive.on_commitment = lambda asked: (
            committed(asked.listed) if "token" in asked.path else moved(asked.path, 308)
        )
        await box.take_made(named(1))
        await box.until(lambda: box.at() == {"committed": 1}, step_s=10)
        assert box.delivery(named(1).instance).proof == "dicomweb"
        assert all("token" in asked.path for asked in archive.commitments[1::2])


async def test_looks_alone_are_followed(tmp_path: Path) -> None:
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box,
    ):
        show = archive.show
        archive.on_look = lambda asked: show(asked) if "token" in asked.path else moved(asked.path)
        await box.take_made(named(1))
        await box.until(lambda: box.at() == {"committed": 1}, step_s=10)


@pytest.mark.parametrize("location", ["http://elsewhere.example/studies", "", "//elsewhere.example/"])
async def test_nothing_is_followed_out_of_the_origin(tmp_path: Path, location: str) -> None:
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box,
    ):
        archive.on_look = lambda _: Reply(307, headers=(("location", location),))
        await box.take_made(named(1))
        for _ in range(5):
            await box.pass_time(60)
        assert box.at() == {"sent": 1}


async def test_a_redirect_without_end_ends(tmp_path: Path) -> None:
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box,
    ):
        archive.on_look = lambda asked: Reply(307, headers=(("location", asked.path),))
        await box.take_made(named(1))
        await box.until(lambda: box.at() == {"sent": 1})
        assert 0 < len(archive.looks) <= 4 * 3
