"""An hour in virtual time in which box, requesters and lines are killed: what each requester took is the log, in order.

`EDGED_HOUR_SEEDS=1,2,3` lives through other hours.
"""

import os
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from tests.support.notifying.hour import Hour

SEEDS = [int(seed) for seed in os.environ.get("EDGED_HOUR_SEEDS", "1").split(",")]
LEAST_EVENTS, LEAST_FAULTS = 1500, 300


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where syncing costs nothing, if there is such a place: a kill of a process loses nothing that was written."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else tmp_path) as made:
        yield Path(made)


@pytest.fixture(params=SEEDS)
def seed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A seed, of jitter and of trio's choice of who runs first as well: the same hour every time."""
    chosen: int = request.param
    monkeypatch.setattr(trio._core._run, "_ALLOW_DETERMINISTIC_SCHEDULING", True)
    monkeypatch.setattr(trio._core._run, "_r", random.Random(chosen))
    before = random.getstate()
    random.seed(chosen)
    yield chosen
    random.setstate(before)


@pytest.mark.timeout(180)
async def test_an_hour_of_kills(folder: Path, seed: int, autojump_clock: trio.testing.MockClock) -> None:
    hour = Hour(folder, seed)
    await hour.run()
    print(f"{hour.truth.last} events, {dict(hour.faults)}, {dict(hour.troubles)}, {dict(hour.lost)}")
    for each in hour.requesters:
        print(f"{each.wish.name}: {each.book.again} again, {each.book.gaps} gaps, {len(each.lines)} connections")
        assert each.book.missing() == set()
    assert sum(each.book.again for each in hour.requesters), "no acknowledgement was ever lost: nothing was tried"
    assert sum(each.book.gaps for each in hour.requesters), "nobody was away for too long: nothing was tried"
    assert hour.truth.last > LEAST_EVENTS
    assert hour.faults.total() > LEAST_FAULTS
    assert {"box ended", "requester killed", "line cut", "line silent", "trimmed"} <= hour.faults.keys()
