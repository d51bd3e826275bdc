"""From a path to the resource it names, and the URLs of resources.

A path is split before it is percent-decoded, so that an encoded slash stays part of its segment. A path
that cannot be decoded, or has an empty, "." or ".." segment, names nothing. One slash at the end is
forgiven. The rows of `resources` are made into a tree once, so that a path costs one step for each segment; of a
fixed and a variable segment the fixed one is taken, and there is no way back.
Every resource answers OPTIONS, and so does a level above one that is listed (PS3.18 8.9, Annex H). So does the
asterisk, which is no path but stands for the server as a whole (RFC 9110 7.1).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from edged.config.choices import Role
from edged.dicomweb.resources import RETRIEVE_CAPABILITIES, ROUTES, Route, bare_options, segments_of

ASTERISK: Final = "*"
MAX_PATH: Final = 4096  # 3 UIDs and their names are 240 characters

_HEXADECIMAL: Final = frozenset("0123456789abcdefABCDEF")


@dataclass(frozen=True, slots=True)
class Resource:
    """What paths of one form name, by its methods; `listed`: it has a capabilities description.

    `allow` is the value of the Allow header field (RFC 9110 10.2.1).
    """

    template: str
    methods: Mapping[str, Route]
    listed: bool
    allow: str

    @property
    def variables(self) -> tuple[str, ...]:
        """The names of the template's variables, in their order."""
        return tuple(segment[1:-1] for segment in segments_of(self.template) if segment.startswith("{"))


@dataclass(frozen=True, slots=True)
class Match:
    """The resource that a path names, and the values of its template's variables."""

    resource: Resource
    parameters: Mapping[str, str] = field(default_factory=dict)

    def route(self, method: str) -> Route | None:
        """Return the row of a method, GET's for HEAD; None means 405 (PS3.18 8.5)."""
        return self.resource.methods.get("GET" if method == "HEAD" else method)

    @property
    def allow(self) -> str:
        """The value of the Allow header field. Source: RFC 9110 10.2.1."""
        return self.resource.allow


@dataclass(slots=True)
class _Level:
    """What may follow a path's beginning, and what stands there itself."""

    resource: Resource | None = None
    variables: tuple[str, ...] = ()
    fixed: dict[str, "_Level"] = field(default_factory=dict)
    variable: "_Level | None" = None

    def below(self, segment: str) -> "_Level":
        """Return the level that a template's segment leads to, new if need be."""
        if not segment.startswith("{"):
            return self.fixed.setdefault(segment, _Level())
        self.variable = self.variable or _Level()
        return self.variable


class ResourceTree:
    """Resources by path."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._root = _Level()
        self._server = _server(routes)
        for resource in resources_of(routes):
            level = self._root
            for segment in segments_of(resource.template):
                level = level.below(segment)
            level.resource, level.variables = resource, resource.variables

    def match(self, path: str) -> Match | None:
        """Return the resource that a path names, or None: 404."""
        if path == ASTERISK:
            return Match(self._server)
        segments = split_path(path)
        if segments is None:
            return None
        level, values = self._root, list[str]()
        for segment in segments:
            following = level.fixed.get(segment)
            if following is None:
                following = level.variable
                values.append(segment)
            if following is None:
                return None
            level = following
        if level.resource is None:
            return None
        return Match(level.resource, dict(zip(level.variables, values, strict=True)))


def resources_of(routes: Sequence[Route]) -> Iterable[Resource]:
    """Yield every resource of the rows, and every level above a listed one, each with its OPTIONS."""
    templates = dict.fromkeys(above for route in routes for above in _levels(route))
    for template in templates:
        own = {route.method: route for route in routes if route.template == template}
        listed = any(route.listed and template in _levels(route) for route in routes)
        if own or listed:
            methods = {"OPTIONS": _options(template, own, listed), **own}
            yield Resource(template, methods, listed, _allow(methods))


def match(path: str) -> Match | None:
    """Return the resource that a path below the base path names, or None: 404.

    `path` is as it was sent, percent-encoded, without query. Source: RFC 3986 2.4, 3.3.
    """
    return _TREE.match(path)


def split_path(path: str) -> tuple[str, ...] | None:
    """Return a path's decoded segments; None if it is not a path that may name something."""
    if not path.startswith("/") or len(path) > MAX_PATH:
        return None
    if path == "/":
        return ()
    segments = []
    for part in path[1:].removesuffix("/").split("/"):
        segment = part if "%" not in part and part.isprintable() else _decoded(part)
        if segment in (None, "", ".", ".."):
            return None
        segments.append(str(segment))
    return tuple(segments)


def url_of(base_url: str, template: str, **parameters: str) -> str:
    """Return a resource's URL from its template; values are percent-encoded."""
    values = {name: quote(value, safe="") for name, value in parameters.items()}
    return base_url.rstrip("/") + template.format_map(values)


def _levels(route: Route) -> tuple[str, ...]:
    """Return the templates of a row's resource and of what stands above it, from the service's base on."""
    return tuple("/" + "/".join(route.segments[:depth]) for depth in range(len(route.segments) + 1))


def _options(template: str, own: Mapping[str, Route], listed: bool) -> Route:
    """Return the row of a resource's OPTIONS; about one that is not listed may ask who may use it."""
    if listed:
        return replace(RETRIEVE_CAPABILITIES, template=template)
    users = [route.roles for route in own.values()]
    roles = frozenset[Role]().union(*users) if all(users) else frozenset[Role]()
    return bare_options(RETRIEVE_CAPABILITIES, template, roles)


def _server(routes: Iterable[Route]) -> Resource:
    """Return what the asterisk stands for: every method that some resource has. Source: RFC 9110 9.3.7."""
    options = bare_options(RETRIEVE_CAPABILITIES, ASTERISK, frozenset())
    return Resource(ASTERISK, {"OPTIONS": options}, listed=False, allow=_allow([route.method for route in routes]))


def _allow(methods: Iterable[str]) -> str:
    """Return the value of Allow; whatever has GET has HEAD, if only to be told that it needs an Upgrade."""
    known = {"OPTIONS", *methods}
    return ", ".join(sorted(known | ({"HEAD"} if "GET" in known else set())))


def _decoded(part: str) -> str | None:
    for escape in part.split("%")[1:]:
        if len(escape) < 2 or not _HEXADECIMAL.issuperset(escape[:2]):
            return None
    try:
        text = unquote_to_bytes(part).decode("utf-8")
    except UnicodeError:
        return None
    return text if text.isprintable() else None


_TREE: Final = ResourceTree(ROUTES)
