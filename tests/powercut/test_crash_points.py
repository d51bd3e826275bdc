"""SIGKILL at named points of the making of the store, admission, spooling, forwarding, commitment and retention.

Each time the store is whole with everything that was acknowledged, the next daemon starts on it, senders send again
what they have no answer for, and all the work is done at the end.
"""

import contextlib
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest

from tests.powercut.boxes import LOG, Daemon, end, is_finished, running, wait_ready, wait_until
from tests.powercut.killed import Point, program
from tests.powercut.load import Part, Senders, instances
from tests.powercut.promises import promised
from tests.powercut.record import Scenario
from tests.powercut.recording import Acknowledgements
from tests.powercut.restart import left_over
from tests.powercut.verify import Verifier

COUNTS = (9, 2, 1)
FIRST, SECOND = "1.2.826.0.3.1", "1.2.826.0.3.2"
KILLED_WITHIN_S = 40
RETENTION = {Point.EVICTION_WRITTEN, Point.EVICTION_COMMITTED}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("archive")
    with running(Daemon(folder, "archive", folder / "data", capacity=512)) as url:
        yield url
    shutil.rmtree(folder)


@pytest.mark.parametrize("point", [each for each in Point if each is not Point.MEMORY_TRIMMED])
def test_the_work_is_finished_after_a_kill(tmp_path: Path, archive: str, point: Point) -> None:
    parts, data = instances(1000 + list(Point).index(point), COUNTS), tmp_path / "box"
    log, verifier = tmp_path / LOG, Verifier(parts, 1)
    with contextlib.closing(Acknowledgements(log)) as acknowledgements:
        _live_until_killed(tmp_path, archive, point, (parts, acknowledgements))
        assert verifier.problems(data, promised(log)) == []
        box = Daemon(tmp_path, "box", data, archive)
        with running(box) as url:
            for step in _steps(Senders(url, acknowledgements), parts, SECOND):
                step()
            wait_until(box, is_finished, "the end of forwarding")
    promises = promised(log)
    assert promises.stored == {part.name.instance for part in parts}
    assert verifier.problems(data, promises) == []
    assert list(left_over(data, Scenario.FORWARDING)) == []
    shutil.rmtree(data)


def test_what_is_remembered_outlives_a_kill_while_it_is_trimmed(tmp_path: Path, archive: str) -> None:
    """The daemon that is killed wants to remember one instance alone; what it had not committed never happened."""
    parts, data, log = instances(2000, (4, 0, 0)), tmp_path / "box", tmp_path / LOG
    with contextlib.closing(Acknowledgements(log)) as acknowledgements:
        box = Daemon(tmp_path, "box", data, archive, "0s")
        with running(box) as url:
            Senders(url, acknowledgements).store(parts)
            wait_until(box, _is_empty, "eviction")
        dying = replace(box, memory=1, program=program(Point.MEMORY_TRIMMED)).spawn()
        try:
            assert dying.wait(KILLED_WITHIN_S) == -signal.SIGKILL
        finally:
            end(dying)
        assert Verifier(parts, 1).problems(data, promised(log)) == []
        with running(box) as url:
            Senders(url, acknowledgements).ask_commitment(FIRST, parts)
    assert promised(log).requested == {FIRST: dict.fromkeys((part.name.instance for part in parts), 0)}
    shutil.rmtree(data)


def _is_empty(now: dict[str, Any]) -> bool:
    return not any(now["store"]["instances"].values()) and bool(now["destinations"][0]["committed"])


def _live_until_killed(folder: Path, archive: str, point: Point, load: tuple[Sequence[Part], Acknowledgements]) -> None:
    keep = "0s" if point in RETENTION else "7d"
    process = Daemon(folder, "box", folder / "box", archive, keep, program=program(point)).spawn()
    try:
        with contextlib.suppress(AssertionError):  # it may die before it is ready
            senders = Senders(wait_ready(process), load[1])
            senders.break_off(load[0][0])
            for step in _steps(senders, load[0], FIRST):
                with contextlib.suppress(OSError, HTTPException):
                    step()
        assert process.wait(KILLED_WITHIN_S) == -signal.SIGKILL
    finally:
        end(process)


def _steps(senders: Senders, parts: Sequence[Part], transaction_uid: str) -> list[Callable[[], None]]:
    steps: list[Callable[[], None]] = [partial(senders.store, parts[at : at + 4]) for at in range(0, len(parts), 4)]
    steps += [partial(senders.break_off, part) for part in parts if len(part.data) > 9 << 20]
    return [*steps, partial(senders.ask_commitment, transaction_uid, parts[:5])]
