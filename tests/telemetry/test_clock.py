"""Clocks: when the machine's is believed, and one that tests move by hand."""

from pathlib import Path

import pytest

from edged.config.choices import ClockMode
from edged.telemetry.clock import ASK_AGAIN_S, EARLIEST_POSSIBLE_S, ManualClock, SystemClock, kernel_says_synchronised


@pytest.mark.parametrize(
    ("mode", "marked", "kernel", "trusted"),
    [
        (ClockMode.AUTO, False, False, False),
        (ClockMode.AUTO, True, False, True),
        (ClockMode.AUTO, False, True, True),
        (ClockMode.TRUST, False, False, True),
    ],
)
def test_when_the_clock_is_believed(
    tmp_path: Path, *, mode: ClockMode, marked: bool, kernel: bool, trusted: bool
) -> None:
    mark = tmp_path / "synchronized"
    if marked:
        mark.touch()
    assert SystemClock(mode, mark=mark, synchronised=lambda: kernel).trusted() is trusted


def test_an_impossible_year_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SystemClock, "wall", lambda _: EARLIEST_POSSIBLE_S - 1)
    assert not SystemClock(synchronised=lambda: True).trusted()


def test_the_kernel_can_be_asked() -> None:
    assert kernel_says_synchronised() in {True, False}


def test_the_system_clock_runs() -> None:
    clock = SystemClock()
    assert clock.wall() > EARLIEST_POSSIBLE_S
    assert clock.monotonic() <= clock.monotonic()


def test_a_manual_clock_stands_until_it_is_moved() -> None:
    clock = ManualClock(1_800_000_000.0, trusted=False)
    clock.advance(2.5)
    assert (clock.wall(), clock.monotonic(), clock.trusted()) == (1_800_000_002.5, 2.5, False)
    clock.set_wall(1_900_000_000.0)
    assert (clock.wall(), clock.monotonic(), clock.trusted()) == (1_900_000_000.0, 2.5, True)
    with pytest.raises(ValueError, match="only passes"):
        clock.advance(-1)


def test_whether_the_clock_is_trusted_is_asked_again_after_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, answers = [100.0], iter([False, True])
    monkeypatch.setattr(SystemClock, "monotonic", lambda _: now[0])
    clock = SystemClock(mark=tmp_path / "none", synchronised=lambda: next(answers))
    assert not clock.trusted()
    assert not clock.trusted()
    now[0] += ASK_AGAIN_S
    assert clock.trusted()
    assert clock.trusted()
