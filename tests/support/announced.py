"""The statuses that the rows of `dicomweb.resources` announce for a request, so that no other is sent unnoticed."""

from collections.abc import Collection
from http import HTTPStatus
from typing import Any

from edged.dicomweb.resources import Route, head_of
from edged.dicomweb.routing import match
from edged.origin.application import Application

ANYTHING = frozenset(HTTPStatus)
NO_RESOURCE = frozenset({HTTPStatus.NOT_FOUND})
NO_METHOD = frozenset({HTTPStatus.METHOD_NOT_ALLOWED})
PREFLIGHT = frozenset({HTTPStatus.NO_CONTENT})
_ASKS = b"access-control-request-method"


def announced(application: object, scope: dict[str, Any]) -> Collection[HTTPStatus]:
    """What the answer to this request may be; anything if the application is not the origin server's."""
    if not isinstance(application, Application):
        return ANYTHING
    found = match(application.base.below(scope["raw_path"].decode()))
    if found is None:
        return NO_RESOURCE
    method = scope["method"]
    route = found.route(method)
    if route is None:
        return NO_METHOD
    asks = method == "OPTIONS" and any(name == _ASKS for name, _ in scope["headers"])
    return statuses_of(head_of(route) if method == "HEAD" else route) | (PREFLIGHT if asks else set())


def statuses_of(route: Route) -> set[HTTPStatus]:
    """Every status of a row."""
    return {*route.success, *route.bare, *route.failure}
