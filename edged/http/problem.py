"""The one shape of every error: a Status Report as problem+json, HTML or plain text.

A Problem says what went wrong, whether it will pass, and when to try again; render() writes it for
the user agent. HTML is the default (PS3.18 8.6.3), RFC 9457 JSON goes to whoever accepts any JSON.
Its texts are written for strangers: no exception text, no path, no name from the store is ever put
into one, and an unexpected failure is always the same `INTERNAL_ERROR`.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """An error as told to a user agent; `retry_after` in seconds, `extra` for more JSON members."""

    status: HTTPStatus
    detail: str
    title: str = ""
    temporary: bool = False
    retry_after: int | None = None
    extra: Extra = field(default_factory=dict)


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


def render(problem: Problem, accept: str | None) -> StatusReport:
    """Write a problem in the form that an Accept header prefers. Source: PS3.18 8.6.3, RFC 9457."""
    chosen = choose(accept, _OFFERED) or _HTML
    members = _members(problem)
    if chosen in _JSON:
        content_type, body = "application/problem+json", msgspec.json.encode(members)
    elif chosen is _TEXT:
        content_type, body = "text/plain; charset=utf-8", _plain(members).encode("utf-8", "replace")
    else:
        content_type, body = "text/html; charset=utf-8", _html(members).encode("utf-8", "replace")
    headers = [("content-type", content_type), ("content-length", str(len(body)))]
    if problem.retry_after is not None:
        headers.append(("retry-after", str(problem.retry_after)))
    return StatusReport(problem.status, tuple(headers), body)


def _members(problem: Problem) -> dict[str, object]:
    members: dict[str, object] = {
        "title": problem.title or problem.status.phrase,
        "status": int(problem.status),
        "detail": problem.detail,
        "temporary": problem.temporary,
    }
    if problem.retry_after is not None:
        members["retry_after"] = problem.retry_after
    return members | {name: value for name, value in problem.extra.items() if name not in members}


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
    shown = {"title", "status", "detail"}
    return [(name.replace("_", " "), _text(value)) for name, value in members.items() if name not in shown]


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(value) if isinstance(value, list) else str(value)
