"""From a path to the resource it names, and the URLs of resources.

A path is split before it is percent-decoded, so that an encoded slash stays part of its segment. A path
that cannot be decoded, or has an empty, "." or ".." segment, names nothing. One slash at the end is
forgiven. Which methods a resource has is asked of the match, for 405 and Allow.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from edged.dicomweb.resources import ROUTES, Route

MAX_PATH: Final = 4096  # 3 UIDs and their names are 240 characters

_HEXADECIMAL: Final = frozenset("0123456789abcdefABCDEF")


@dataclass(frozen=True, slots=True)
class Match:
    """A resource by its methods, and the values of its template's variables."""

    methods: Mapping[str, Route]
    parameters: Mapping[str, str] = field(default_factory=dict)

    def route(self, method: str) -> Route | None:
        """Return the row of a method, GET's for HEAD; None means 405 (PS3.18 8.5)."""
        route = self.methods.get("GET" if method == "HEAD" else method)
        return None if route and route.websocket and method == "HEAD" else route

    @property
    def allow(self) -> str:
        """The value of the Allow header field. Source: RFC 9110 10.2.1."""
        plain_get = "GET" in self.methods and not self.methods["GET"].websocket
        return ", ".join(sorted([*self.methods, *(["HEAD"] if plain_get else [])]))


def match(path: str, routes: Sequence[Route] = ROUTES) -> Match | None:
    """Return the resource that a path below the base path names, or None: 404.

    `path` is as it was sent, percent-encoded, without query. Source: RFC 3986 2.4, 3.3.
    """
    segments = split_path(path)
    if segments is None:
        return None
    found = [route for route in routes if _fits(route.segments, segments)]
    if not found:
        return None
    parameters = {
        name[1:-1]: value for name, value in zip(found[0].segments, segments, strict=True) if name.startswith("{")
    }
    return Match({route.method: route for route in found}, parameters)


def split_path(path: str) -> tuple[str, ...] | None:
    """Return a path's decoded segments; None if it is not a path that may name something."""
    if not path.startswith("/") or len(path) > MAX_PATH:
        return None
    parts = path[1:].removesuffix("/").split("/")
    if parts == [""]:
        return () if path == "/" else None
    segments = [_decoded(part) for part in parts]
    return None if any(segment in (None, "", ".", "..") for segment in segments) else tuple(map(str, segments))


def url_of(base_url: str, template: str, **parameters: str) -> str:
    """Return a resource's URL from its template; values are percent-encoded."""
    values = {name: quote(value, safe="") for name, value in parameters.items()}
    return base_url.rstrip("/") + template.format_map(values)


def _fits(template: tuple[str, ...], segments: tuple[str, ...]) -> bool:
    return len(template) == len(segments) and all(
        wanted.startswith("{") or wanted == segment for wanted, segment in zip(template, segments, strict=True)
    )


def _decoded(part: str) -> str | None:
    for escape in part.split("%")[1:]:
        if len(escape) < 2 or not _HEXADECIMAL.issuperset(escape[:2]):
            return None
    try:
        text = unquote_to_bytes(part).decode("utf-8")
    except UnicodeError:
        return None
    return text if text.isprintable() else None
