"""The book of one requester: what it took, over all its lives and connections, and whether that is the log.

It is judged as reports come. Every wanted event up to the number that a report says to resume after must have been told
by then, by a report or by a gap marker; a gap marker may name only what was trimmed; within a connection reports come
in order; an event comes again only if every acknowledgement of it may have been lost, which `lost` decides.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from edged.dicomweb.event_reading import EventReport
from edged.dicomweb.event_report import EventKind
from edged.services.event_windows import MOST_EVENTS
from tests.support.notifying.log import Truth


@dataclass(frozen=True, slots=True)
class Taken:
    """A report that was taken, at `at` in seconds, over a connection."""

    connection: int
    at: float
    index: int
    """Of the reports of its connection, from 0 on."""


@dataclass
class Book:
    """What one requester took; `lost` says whether the acknowledgement of something may have been."""

    truth: Truth
    lost: Callable[[Taken], bool]
    kinds: tuple[str, ...] = ()
    each: bool = False
    told: dict[int, Taken] = field(default_factory=dict)
    gaps: int = 0
    again: int = 0
    """Events that came again."""
    covered: int = 0
    """Up to this number everything wanted was told."""
    _connection: int = -1
    _reports: int = 0
    _first: int = 0
    _trimmed: int = -1

    @property
    def is_empty(self) -> bool:
        """Whether it has never taken anything."""
        return not self.told and not self.gaps

    def take(self, report: EventReport, connection: int, at: float) -> None:
        """Note a report, and judge it."""
        assert report.first is not None
        assert report.last is not None
        assert report.resume is not None
        if connection != self._connection:
            assert connection > self._connection
            self._connection, self._reports, self._first = connection, 0, 0
        taken = Taken(connection, at, self._reports)
        self._reports += 1
        if report.kind is EventKind.GAP:
            self._take_gap(report.first, report.last)
        else:
            self._take_events(report, taken)
        assert report.first > self._first, "out of order"
        self._first = report.first
        self._cover(report.resume)

    def _take_gap(self, first: int, last: int) -> None:
        assert last <= self.truth.trimmed, "a gap marker for what is kept"
        self._cover(first - 1)
        self.gaps += 1
        self._trimmed = last
        self.covered = max(self.covered, last)

    def _take_events(self, report: EventReport, taken: Taken) -> None:
        numbers = sorted(self._numbers(report))
        assert numbers[0] == report.first
        assert numbers[-1] == report.last
        assert not self.each or len(numbers) == 1
        for number in numbers:
            if (before := self.told.get(number)) is not None:
                assert self._may_come_again(number, before), (
                    f"event {number} came again over {taken}, it was acknowledged: {before}"
                )
                self.again += 1
            self.told[number] = taken

    def _may_come_again(self, number: int, before: Taken) -> bool:
        """Whether an acknowledgement may have been lost: with the beginning of a window the place within it is."""
        if not self.each and (number - 1) // MOST_EVENTS == self._trimmed // MOST_EVENTS:
            return True
        return self.lost(before)

    def _numbers(self, report: EventReport) -> Iterator[int]:
        instances = [each.sop_instance_uid for each in report.instances]
        for what in instances or [report.subject]:
            assert report.kind is not None
            number = self.truth.numbers[report.kind, what]
            event = self.truth.events[number]
            assert not self.kinds or report.kind in self.kinds
            assert event.study_instance_uid == report.study_instance_uid
            yield number

    def _cover(self, resume: int) -> None:
        for number in range(self.covered + 1, resume + 1):
            wanted = not self.kinds or self.truth.events[number].kind in self.kinds
            assert not wanted or number in self.told, f"event {number} was never told, and the place is {resume}"
        self.covered = max(self.covered, resume)

    def missing(self) -> set[int]:
        """The wanted events that were not told, nor named by a gap marker."""
        return {each for each in self.truth.wanted(self.kinds) if each > self.covered and each not in self.told}
