"""What the two versions of HTTP carry to one destination, measured by what is sent anyway.

Pure: whoever sends tells the times. A sample is the bytes that left while at least one body was on its way, over the
time for which one was; it is long against the round trip, and the first one after a change is dropped: connections
begin slowly. Samples are taken only while all bodies are on one version, and two are compared only when they follow
each other: what is judged stays judged. Now and then, when the path has changed, and when much more is sent than when
it was judged, the version that is not in use is measured again; each time that this changes nothing it is left alone
for twice as long.

Invariant: nothing here is asked for, or costs, a request; a destination to which little is sent is never judged.
"""

from dataclasses import replace

from edged.upstream.http_choice import Chosen, Measured, Version, choose

SAMPLE_S = 0.25
SAMPLE_ROUND_TRIPS = 8
SAMPLE_BYTES = 4 << 20
"""The least a sample lasts and holds."""
AGAIN_S = 600.0
MOST_S = 86_400.0
"""After which the other version is measured again: at first, and after it was in vain again and again."""
REST_S = 60.0
"""The least time from one measuring to the next, whatever changes."""
CHANGE = 2.0
"""The factor by which round trip or window differ on another path, and a load is another one."""
PATH_SECONDS = 0.01
"""A difference of round trips below this is this machine's own doing."""


class Weighing:
    """Two versions of HTTP to one destination; seconds are of one clock that never goes back."""

    def __init__(self, now: float) -> None:
        self._seen = Measured()
        self._running = {Version.ONE: 0, Version.TWO: 0}
        self._sample = _Sample(None)
        self._latest = 0.0  # of the settled version
        self._at = now
        self._judged_at = now
        self._every_s = AGAIN_S

    @property
    def seen(self) -> Measured:
        """All that is known."""
        return self._seen

    def chosen(self, now: float) -> Chosen:
        """Choose the version of the next request."""
        if self._seen.compared and now - self._judged_at >= self._every_s:
            self._measure_other()
        return choose(self._seen)

    def offers(self, offered: bool | None) -> None:
        """Note whether the peer offers HTTP/2; None: that is not known any more."""
        self._seen = replace(self._seen, offered=offered)

    def path(self, now: float, *, round_trip_s: float | None, window_bytes: int) -> None:
        """Note what a connection shows of the way; another way has to be measured anew."""
        seen = self._seen
        if self._is_another(round_trip_s, window_bytes) and now - self._judged_at >= REST_S:
            seen = Measured(offered=seen.offered)
            self._judged_at, self._every_s, self._sample = now, AGAIN_S, _Sample(None)
        self._seen = replace(seen, round_trip_s=round_trip_s, window_bytes=window_bytes)

    def one_failed(self, now: float) -> None:
        """Note that a peer which offers both gives no connection in HTTP/1.1: HTTP/2 is settled, for a while."""
        self._seen = replace(self._seen, one=0.0, settled=Version.TWO)
        self._judged_at, self._every_s = now, AGAIN_S

    def began(self, version: Version, now: float) -> None:
        """Note that a body is on its way."""
        self._pass(now)
        self._running[version] += 1
        if all(self._running.values()):
            self._sample = _Sample(None)
        elif self._sample.version is not version:
            self._sample = _Sample(version)

    def moved(self, version: Version, size: int, now: float) -> None:
        """Note that `size` bytes of a body have left."""
        self._pass(now)
        sample = self._sample
        if sample.version is not version:
            return
        sample.bytes += size
        least_s = max(SAMPLE_S, SAMPLE_ROUND_TRIPS * (self._seen.round_trip_s or 0.0))
        if sample.bytes >= SAMPLE_BYTES and sample.busy_s >= least_s:
            self._sample = _Sample(version, first=False)
            if not sample.first:
                self._take(version, sample.bytes / sample.busy_s, now)

    def ended(self, version: Version, now: float) -> None:
        """Note that a body is on its way no more: its answer has come, or none will."""
        self._pass(now)
        self._running[version] -= 1

    def _pass(self, now: float) -> None:
        if any(self._running.values()):
            self._sample.busy_s += now - self._at
        self._at = now

    def _take(self, version: Version, rate: float, now: float) -> None:
        if self._seen.compared:
            if version is self._seen.settled:
                self._take_settled(rate, now)
            return
        if version is Version.ONE:
            self._seen = replace(self._seen, one=rate)
        else:
            self._seen = replace(self._seen, two=rate)
        if self._seen.compared:
            settled = choose(self._seen).version
            self._every_s = min(2 * self._every_s, MOST_S) if settled is self._seen.settled else AGAIN_S
            self._judged_at = now
            self._seen = replace(self._seen, settled=settled)
            self._latest = self._of_settled()

    def _take_settled(self, rate: float, now: float) -> None:
        self._latest = rate
        if rate > CHANGE * self._of_settled() and now - self._judged_at >= REST_S:
            self._measure_other()

    def _of_settled(self) -> float:
        return (self._seen.one if self._seen.settled is Version.ONE else self._seen.two) or 0.0

    def _measure_other(self) -> None:
        one = self._latest if self._seen.settled is Version.ONE else None
        two = self._latest if self._seen.settled is Version.TWO else None
        self._seen = replace(self._seen, one=one, two=two)

    def _is_another(self, round_trip_s: float | None, window_bytes: int) -> bool:
        before_s, before = self._seen.round_trip_s, self._seen.window_bytes
        if before is not None and _differs(before, window_bytes):
            return True
        if before_s is None or round_trip_s is None or abs(round_trip_s - before_s) < PATH_SECONDS:
            return False
        return _differs(before_s, round_trip_s)


class _Sample:
    """What has left over one version while nothing went over the other; `first` of a row of them."""

    __slots__ = ("busy_s", "bytes", "first", "version")

    def __init__(self, version: Version | None, *, first: bool = True) -> None:
        self.version = version
        self.first = first
        self.bytes = 0
        self.busy_s = 0.0


def _differs(before: float, now: float) -> bool:
    return not before / CHANGE < now < before * CHANGE
