"""What time it is, and whether that can be believed.

A box without a battery wakes up in the past; dates that it writes then must be marked. The clock is
believed if the settings say so, or if its year is possible and something says that it is kept in
time: systemd-timesyncd's mark, or the kernel's own estimate of its error, which chrony and ntpd keep
small. The kernel is asked as timedatectl asks it: by the maximum error, not by STA_UNSYNC, which is
also set to keep the kernel's hands off the hardware clock.

Everything that needs the time is handed a `Clock`. Spans are measured with `monotonic` alone.
"""

import ctypes
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from edged.config.choices import ClockMode

EARLIEST_POSSIBLE_S = 1_704_067_200.0  # 2024-01-01: no box runs this before

_TIMESYNC_MARK = Path("/run/systemd/timesync/synchronized")
_UNSYNCHRONISED_US = 16_000_000  # the kernel's "I do not know": NTP_PHASE_LIMIT


class Clock(Protocol):
    """A source of time."""

    def wall(self) -> float:
        """Return seconds since 1970-01-01 UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds since some moment, never going back."""
        ...

    def trusted(self) -> bool:
        """Return whether the wall clock can be believed."""
        ...


ASK_AGAIN_S = 1.0
"""Asking costs as much as a tenth of a small request."""


class _Timex(ctypes.Structure):
    """The beginning of the kernel's struct timex, and room for the rest of it: adjtimex(2)."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("rest", ctypes.c_char * 256),
    )


_libc = ctypes.CDLL(None)


def kernel_says_synchronised() -> bool:
    """Return whether the kernel's estimate of its clock's error is finite; False when it must not be asked."""
    timex = _Timex()
    outcome: int = _libc.adjtimex(ctypes.byref(timex))
    return outcome >= 0 and timex.maxerror < _UNSYNCHRONISED_US


class SystemClock:
    """The clock of the machine."""

    def __init__(
        self,
        mode: ClockMode = ClockMode.AUTO,
        *,
        mark: Path = _TIMESYNC_MARK,
        synchronised: Callable[[], bool] = kernel_says_synchronised,
    ) -> None:
        """Believe the wall clock as `box.clock` says."""
        self._mode = mode
        self._mark = mark
        self._synchronised = synchronised
        self._is_trusted = False
        self._asked = float("-inf")

    def wall(self) -> float:
        """Return seconds since 1970-01-01 UTC."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds since some moment, never going back."""
        return time.monotonic()

    def trusted(self) -> bool:
        """Return whether the wall clock can be believed."""
        if self._mode is ClockMode.TRUST:
            return True
        now = self.monotonic()
        if now - self._asked >= ASK_AGAIN_S:
            self._asked = now
            self._is_trusted = self.wall() >= EARLIEST_POSSIBLE_S and (self._mark.exists() or self._synchronised())
        return self._is_trusted


class ManualClock:
    """A clock that stands still until somebody moves it."""

    def __init__(self, wall: float = EARLIEST_POSSIBLE_S, *, trusted: bool = True) -> None:
        """Start at a moment, in seconds since 1970-01-01 UTC; the monotonic clock starts at zero."""
        self._wall = wall
        self._monotonic = 0.0
        self._trusted = trusted

    def wall(self) -> float:
        """Return seconds since 1970-01-01 UTC."""
        return self._wall

    def monotonic(self) -> float:
        """Return the seconds that it was advanced."""
        return self._monotonic

    def trusted(self) -> bool:
        """Return what it was told."""
        return self._trusted

    def advance(self, seconds: float) -> None:
        """Let time pass; raises ValueError for a negative span, since time only passes."""
        if seconds < 0:
            raise ValueError("time only passes; a wall clock that is set back is `set_wall`")
        self._wall += seconds
        self._monotonic += seconds

    def set_wall(self, wall: float, *, trusted: bool = True) -> None:
        """Set the wall clock, as a time server does; the monotonic clock goes on."""
        self._wall = wall
        self._trusted = trusted
