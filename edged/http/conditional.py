"""Validators and conditional requests: entity tags, modification dates, preconditions, If-Range.

All entity tags of edged are strong: they are made of a digest of the bytes that are sent, so that
equal tags mean equal bytes. A date is strong once its second is over, for then nothing can change
within it any more. Where both a tag and a date are asked about, the tag decides. A list of tags that
is not one matches nothing, which is the careful side of every condition; a date that is not one is
as if it were absent.

OPTIONS selects a representation here (PS3.18 8.9), so that If-None-Match applies to it.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from edged.http.dates import http_date, parse_http_date
from edged.http.fields import WHITESPACE

Header = Callable[[str], str | None]
"""Gives a field's value by its lower-case name, several lines of one field joined by commas; None: not sent."""

_ANY: Final = "*"
_WEAK: Final = "W/"
_TAG: Final = r'(?:W/)?"[^\x00-\x20"\x7f]*+"'
_ONE_TAG: Final = re.compile(_TAG)
_TAGS: Final = re.compile(rf"[ \t,]*+(?:{_TAG}[ \t]*+(?:,[ \t,]*+|\Z))*+")
_RETRIEVES: Final = frozenset({"GET", "HEAD"})
_ANSWERS_NOT_MODIFIED: Final = _RETRIEVES | {"OPTIONS"}
_UNCONDITIONAL: Final = frozenset({"CONNECT", "TRACE"})


class Precondition(Enum):
    """What a request's conditions ask for."""

    PROCEED = auto()
    NOT_MODIFIED = auto()
    PRECONDITION_FAILED = auto()


@dataclass(frozen=True, slots=True)
class Validators:
    """What tells one state of a representation from another: its entity tag, and when it changed (POSIX seconds)."""

    etag: str | None = None
    modified: float | None = None

    def fields(self, now: float) -> tuple[tuple[str, str], ...]:
        """Return ETag and Last-Modified, as far as they are known, for an answer made `now` (POSIX seconds).

        A clock may have been set back since; no date is told that lies ahead. Source: RFC 9110 8.8.2.1, 8.8.3.
        """
        etag = () if self.etag is None else (("etag", self.etag),)
        return etag if self.modified is None else (*etag, ("last-modified", http_date(min(self.modified, now))))


def strong_etag(digest: bytes) -> str:
    """Return the strong entity tag of a representation with this digest. Source: RFC 9110 8.8.3."""
    return f'"{digest.hex()}"'


def evaluate(method: str, header: Header, current: Validators | None, *, now: float) -> Precondition:
    """Judge If-Match, If-Unmodified-Since, If-None-Match and If-Modified-Since, in this order.

    `current` is of the representation that the answer would carry, or that would be changed; None: there is none.
    To be asked only when the answer would be a success otherwise; `now` is POSIX time in seconds.
    Source: RFC 9110 13.2.1, 13.2.2.
    """
    if method in _UNCONDITIONAL:
        return Precondition.PROCEED
    if not _may_proceed(header, current, now):
        return Precondition.PRECONDITION_FAILED
    if not _is_unchanged(header, current, now, retrieves=method in _RETRIEVES):
        return Precondition.PROCEED
    return Precondition.NOT_MODIFIED if method in _ANSWERS_NOT_MODIFIED else Precondition.PRECONDITION_FAILED


def range_to_honour(method: str, header: Header, current: Validators, *, now: float) -> str | None:
    """Return the Range field's value, or None if the whole representation answers.

    To be asked after `evaluate` said PROCEED; `now` is POSIX time in seconds. Source: RFC 9110 13.1.5, 14.2.
    """
    value = header("range")
    if method != "GET" or value is None:
        return None
    condition = header("if-range")
    return value if condition is None or _is_same(condition.strip(WHITESPACE), current, now) else None


def _may_proceed(header: Header, current: Validators | None, now: float) -> bool:
    """If-Match, else If-Unmodified-Since. Source: RFC 9110 13.1.1, 13.1.4."""
    tags = header("if-match")
    if tags is not None:
        return current is not None and _names(tags, current.etag, weakly=False)
    since = _date(header("if-unmodified-since"), now)
    modified = _modified_second(current)
    return since is None or modified is None or modified <= since


def _is_unchanged(header: Header, current: Validators | None, now: float, *, retrieves: bool) -> bool:
    """If-None-Match, else, for a method that retrieves, If-Modified-Since. Source: RFC 9110 13.1.2, 13.1.3."""
    tags = header("if-none-match")
    if tags is not None:
        return current is not None and _names(tags, current.etag, weakly=True)
    if not retrieves:
        return False
    since = _date(header("if-modified-since"), now)
    modified = _modified_second(current)
    return since is not None and modified is not None and modified <= since


def _is_same(condition: str, current: Validators, now: float) -> bool:
    """Tell whether If-Range names exactly the current state; only strong validators do. Source: RFC 9110 13.1.5."""
    if _ONE_TAG.fullmatch(condition):
        return _equal(condition, current.etag, weakly=False)
    modified = _modified_second(current)
    return modified is not None and modified + 1 <= now and _date(condition, now) == modified


def _names(header: str, etag: str | None, *, weakly: bool) -> bool:
    """Tell whether a list of entity tags, or `*`, covers a representation that exists."""
    if header.strip(WHITESPACE) == _ANY:
        return True
    if not _TAGS.fullmatch(header):
        return False
    return any(_equal(tag, etag, weakly=weakly) for tag in _ONE_TAG.findall(header))


def _equal(tag: str, etag: str | None, *, weakly: bool) -> bool:
    """Compare two entity tags. Source: RFC 9110 8.8.3.2."""
    if etag is None:
        return False
    if weakly:
        return tag.removeprefix(_WEAK) == etag.removeprefix(_WEAK)
    return tag == etag and not tag.startswith(_WEAK)


def _date(value: str | None, now: float) -> float | None:
    return None if value is None else parse_http_date(value.strip(WHITESPACE), now)


def _modified_second(current: Validators | None) -> float | None:
    """The second that Last-Modified tells: a fraction cannot be asked about."""
    return None if current is None or current.modified is None else current.modified // 1
