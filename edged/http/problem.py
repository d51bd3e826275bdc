"""The one shape of every error: a Status Report as problem+json, HTML or plain text.

A Problem says what went wrong, whether it will pass, and when to try again; render() writes it for
the user agent. HTML is the default (PS3.18 8.6.3), RFC 9457 JSON goes to whoever accepts any JSON.
Every form says whether the condition is temporary or permanent (Table 8.5-1), and names the request,
so that it is found in the log. Its texts are written for strangers: no exception text, no path, no
name from the store is ever put into one, and an unexpected failure is always the same
`INTERNAL_ERROR`. No report is kept by a cache, interpreted as another type, or able to run a script.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from http import HTTPStatus
from typing import Final

import msgspec

from edged.http.accept import choose
from edged.http.media_type import MediaType

Extra = Mapping[str, str | int | bool | list[str] | None]

_HTML: Final = MediaType("text", "html")
_TEXT: Final = MediaType("text", "plain")
_JSON: Final = (
    MediaType("application", "problem+json"),
    MediaType("application", "json"),
    MediaType("application", "dicom+json"),
    MediaType("multipart", "related", {"type": "application/dicom+json"}),
)
_OFFERED: Final = (_HTML, *_JSON, _TEXT)
_PASSING: Final = frozenset(
    {
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.TOO_EARLY,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
_SAFE: Final = (
    ("cache-control", "no-store"),
    ("content-security-policy", "default-src 'none'"),
    ("x-content-type-options", "nosniff"),
)
_MAX_TEXT: Final = 2000  # characters; nobody reads more, and a text may repeat something of the request


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """An error as told to a user agent.

    `temporary`: it will pass by itself; `retry_after`: when, in seconds; `extra`: further members of the report.
    """

    status: HTTPStatus
    detail: str
    title: str = ""
    temporary: bool = False
    retry_after: int | None = None
    extra: Extra = field(default_factory=dict)

    @property
    def passes(self) -> bool:
        """Whether the condition is temporary: it is said, there is a time to try again, or the status means it."""
        return self.temporary or self.retry_after is not None or self.status in _PASSING


@dataclass(frozen=True, slots=True)
class StatusReport:
    """A rendered Problem, ready to be sent."""

    status: HTTPStatus
    headers: tuple[tuple[str, str], ...]
    body: bytes


INTERNAL_ERROR: Final = Problem(
    status=HTTPStatus.INTERNAL_SERVER_ERROR,
    detail="The origin server met an unexpected condition. It has been logged.",
    temporary=True,
)


def render(problem: Problem, accept: str | None, request_id: str | None = None) -> StatusReport:
    """Write a problem in the form that an Accept header prefers; `request_id` is the one in the log.

    Source: PS3.18 8.6.3, RFC 9457.
    """
    chosen = choose(accept, _OFFERED) or _HTML
    members = _members(problem, request_id)
    if chosen in _JSON:
        content_type, body = "application/problem+json", msgspec.json.encode(members)
    elif chosen is _TEXT:
        content_type, body = "text/plain; charset=utf-8", _plain(members).encode()
    else:
        content_type, body = "text/html; charset=utf-8", _html(members).encode()
    headers = [("content-type", content_type), ("content-length", str(len(body))), *_SAFE]
    if problem.retry_after is not None:
        headers.append(("retry-after", str(problem.retry_after)))
    return StatusReport(problem.status, tuple(headers), body)


def _members(problem: Problem, request_id: str | None) -> dict[str, object]:
    members: dict[str, object] = {
        "title": problem.title or problem.status.phrase,
        "status": int(problem.status),
        "detail": problem.detail,
        "temporary": problem.passes,
    }
    if problem.retry_after is not None:
        members["retry_after"] = problem.retry_after
    members |= {name: value for name, value in problem.extra.items() if name not in members}
    if request_id is not None:
        members["request_id"] = request_id
    return {name: _clean(value) for name, value in members.items()}


def _clean(value: object) -> object:
    """Bound a text, and make every text one that UTF-8 can write."""
    if isinstance(value, list):
        return [_clean(each) for each in value]
    return value[:_MAX_TEXT].encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _plain(members: Mapping[str, object]) -> str:
    lines = [f"{members['status']} {members['title']}", "", str(members["detail"]), ""]
    return "\n".join([*lines, *(f"{name}: {text}" for name, text in _remarks(members)), ""])


def _html(members: Mapping[str, object]) -> str:
    heading = escape(f"{members['status']} {members['title']}")
    remarks = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in _remarks(members))
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{heading}</title></head>'
        f"<body><h1>{heading}</h1><p>{escape(str(members['detail']))}</p><dl>{remarks}</dl></body></html>\n"
    )


def _remarks(members: Mapping[str, object]) -> list[tuple[str, str]]:
    """What the report says beside its text, for people."""
    shown = {"title", "status", "detail", "temporary"}
    condition = "temporary" if members["temporary"] else "permanent"
    rest = {name: value for name, value in members.items() if name not in shown and value is not None}
    return [("condition", condition), *((name.replace("_", " "), _text(value)) for name, value in rest.items())]


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(value) if isinstance(value, list) else str(value)
