"""Where a follower resumes, over any log, cut into any windows, however its connections end: nothing is missed."""

from collections.abc import Iterator, Sequence

from hypothesis import given
from hypothesis import strategies as st

from edged.dicomweb.event_reading import EventReport
from edged.dicomweb.event_report import EventKind
from edged.upstream.following_place import Place

Window = Sequence[int]
"""For each of its events, which of its reports tells it."""

WINDOWS = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=8), min_size=1, max_size=8)


def told(windows: Sequence[Window], after: int) -> Iterator[tuple[EventReport, set[int]]]:
    """The reports of a log after a number that is a window's end, and the events that each tells."""
    begin = 0
    for window in windows:
        end = begin + len(window)
        if begin >= after:
            groups: dict[int, list[int]] = {}
            for number, group in enumerate(window, begin + 1):
                groups.setdefault(group, []).append(number)
            for place, numbers in enumerate(groups.values(), 1):
                resume = end if place == len(groups) else begin
                yield report(numbers[0], numbers[-1], resume), set(numbers)
        begin = end


def report(first: int, last: int, resume: int) -> EventReport:
    return EventReport(EventKind.RECEIVED, {}, first=first, last=last, resume=resume)


@given(WINDOWS, st.lists(st.integers(0, 6), max_size=12))
def test_each_event_is_taken_once(windows: Sequence[Window], cuts: Sequence[int]) -> None:
    place, taken = Place(0, whole=True), list[int]()
    for cut in [*cuts, 1000]:
        assert place.after is not None
        for count, (each, numbers) in enumerate(told(windows, place.after)):
            if count == cut:
                break
            if not place.knows(each):
                assert place.missing(each) is None
                taken += sorted(numbers)
            place.taken(each)
    assert sorted(taken) == list(range(1, sum(map(len, windows)) + 1))


@given(WINDOWS, st.data())
def test_windows_that_are_left_out_are_told(windows: Sequence[Window], data: st.DataObject) -> None:
    left_out = data.draw(st.sets(st.integers(0, len(windows) - 1)))
    ends = [sum(map(len, windows[: index + 1])) for index in range(len(windows))]
    gone = {number for index in left_out for number in range(ends[index] - len(windows[index]) + 1, ends[index] + 1)}
    place, missing, newest = Place(0, whole=True), set[int](), 0
    for each, numbers in told(windows, 0):
        if numbers & gone:
            continue
        if (hole := place.missing(each)) is not None:
            missing |= set(range(hole[0], hole[1] + 1))
        place.taken(each)
        newest = max(newest, *numbers)
    assert missing == {number for number in gone if number < newest}


def test_what_is_delivered_again_takes_the_place_back() -> None:
    place = Place(None, whole=True)
    for number in (5, 6, 7, 6, 7, 8):
        assert place.missing(report(number, number, number)) is None
        place.taken(report(number, number, number))
    assert place.after == 8


def test_reports_without_numbers_move_nothing() -> None:
    place = Place(3, whole=True)
    plain = EventReport(None, {})
    assert place.missing(plain) is None
    assert not place.knows(plain)
    place.taken(plain)
    assert place.after == 3
