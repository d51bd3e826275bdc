"""Sizes, durations and rates as people write them: "16GiB", "7d", "20Mbit/s".

Each kind has a reader and a writer, and what the writer gives the reader reads back to the same
number. The arithmetic is exact (decimal fractions become whole bytes, whole milliseconds or whole
bits, or are refused), so that no setting is silently rounded. A bare number is in the base unit:
bytes, seconds, bytes per second. Everything that cannot be read raises `UnitError`, whose text says
what would have been allowed; nothing else escapes.
"""

import math
import re
from collections.abc import Mapping
from fractions import Fraction
from types import MappingProxyType

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
TIB = 1024 * GIB

MINUTE = 60.0
HOUR = 60 * MINUTE
DAY = 24 * HOUR
WEEK = 7 * DAY

_LARGEST = 2**53  # beyond it a float no longer tells neighbouring whole numbers apart

_BYTES: Mapping[str, int] = MappingProxyType(
    {
        "TiB": TIB,
        "TB": 10**12,
        "GiB": GIB,
        "GB": 10**9,
        "MiB": MIB,
        "MB": 10**6,
        "KiB": KIB,
        "kB": 10**3,
        "B": 1,
    }
)
_MILLISECONDS: Mapping[str, int] = MappingProxyType(
    {"w": 604_800_000, "d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
)
_BITS_PER_SECOND: Mapping[str, int] = MappingProxyType({"Gbit/s": 10**9, "Mbit/s": 10**6, "kbit/s": 10**3, "bit/s": 1})
_RATES: Mapping[str, int] = MappingProxyType(
    {**_BITS_PER_SECOND, **{f"{unit}/s": 8 * factor for unit, factor in _BYTES.items() if factor <= GIB}}
)

SIZE_FORM = '"16GiB", "500 MB" or a whole number of bytes'
DURATION_FORM = '"7d", "15m", "2s", "250ms" or a number of seconds'
RATE_FORM = '"20Mbit/s", "2 MB/s" or a number of bytes per second'

_QUANTITY = re.compile(r"\s*([0-9]{1,16}(?:\.[0-9]{1,9})?)\s*([A-Za-z/]{0,8})\s*", re.ASCII)


class UnitError(ValueError):
    """What was written is no such quantity; the text says what would be."""


def read_size(value: object) -> int:
    """Return bytes, from a text with a unit or a whole number; else `UnitError`."""
    return _whole(value, _BYTES, one=1, form=SIZE_FORM)


def read_duration(value: object) -> float:
    """Return seconds, to the millisecond, from a text with a unit or a number; else `UnitError`."""
    return _whole(value, _MILLISECONDS, one=1000, form=DURATION_FORM) / 1000


def read_rate(value: object) -> float:
    """Return bytes per second, to the bit, from a text with a unit or a number; else `UnitError`."""
    return _whole(value, _RATES, one=8, form=RATE_FORM) / 8


def write_size(size_bytes: int) -> str:
    """Write bytes in the largest unit that holds them exactly."""
    return _written(size_bytes, _BYTES)


def write_duration(duration_s: float) -> str:
    """Write seconds (to the millisecond) in the largest unit that holds them exactly."""
    return _written(round(duration_s * 1000), _MILLISECONDS)


def write_rate(bytes_per_s: float) -> str:
    """Write bytes per second (to the bit) in bits, in the largest unit that holds them exactly."""
    return _written(round(bytes_per_s * 8), _BITS_PER_SECOND)


def _whole(value: object, units: Mapping[str, int], *, one: int, form: str) -> int:
    """Read a quantity as a whole number of the smallest unit; `one` is what a bare number counts in it."""
    if isinstance(value, str):
        exact = _quantity(value, units, one=one, form=form)
    elif isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UnitError(f"write {form}")
    else:
        exact = Fraction(str(value)) * one
    if exact < 0 or exact > _LARGEST:
        raise UnitError("outside of what can be counted")
    if exact.denominator != 1:
        raise UnitError("finer than can be counted")
    return int(exact)


def _quantity(text: str, units: Mapping[str, int], *, one: int, form: str) -> Fraction:
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise UnitError(f"write {form}")
    number, unit = match.groups()
    if not unit:
        return Fraction(number) * one
    if unit not in units:
        raise UnitError(f"the unit {unit!r} is not one of {', '.join(reversed(list(units)))}")
    return Fraction(number) * units[unit]


def _written(amount: int, units: Mapping[str, int]) -> str:
    """Write a whole number of the smallest unit, the shortest count first."""
    exact = [(amount // factor, unit) for unit, factor in units.items() if amount % factor == 0]
    count, unit = min(exact) if amount else (0, list(units)[-1])
    return f"{count}{unit}"
