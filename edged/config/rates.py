"""How fast a destination may be sent to: a rate, or a table of them by days and times of day.

A text is one rate for always. A list is gone through in its order, and the first window that a moment is in decides;
in none of them nothing is bounded, nor in one whose rate is "". Times are those of the box's time zone; a window whose
end is not after its beginning goes on into the next day, to which its days do not refer.
"""

import re
from dataclasses import dataclass
from enum import IntEnum

from edged.config.units import read_rate

_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
_END_OF_DAY = "24:00"
_KEYS = frozenset({"days", "from", "to", "rate"})
_FORM = 'write "20Mbit/s", or a list such as [{days = ["mon", "fri"], from = "07:00", to = "19:00", rate = "20Mbit/s"}]'
_LEAST_BYTES_PER_S = 1000.0  # slower than the progress that is asked of a link, nothing would ever arrive
DAY_MINUTES = 24 * 60


class Day(IntEnum):
    """A day of the week, as datetime.weekday counts."""

    MON = 0
    TUE = 1
    WED = 2
    THU = 3
    FRI = 4
    SAT = 5
    SUN = 6


@dataclass(frozen=True, slots=True)
class RateWindow:
    """A rate in bytes per second, None for no bound, on some days from one minute of the day to before another."""

    bytes_per_s: float | None
    days: frozenset[Day] = frozenset(Day)
    begin_minute: int = 0
    end_minute: int = DAY_MINUTES


Rates = tuple[RateWindow, ...]
"""In the order in which they are gone through; none: no bound at any time."""


def rates(value: object) -> Rates:
    """Read one rate, a list of windows, or "" for no bound."""
    if value == "":
        return ()
    if isinstance(value, list):
        return tuple(_window(each) for each in value)
    return (RateWindow(_rate(value)),)


def _window(value: object) -> RateWindow:
    if not isinstance(value, dict) or not value.keys() <= _KEYS or "rate" not in value:
        raise ValueError(_FORM)
    rate = None if value["rate"] == "" else _rate(value["rate"])
    return RateWindow(
        bytes_per_s=rate,
        days=_days(value.get("days", [day.name.lower() for day in Day])),
        begin_minute=_minute(value.get("from", "00:00")),
        end_minute=_minute(value.get("to", _END_OF_DAY)),
    )


def _rate(value: object) -> float:
    bytes_per_s = read_rate(value)
    if bytes_per_s < _LEAST_BYTES_PER_S:
        raise ValueError(f"write at least {_LEAST_BYTES_PER_S / 1000:g}kB/s")
    return bytes_per_s


def _days(value: object) -> frozenset[Day]:
    names = {day.name.lower(): day for day in Day}
    if not isinstance(value, list) or not value or not all(isinstance(each, str) and each in names for each in value):
        raise ValueError(f"write days as a list of {', '.join(names)}")
    return frozenset(names[each] for each in value)


def _minute(value: object) -> int:
    if value == _END_OF_DAY:
        return DAY_MINUTES
    time = _TIME.fullmatch(value) if isinstance(value, str) else None
    if time is None:
        raise ValueError('write a time of day such as "07:00"')
    return int(time[1]) * 60 + int(time[2])
