"""Figures as people read them: sizes, durations, times of day, plural words.

Pure. What is written here is for the eye; what a program reads is JSON with units in its keys.
"""

import time

_SIZES = ("B", "kB", "MB", "GB", "TB")
_SPANS = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"))


def size_text(size_bytes: float) -> str:
    """Write bytes with three digits or fewer before the unit, as in `39.2 kB`."""
    amount, unit = float(size_bytes), _SIZES[0]
    for unit in _SIZES:
        if amount < 999.5 or unit == _SIZES[-1]:
            break
        amount /= 1000
    return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"


def span_text(seconds: float) -> str:
    """Write a duration in its largest unit and the next, as in `2 h 5 min` or `0.4 s`."""
    for place, (length, unit) in enumerate(_SPANS):
        if seconds >= length:
            whole, rest = divmod(seconds, length)
            below, name = _SPANS[place + 1] if place + 1 < len(_SPANS) else (1.0, "s")
            return f"{whole:.0f} {unit} {rest // below:.0f} {name}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"


def clock_text(wall_s: float) -> str:
    """Write a moment (seconds since the epoch) as the local time of day, to the millisecond."""
    return f"{time.strftime('%H:%M:%S', time.localtime(wall_s))}.{int(wall_s * 1000) % 1000:03d}"


def counted(number: int, one: str, several: str = "") -> str:
    """Write a number with its noun, as in `1 file` and `3 files`."""
    return f"{number:,} {one if number == 1 else several or one + 's'}"
