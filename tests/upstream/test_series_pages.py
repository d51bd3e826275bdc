"""A search for a series, page by page: archives that give fewer than asked for, ignore pages, or fail on the way."""

import json
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from edged.upstream.look import MOST_PAGES, PAGE_ROWS
from tests.support.archive.rules import wanted_of
from tests.support.forwarding_kit import destination, forwarding
from tests.support.scripted_archive import JSON, Asked, Reply, Rule, ScriptedArchive, scripted_archive
from tests.support.stow_kit import named

COUNT = 23


def query(asked: Asked) -> dict[str, int]:
    """The numbers in a request's query."""
    found = parse_qs(urlsplit(asked.path).query)
    return {name: int(found[name][0]) for name in ("limit", "offset") if name in found}


def of_series(archive: ScriptedArchive) -> list[dict[str, int]]:
    """The pages that were asked for."""
    return [query(each) for each in archive.looks if wanted_of(each) is None and "/series/" in each.path]


def paged(archive: ScriptedArchive, most: int, *, fails_at: int | None = None) -> Rule:
    """The rule of an archive that gives at most so many at a time."""

    def rule(asked: Asked) -> Reply:
        reply = archive.show(asked)
        if wanted_of(asked) is not None:
            return reply
        page = query(asked)
        if page["offset"] == fails_at:
            return Reply(HTTPStatus.INTERNAL_SERVER_ERROR)
        shown: list[Any] = json.loads(reply.body)[page["offset"] :][: min(most, page["limit"])]
        return Reply(200, json.dumps(shown).encode(), (("content-type", JSON),)) if shown else Reply(204)

    return rule


@pytest.mark.parametrize("most", [1, 5, COUNT, 1000])
async def test_a_series_is_proven_page_by_page(tmp_path: Path, most: int) -> None:
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment='["search"]')) as box,
    ):
        archive.on_look = lambda _: Reply(503)
        await box.take_made(*(named(n) for n in range(COUNT)))
        await box.until(lambda: box.at() == {"sent": COUNT}, step_s=1)
        archive.looks.clear()
        archive.on_look = paged(archive, most)
        await box.until(lambda: box.at() == {"committed": COUNT}, step_s=60)
        pages = of_series(archive)
        assert len(pages) == -(-COUNT // most)
        assert all(page["limit"] == PAGE_ROWS for page in pages)
        assert [page["offset"] for page in pages] == list(range(0, COUNT, most))
        assert len(archive.looks) == len(pages)  # no instance was looked for by itself


async def test_an_archive_that_knows_no_pages_is_not_asked_for_ever(tmp_path: Path) -> None:
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment='["search"]')) as box,
    ):
        hidden = named(3).instance
        archive.hidden = {hidden}
        await box.take_made(*(named(n) for n in range(COUNT)))
        await box.until(lambda: box.at() == {"committed": COUNT - 1, "sent": 1}, step_s=1)
        assert len(of_series(archive)) <= 2 * COUNT < MOST_PAGES
        archive.hidden = set()
        await box.until(lambda: box.at() == {"committed": COUNT}, step_s=60)


async def test_a_page_that_fails_costs_looks_and_no_proof(tmp_path: Path) -> None:
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment='["search"]')) as box,
    ):
        archive.on_look = paged(archive, 5, fails_at=10)
        await box.take_made(*(named(n) for n in range(COUNT)))
        await box.until(lambda: box.at() == {"committed": COUNT}, step_s=60)
        assert set(archive.times.values()) == {1}


async def test_a_few_are_looked_for_by_their_metadata(tmp_path: Path) -> None:
    """WADO-RS first; QIDO-RS only where that does not show them."""
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment='["search"]')) as box,
    ):
        await box.take_made(named(1))
        await box.until(lambda: box.at() == {"committed": 1})
        assert [each.path.endswith("/metadata") for each in archive.looks] == [True]
        archive.on_look = lambda asked: Reply(404) if asked.path.endswith("/metadata") else archive.show(asked)
        await box.take_made(named(2))
        await box.until(lambda: box.at() == {"committed": 2})
        assert [each.path.endswith("/metadata") for each in archive.looks] == [True, True, False]
