"""Retry-After as a user agent reads it: seconds, or an HTTP-date, into seconds from now.

The three date forms of RFC 9110 5.6.7 are read with one expression each, independent of any locale.
What a peer asks for is honoured up to a cap: a mistaken year must not stop forwarding for ever.
"""

import re
from datetime import UTC, datetime
from typing import Final

MAX_RETRY_AFTER_S: Final = 86_400.0  # one day: longer maintenance windows are looked at again daily

_SECONDS: Final = re.compile(r"[0-9]+")
_TIME: Final = r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
_DATES: Final = (
    re.compile(rf"\w{{3}}, (?P<day>\d\d) (?P<month>\w{{3}}) (?P<year>\d{{4}}) {_TIME} GMT", re.ASCII),
    re.compile(rf"\w{{6,9}}, (?P<day>\d\d)-(?P<month>\w{{3}})-(?P<year>\d\d) {_TIME} GMT", re.ASCII),
    re.compile(rf"\w{{3}} (?P<month>\w{{3}}) (?P<day>[ \d]\d) {_TIME} (?P<year>\d{{4}})", re.ASCII),
)
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_CENTURY: Final = 2000  # RFC 850 years have two digits; no live server means 19xx


def parse_retry_after(value: str, now: float) -> float | None:
    """Return the seconds to wait, from 0 to MAX_RETRY_AFTER_S, or None if the value says nothing.

    `now` is POSIX time in seconds. Source: RFC 9110 10.2.3.
    """
    value = value.strip()
    if _SECONDS.fullmatch(value):
        return MAX_RETRY_AFTER_S if len(value) > 9 else min(float(value), MAX_RETRY_AFTER_S)
    moment = parse_http_date(value)
    return None if moment is None else min(max(moment - now, 0.0), MAX_RETRY_AFTER_S)


def parse_http_date(value: str) -> float | None:
    """Return an HTTP-date as POSIX time in seconds, or None if it is not one. Source: RFC 9110 5.6.7."""
    found = next((match for form in _DATES if (match := form.fullmatch(value))), None)
    if found is None or found["month"].lower() not in _MONTHS:
        return None
    year = int(found["year"])
    try:
        return datetime(
            year if year >= 100 else _CENTURY + year,
            _MONTHS.index(found["month"].lower()) + 1,
            int(found["day"]),
            int(found["hour"]),
            int(found["minute"]),
            min(int(found["second"]), 59),  # a leap second is legal
            tzinfo=UTC,
        ).timestamp()
    except ValueError:
        return None
