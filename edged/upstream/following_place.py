"""How far a follower has come, by the numbers of the reports that it took; pure.

A report says after which number to resume once it and all before it were taken: the same number as before for all but
the last report of a window, whose events lie among those of the others (`event_report.EventHead`). So a hole shows
where a window begins: its first event is the one after the place, unless the follower asked for some kinds only. A
report that comes again, because its acknowledgement was lost, takes the place back to where it stands.

Invariant: whoever resumes after `after` misses nothing but what `missing` has told.
"""

from edged.dicomweb.event_reading import EventReport


class Place:
    """Where a follower is; `after` is None as long as no report had numbers."""

    def __init__(self, after: int | None, *, whole: bool) -> None:
        self.after = after
        self._whole = whole
        self._window: set[tuple[object, ...]] = set()  # those of its reports that are taken, unless its last one is

    def begin(self, newest: int | None) -> None:
        """Note the newest event of a log that is followed from now on, if that is known."""
        if self.after is None:
            self.after = newest

    def missing(self, report: EventReport) -> tuple[int, int] | None:
        """Return the numbers, first and last, between the place and a report that has come."""
        if not self._whole or self._window or self.after is None or report.first is None:
            return None
        return (self.after + 1, report.first - 1) if report.first > self.after + 1 else None

    def knows(self, report: EventReport) -> bool:
        """Whether a report was taken that comes again because others of its window were not."""
        return report.resume == self.after and _identity(report) in self._window

    def taken(self, report: EventReport) -> None:
        """Note that a report was taken."""
        if report.resume is None or report.last is None:
            return
        if report.resume != self.after or report.resume >= report.last:
            self._window.clear()
        if report.resume < report.last:
            self._window.add(_identity(report))
        self.after = report.resume

    def begin_anew(self) -> None:
        """Note that the log there is another one: all of it is new."""
        self.after = 0
        self._window.clear()


def _identity(report: EventReport) -> tuple[object, ...]:
    return report.kind, report.first, report.last
