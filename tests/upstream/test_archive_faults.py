"""Any fault at any byte, over both HTTP versions: what is not proven stays, and arrives once the fault is over.

In memory and virtual time, since a client waits for what is cut; what is answered early goes over real sockets, which
say when they are full. The archive of the tests does to a request or an answer what its script says.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from tests.support.archive.rules import Archive
from tests.support.archive.serving import connector_to
from tests.support.forwarding_kit import Forwarding, destination, forwarding
from tests.support.scripted_archive import Asked, Fault, Kind, Reply, Stow, scripted_archive
from tests.support.stow_kit import named

BREAKING = [Kind.CUT, Kind.RESET, Kind.GARBAGE, Kind.STREAM_RESET, Kind.REFUSED_STREAM, Kind.GOAWAY]
"""On HTTP/1.1 the last three are resets."""

LOSING = [Kind.CUT, Kind.RESET, Kind.GARBAGE, Kind.STREAM_RESET]
"""Of an answer; that a stream was not processed would have it repeated at once."""

VERSIONS = ["1.1", "2"]


URL = "http://archive.example/dicom-web"
PATIENCE_S = 3600.0
STEP_S = 0.5


def once(fault: Fault, archive: Archive) -> list[Fault]:
    """Let the fault strike the first store request."""
    left = [fault]
    archive.on_head = lambda asked: left.pop() if left and asked.method == "POST" else None
    return left


@asynccontextmanager
async def in_memory(folder: Path, archive: Archive, http: str, **keys: str) -> AsyncIterator[Forwarding]:
    """A box that forwards to an archive in memory."""
    config = destination(URL, http=f'"{http}"', commitment='["search"]', **keys)
    async with trio.open_nursery() as nursery:
        async with forwarding(folder, config, connector=connector_to(archive, nursery)) as box:
            yield box
        nursery.cancel_scope.cancel()


async def until(box: Forwarding, holds: Callable[[], bool]) -> None:
    """Let time pass, the box's and trio's alike, until something holds."""
    with trio.fail_after(PATIENCE_S):
        while not holds():
            box.clock.advance(STEP_S)
            box.bells.arrived.ring()
            await trio.sleep(STEP_S)  # virtual time, in which the box does what is due


@pytest.mark.parametrize("http", VERSIONS)
@pytest.mark.parametrize("at", [0, 300])
@pytest.mark.parametrize("kind", BREAKING)
async def test_a_request_that_breaks_is_made_again(
    tmp_path: Path, kind: Kind, at: int, http: str, autojump_clock: trio.testing.MockClock
) -> None:
    archive = Archive()
    left = once(Fault(kind, at), archive)
    async with in_memory(tmp_path, archive, http) as box:
        uids = await box.take_made(named(1), named(2))
        await until(box, lambda: box.at() == {"committed": 2})
    assert not left
    assert archive.times == dict.fromkeys(uids, 1)


@pytest.mark.parametrize("http", VERSIONS)
@pytest.mark.parametrize("at", [1, 60])
@pytest.mark.parametrize("kind", LOSING)
async def test_an_answer_that_breaks_is_no_evidence(
    tmp_path: Path, kind: Kind, at: int, http: str, autojump_clock: trio.testing.MockClock
) -> None:
    archive, faults = Archive(), [Fault(kind, at)]

    def keep_and_break(stow: Stow) -> Reply:
        archive.store_all(stow)
        return Reply(200, b"{}", fault=faults.pop()) if faults else archive.store_all(stow)

    archive.on_store = keep_and_break
    archive.on_look = lambda _: Reply(404)
    async with in_memory(tmp_path, archive, http, visible_within='"1h"') as box:
        await box.take_made(named(1))
        await until(box, lambda: not faults)
        await trio.sleep(60.0)
        assert box.at() == {"held": 1}
        archive.on_look = archive.show
        await until(box, lambda: box.at() == {"committed": 1})


@pytest.mark.parametrize("http", VERSIONS)
@pytest.mark.parametrize("status", [401, 413, 503])
async def test_an_answer_before_the_end_of_a_request_is_read(tmp_path: Path, status: int, http: str) -> None:
    """What the archive says while the request is still coming is what is told, not that the connection broke."""
    async with scripted_archive() as (archive, _):
        early = Fault(Kind.EARLY, 1, Reply(status))
        asked: list[Asked] = []

        def begin(head: Asked) -> Fault | None:
            asked.append(head)
            return early if head.method == "POST" else None

        archive.on_head = begin
        config = destination(archive.url, http=f'"{http}"', commitment='["search"]')
        async with forwarding(tmp_path, config) as box:
            await box.take_made(named(1), size=300_000)
            await box.until(lambda: box.stands().last_error is not None or bool(box.condition_names()))
            error = box.stands().last_error
            told = (error.text if error else "") + " ".join(each.hint for each in box.conditions.snapshot())
            assert str(status) in told, told
            assert archive.stows == []
            archive.on_head = lambda _: None
            await box.until(lambda: box.at() == {"committed": 1}, step_s=600)
