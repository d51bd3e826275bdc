"""Bounded memory (DESIGN §1.7): gigabytes in, out and onward through a daemon whose anonymous memory hardly grows."""

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trio

from edged.store.environment import opened
from edged.store.instances import find_instance
from tests.support.big_instance import BigInstance, retrieve, store
from tests.support.daemon import Daemon, Peak, daemon, peak_anonymous
from tests.support.forwarding_kit import destination

log = logging.getLogger(__name__)

LOCAL = '[commitment]\nevidence = "local"\n'
ROOM_BYTES = 16 << 30
CAPACITY = "6GiB"
TWO_GIB = 2048
MANY, EACH = 16, 200


@asynccontextmanager
async def two_boxes(folder: Path) -> AsyncIterator[tuple[Daemon, Daemon]]:
    """A box and the archive that it forwards to, both daemons with room for some GiB."""
    free = os.statvfs(folder)
    assert free.f_bavail * free.f_frsize >= ROOM_BYTES, f"these tests want {ROOM_BYTES >> 30} GiB free in {folder}"
    async with daemon(folder / "archive", LOCAL, capacity=CAPACITY) as archive:
        config = destination(archive.url, commitment='["dicomweb"]')
        async with daemon(folder / "box", config, capacity=CAPACITY) as box:
            yield box, archive


def port_of(box: Daemon) -> int:
    """Where it listens."""
    return urlsplit(box.url).port or 0


def digest_in(box: Daemon, uid: str) -> bytes:
    """The data-set digest that a stopped box has of an instance."""
    with opened(box.data_dir, None) as environment, environment.reading() as txn:
        found = find_instance(txn, uid)
        assert found is not None
        return found[1].dataset_digest


async def all_committed(box: Daemon, count: int) -> None:
    """Wait until the archive has proven so many."""
    await box.wait_until(lambda state: state["store"]["instances"]["committed"] == count, 120)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("implicit", [False, True], ids=["explicit", "converted"])
async def test_two_gib_in_out_and_onward(tmp_path: Path, implicit: bool) -> None:
    instance = BigInstance("1.2.826.0.1.77.1.1", TWO_GIB, implicit)
    async with two_boxes(tmp_path) as (box, archive):
        async with peak_anonymous(box.pid) as peak, peak_anonymous(archive.pid) as at_archive:
            answer = await store(port_of(box), instance)
            assert answer.startswith(b"HTTP/1.1 200"), answer[:500]
            _note("in", peak)
            await all_committed(box, 1)
            _note("onward", peak)
            head, size, same = await retrieve(port_of(box), instance)
            assert head.startswith(b"HTTP/1.1 200")
            assert f"content-length: {size}".encode() in head.lower()
            assert same
            _note("out", peak)
            _note("archive", at_archive)
        assert peak.mib < 150
        assert at_archive.mib < 150
        assert await box.stop() == 0
        assert await archive.stop() == 0
        assert digest_in(box, instance.uid) == digest_in(archive, instance.uid)


@pytest.mark.timeout(240)
async def test_sixteen_large_ones_at_once(tmp_path: Path) -> None:
    instances = [BigInstance(f"1.2.826.0.1.77.1.{number}", EACH) for number in range(1, MANY + 1)]
    async with two_boxes(tmp_path) as (box, archive):
        async with peak_anonymous(box.pid) as peak, peak_anonymous(archive.pid) as at_archive:
            async with trio.open_nursery() as nursery:
                for instance in instances:
                    nursery.start_soon(partial(_store_well, box, instance))
            _note("in", peak)
            await all_committed(box, MANY)
            _note("onward", peak)
            _note("archive", at_archive)
        assert peak.mib < 200
        assert at_archive.mib < 200


async def _store_well(box: Daemon, instance: BigInstance) -> None:
    answer = await store(port_of(box), instance)
    assert answer.startswith(b"HTTP/1.1 200"), answer[:500]


def _note(name: str, peak: Peak) -> None:
    log.info("%s: %.0f MiB at %.1f s", name, peak.mib, trio.current_time())
