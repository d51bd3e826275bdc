"""Which web pages may use the service from a browser: CORS, and the Origin of a WebSocket handshake.

The settings name origins exactly, or "*" for all. A preflight is told from a Retrieve Capabilities request, which is an
OPTIONS too, by having both Origin and Access-Control-Request-Method: only that is answered here, so that OPTIONS of the
Base URI is never swallowed. What a browser adds by itself (a client certificate, Basic) serves pages of named origins
only, never by "*". What a page asks to send is granted to an allowed origin, for a field that nobody reads does no
harm. A request that only reads is served for any page; the browser withholds the answer, for it has no
Access-Control-Allow-Origin.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from edged.http.fields import TOKEN, split_quoted

Fields = tuple[tuple[str, str], ...]

EXPOSED: Final = (
    "Accept-Ranges",
    "Allow",
    "Content-Encoding",
    "Content-Location",
    "Content-Range",
    "ETag",
    "Link",
    "Location",
    "Retry-After",
    "Vary",
    "Warning",
    "WWW-Authenticate",
    "X-Request-Id",
)
"""What a DICOMweb page reads of an answer beyond the fields that every page may read."""

MAX_AGE_S: Final = 600  # Chromium keeps at most two hours; a changed setting is felt within ten minutes
MAX_REQUESTED: Final = 64

_ANY: Final = "*"
_ALLOW_ANY: Final = ("access-control-allow-origin", _ANY)
_VARY: Final = ("vary", "Origin")
_VARY_PREFLIGHT: Final = ("vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Preflight:
    """What the browser asks before it sends a page's request."""

    origin: str
    headers: str = ""


@dataclass(frozen=True, slots=True)
class OriginPolicy:
    """The origins that may use the service; none: CORS is off and says nothing."""

    origins: tuple[str, ...] = ()

    def origin_allowed(self, origin: str | None, *, own: str | None = None, ambient: bool = False) -> bool:
        """Tell whether a WebSocket may be opened by a page of this origin.

        What is no browser sends none. `own` is the origin of the service itself, as its user agents know it. `ambient`:
        who asks is known by what the browser adds by itself to what any page asks; for that "*" is not enough.
        Source: RFC 6455 10.2.
        """
        if origin is None or (own is not None and _normal(origin) == _normal(own)):
            return True
        return self._is_named(origin) or (not ambient and _ANY in self.origins)

    def preflight(self, method: str, fields: Mapping[str, str]) -> Preflight | None:
        """Return the preflight that a request is, None if it is none or CORS is off; names in lower case.

        Source: Fetch 4.8.
        """
        origin = fields.get("origin")
        if not self.origins or method != "OPTIONS" or origin is None or "access-control-request-method" not in fields:
            return None
        return Preflight(origin=origin, headers=fields.get("access-control-request-headers", ""))

    def response_fields(self, origin: str | None) -> Fields:
        """Return the fields that any answer gets, error or not; for all origins they are the same for everybody.

        Source: Fetch 3.2.
        """
        if not self.origins:
            return ()
        exposed = ("access-control-expose-headers", ", ".join(EXPOSED))
        if _ANY in self.origins:
            return (_ALLOW_ANY, exposed)
        if origin is None or not self._is_named(origin):
            return (_VARY,)
        return (*self._allowing(origin), exposed, _VARY)

    def preflight_fields(self, preflight: Preflight, allow: str) -> Fields:
        """Return the fields of the answer (204) to a preflight; `allow` lists the methods of the resource.

        An origin that is not allowed gets none of the granting ones. Source: Fetch 3.2, 4.8.
        """
        if not self._names(preflight.origin):
            return (_VARY_PREFLIGHT,)
        return (
            *self._allowing(preflight.origin),
            ("access-control-allow-methods", allow),
            *_granted(preflight.headers),
            ("access-control-max-age", str(MAX_AGE_S)),
            _VARY_PREFLIGHT,
        )

    def _names(self, origin: str) -> bool:
        return _ANY in self.origins or self._is_named(origin)

    def _is_named(self, origin: str) -> bool:
        return _normal(origin) in {_normal(each) for each in self.origins if each != _ANY}

    def _allowing(self, origin: str) -> Fields:
        if _ANY in self.origins:
            return (_ALLOW_ANY,)
        return (("access-control-allow-origin", origin), ("access-control-allow-credentials", "true"))


def _normal(origin: str) -> str:
    return origin.lower().removesuffix("/")


def _granted(requested: str) -> Fields:
    names = [name.lower() for name in split_quoted(requested, ",") if name]
    if not names or len(names) > MAX_REQUESTED or not all(TOKEN.fullmatch(name) for name in names):
        return ()
    return (("access-control-allow-headers", ", ".join(names)),)
