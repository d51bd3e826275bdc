"""How long the writer waits for more before it commits, so that senders at once share a commit.

A sender waits for its answer before it sends more. Those who were answered by one commit and those who came while it
ran are the ones to expect for the next: without waiting for them eight senders settle into alternating halves, and
where a flush takes long each half waits for it (MEASURED). They are waited for from the moment of the answer on, at
most half as long as the shortest of the last commits took: what a commit takes beyond that is its bytes, which take
the same time alone. A lone sender is never waited for; and where waiting was in vain, because a flush is quick and the
senders are not, it is not tried again for a while: it was when fewer than half of those came who were waited for. One
that is late alone must not end it, or it would be committed alone, and all others wait for that. For one thread.
"""

from collections import deque

REMEMBERED = 16
"""Commits; the shortest of them is about what a flush costs."""

MOST_S = 0.5

LONGEST_PAUSE = 63
"""Commits without waiting, after it was in vain again and again."""


class Linger:
    """Remembers the last commits."""

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=REMEMBERED)
        self._expected = 0
        self._until = 0.0
        self._come: int | None = None
        self._pause = 0
        self._pause_left = 0

    def answered(self, senders: int, *, waiting: int, seconds: float, now: float) -> None:
        """Note a commit for so many senders that took `seconds` and has just been answered.

        `waiting` ones came meanwhile; `now` is a monotonic clock's.
        """
        self._learn(senders)
        self._seconds.append(seconds)
        self._expected = senders + waiting
        self._until = now + min(min(self._seconds) / 2, MOST_S)

    def patience(self, come: int, now: float) -> float:
        """Return for how many seconds more senders are to be waited for, when so many have come; 0 for none."""
        if come >= self._expected or now >= self._until or self._pause_left:
            return 0.0
        if self._come is None:
            self._come = come
        return self._until - now

    def _learn(self, senders: int) -> None:
        if self._come is None:
            self._pause_left = max(0, self._pause_left - 1)
            return
        in_vain = 2 * (senders - self._come) < self._expected - self._come
        self._come = None
        self._pause = min(2 * self._pause + 1, LONGEST_PAUSE) if in_vain else 0
        self._pause_left = self._pause
