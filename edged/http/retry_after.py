"""Retry-After as a user agent reads it: seconds, or an HTTP-date, into seconds from now.

What a peer asks for is honoured up to a cap: a mistaken year must not stop forwarding for ever.
"""

import re
from typing import Final

from edged.http.dates import parse_http_date

MAX_RETRY_AFTER_S: Final = 86_400.0  # one day: longer maintenance windows are looked at again daily

_SECONDS: Final = re.compile(r"[0-9]+")


def parse_retry_after(value: str, now: float) -> float | None:
    """Return the seconds to wait, from 0 to MAX_RETRY_AFTER_S, or None if the value says nothing.

    `now` is POSIX time in seconds. Source: RFC 9110 10.2.3.
    """
    value = value.strip()
    if _SECONDS.fullmatch(value):
        return MAX_RETRY_AFTER_S if len(value) > 9 else min(float(value), MAX_RETRY_AFTER_S)
    moment = parse_http_date(value, now)
    return None if moment is None else min(max(moment - now, 0.0), MAX_RETRY_AFTER_S)
