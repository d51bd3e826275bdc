"""The box's clock in virtual time: trio's own, so that whoever waits and whoever looks at the clock agree."""

import trio

from edged.telemetry.clock import EARLIEST_POSSIBLE_S


class TrioClock:
    """A trusted clock that goes as trio's does."""

    def wall(self) -> float:
        """Return seconds since 1970-01-01 UTC."""
        return EARLIEST_POSSIBLE_S + trio.current_time()

    def monotonic(self) -> float:
        """Return trio's time."""
        return trio.current_time()

    def trusted(self) -> bool:
        """Return True."""
        return True
