"""A week in virtual time: an archive that fails in every way, is down for two days and loses what it has committed to.

`EDGED_WEEK_SEEDS=1,2,3` lives through other weeks, `EDGED_WEEK_INSTANCES=80` through busier ones (14 a study).
"""

import os
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from tests.support.week.box import look_rarely
from tests.support.week.failing_archive import is_poison
from tests.support.week.week import INSTANCES, Week

LEAST_SENT = 150
SIZE = int(os.environ.get("EDGED_WEEK_INSTANCES", INSTANCES))
SEEDS = [int(seed) for seed in os.environ.get("EDGED_WEEK_SEEDS", "1").split(",")]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where syncing costs nothing, if there is such a place: what survives a power cut is tested elsewhere."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else tmp_path) as made:
        yield Path(made)


@pytest.fixture
def _like_a_week(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing is left to chance that is not the seed's."""
    before = random.getstate()
    monkeypatch.setattr(trio._core._run, "_ALLOW_DETERMINISTIC_SCHEDULING", True)
    look_rarely(monkeypatch)
    yield
    random.setstate(before)


def _sow(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seed jitter, names and trio's choice of who runs first."""
    random.seed(seed)
    monkeypatch.setattr(trio._core._run, "_r", random.Random(seed))
    monkeypatch.setattr(os, "urandom", random.Random(seed).randbytes)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("_like_a_week")
async def test_everything_arrives_and_every_answer_was_true(
    folder: Path, seed: int, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    _sow(seed, monkeypatch)
    await _live(Week(folder, seed, instances=SIZE))


@pytest.mark.usefixtures("_like_a_week")
def test_a_seed_is_the_same_week_every_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lived = []
    for name in ("one", "other"):
        _sow(1, monkeypatch)
        (folder / name).mkdir()
        week = Week(folder / name, 1, instances=3, studies=3)
        trio.run(_go_through, week, clock=trio.testing.MockClock(autojump_threshold=0))
        asked = [(each.method, each.path) for each in (*week.archive.looks, *week.archive.commitments)]
        lived.append((asked, week.archive.sent_uids, week.archive.accounts.kinds))
    assert lived[0] == lived[1]


async def _go_through(week: Week) -> None:
    async with week.run(lives=2):
        pass


async def _live(week: Week) -> None:
    async with week.run() as box:
        archive, accounts = week.archive, week.archive.accounts
        assert len(week.modality.sent) > LEAST_SENT
        assert week.modality.finished, "somebody waits for an answer for ever"
        assert week.settled(box), week.at(box)
        assert week.unnoticed(box) == set()
        assert week.tells_of_lost(box), week.lost(box)
        parked, poison = week.parked(box), {uid for uid in week.modality.sent if is_poison(uid)}
        assert parked <= accounts.refused, "parked, and never refused for good"
        await week.put_back(box, parked - poison)
        assert week.parked(box) == poison
        assert set(week.modality.sent) - archive.stored.keys() - week.lost(box) == poison
        assert accounts.unexplained() == {}
        assert archive.broke, "it never lost anything that it had committed to: nothing was tried"
        print(
            f"{len(week.modality.sent)} sent, {len(archive.broke)} lost after evidence, {len(week.lost(box))} for ever"
        )
