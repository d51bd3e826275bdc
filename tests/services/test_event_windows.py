"""Windows of the event log: where they end, what their reports tell, and that whoever resumes misses nothing."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.dicomweb.event_report import EventKind
from edged.services.event_windows import (
    BULK,
    MOST_DELAY_S,
    MOST_EVENTS,
    QUIET_S,
    Numbered,
    Told,
    by_study,
    one_by_one,
    open_for_s,
    window_of,
)
from edged.store.records import Event

NOON = 1_800_000_000.0  # the beginning of a slot
STUDIES = st.sampled_from(["1.1", "1.2", "1.3"])
EVENTS = st.builds(
    Event,
    kind=st.sampled_from([*BULK, EventKind.CONDITION_RAISED, EventKind.COMMITMENT_RESULT]),
    time=st.integers(0, 60).map(lambda tenths: NOON + tenths / 4),
    study_instance_uid=STUDIES,
    destination=st.sampled_from(["", "archive"]),
)


@st.composite
def logs(draw: st.DrawFn) -> list[Numbered]:
    first = draw(st.integers(1, 2 * MOST_EVENTS))
    return list(enumerate(draw(st.lists(EVENTS, max_size=60)), first))


def cut(log: Sequence[Numbered]) -> list[list[Numbered]]:
    windows = []
    while log:
        window, _ = window_of(log)
        windows.append(window)
        log = log[len(window) :]
    return windows


def told(log: Sequence[Numbered]) -> list[Told]:
    after, reports = (log[0][0] - 1 if log else 0), []
    for window in cut(log):
        reports += by_study(window, after=after, end=window[-1][0])
        after = window[-1][0]
    return reports


def received(time: float, study: str = "1.1") -> Event:
    return Event(kind=EventKind.RECEIVED, time=time, study_instance_uid=study)


@pytest.mark.parametrize(
    ("pause", "together"),
    [(0.0, True), (QUIET_S / 2, True), (QUIET_S, False), (-0.1, False), (MOST_DELAY_S, False)],
)
def test_a_quiet_moment_ends_a_window(pause: float, together: bool) -> None:
    events = [(1, received(NOON + 1.0)), (2, received(NOON + 1.0 + pause))]
    assert window_of(events) == (events if together else events[:1], not together)


def test_a_window_ends_with_its_slot_and_when_it_is_full() -> None:
    before, beyond = received(NOON - 0.1), received(NOON + 0.1)
    assert window_of([(1, before), (2, beyond)]) == ([(1, before)], True)
    assert window_of([(MOST_EVENTS, beyond)]) == ([(MOST_EVENTS, beyond)], True)
    assert window_of([(MOST_EVENTS + 1, beyond)]) == ([(MOST_EVENTS + 1, beyond)], False)


def test_the_clock_closes_the_newest_window() -> None:
    assert open_for_s(received(NOON), NOON) == QUIET_S
    assert open_for_s(received(NOON), NOON + QUIET_S) == 0.0
    assert open_for_s(received(NOON + 4.5), NOON + 4.75) == 0.25
    assert open_for_s(received(NOON), NOON - 3600) == QUIET_S


def test_interleaved_studies_are_a_report_each() -> None:
    log = [(number, received(NOON, f"1.{number % 2}")) for number in range(1, 101)]
    reports = told(log)
    assert [(each.first, each.last, len(each.events), each.resume) for each in reports] == [
        (1, 99, 50, 0),
        (2, 100, 50, 100),
    ]


@given(logs())
def test_every_event_is_told_once_and_in_its_report_in_order(log: list[Numbered]) -> None:
    for reports in (told(log), one_by_one(log)):
        assert sorted(number for each in reports for number, _ in each.events) == [number for number, _ in log]
        assert all(list(each.events) == sorted(each.events, key=lambda numbered: numbered[0]) for each in reports)


@given(logs(), st.data())
def test_whoever_resumes_after_any_report_misses_nothing(log: list[Numbered], data: st.DataObject) -> None:
    reports = told(log)
    taken = data.draw(st.integers(0, len(reports)))
    known = {number for each in reports[:taken] for number, _ in each.events}
    after = reports[taken - 1].resume if taken else (log[0][0] - 1 if log else 0)
    rest = [(number, event) for number, event in log if number > after]
    again = {number for each in told(rest) for number, _ in each.events}
    assert known | again == {number for number, _ in log}


@given(logs(), st.data())
def test_followers_cut_the_log_alike(log: list[Numbered], data: st.DataObject) -> None:
    """Wherever a follower begins, from the end of the first window on its windows are those of everybody."""
    begin = data.draw(st.integers(0, len(log)))
    ends = [window[-1][0] for window in cut(log)]
    theirs = [window[-1][0] for window in cut(log[begin:])]
    assert theirs == [end for end in ends if log[begin:] and end >= log[begin][0]]


@given(logs())
def test_no_window_is_longer_than_it_may_be(log: list[Numbered]) -> None:
    for window in cut(log):
        assert len(window) <= MOST_EVENTS
        assert window[-1][1].time - window[0][1].time < MOST_DELAY_S
        assert len(window) == 1 or all(event.kind in BULK for _, event in window)
