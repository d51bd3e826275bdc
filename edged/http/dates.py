"""HTTP-dates: the three forms that are read, the one that is written.

Each form has one expression of its own and names of days and months are written out, so that nothing
depends on a locale. A time is POSIX time in seconds; where the present is needed it is an argument.
The day of the week is not checked against the date: it says nothing that the date does not.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

_TIME: Final = r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>[0-5]\d|60)"
_FORMS: Final = (
    re.compile(rf"\w{{3}}, (?P<day>\d\d) (?P<month>\w{{3}}) (?P<year>\d{{4}}) {_TIME} GMT", re.ASCII),
    re.compile(rf"\w{{6,9}}, (?P<day>\d\d)-(?P<month>\w{{3}})-(?P<year>\d\d) {_TIME} GMT", re.ASCII),
    re.compile(rf"\w{{3}} (?P<month>\w{{3}}) (?P<day>[ \d]\d) {_TIME} (?P<year>\d{{4}})", re.ASCII),
)
_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH_NUMBERS: Final = {name.lower(): number for number, name in enumerate(_MONTHS, start=1)}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_HALF_A_CENTURY: Final = 50


def parse_http_date(value: str, now: float) -> float | None:
    """Return an HTTP-date as POSIX time in seconds, or None if it is not one.

    `now`, POSIX time in seconds, tells which century a two-digit year is of: the nearest. Source: RFC 9110 5.6.7.
    """
    found = next((match for form in _FORMS if (match := form.fullmatch(value))), None)
    month = _MONTH_NUMBERS.get(found["month"].lower()) if found else None
    if found is None or month is None:
        return None
    year = int(found["year"])
    try:
        return datetime(
            year if len(found["year"]) == 4 else _full_year(year, now),
            month,
            int(found["day"]),
            int(found["hour"]),
            int(found["minute"]),
            min(int(found["second"]), 59),  # a leap second is legal
            tzinfo=UTC,
        ).timestamp()
    except ValueError:
        return None


def http_date(moment: float) -> str:
    """Return POSIX time in seconds, its fraction cut off, as IMF-fixdate. Source: RFC 9110 5.6.7.

    Raises OverflowError outside the years 1 to 9999.
    """
    date = _EPOCH + timedelta(seconds=moment // 1)
    day, month = _DAYS[date.weekday()], _MONTHS[date.month - 1]
    return f"{day}, {date.day:02} {month} {date.year:04} {date:%H:%M:%S} GMT"


def _full_year(two_digits: int, now: float) -> int:
    this_year = (_EPOCH + timedelta(seconds=now)).year
    year = this_year - this_year % 100 + two_digits
    if year > this_year + _HALF_A_CENTURY:
        return year - 100
    return year if year > this_year - _HALF_A_CENTURY else year + 100
