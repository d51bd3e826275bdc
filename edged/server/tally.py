"""What strangers can cause as often as they like, in the log once a minute.

What may live here: counting and telling. Invariant: the first time is told at once, and none later than by the next
line about the same.
"""

import logging
import math
import time

LOG = logging.getLogger("edged.server")
TELL_EVERY_S = 60.0


class Tally:
    """How often one thing has happened."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._untold = 0
        self._told_at = -math.inf

    def count(self) -> None:
        """Count it once more, and tell if it was not told in the last minute."""
        self._untold += 1
        now = time.monotonic()
        if now - self._told_at >= TELL_EVERY_S:
            LOG.info("%s (%d since this was last told)", self._text, self._untold)
            self._untold, self._told_at = 0, now
