"""What the box says of itself: capabilities with its state, the state alone, health (PS3.18 8.9, DESIGN §6)."""

import hashlib
from http import HTTPStatus

import msgspec

from edged.config import Access
from edged.config.choices import Role
from edged.dicomweb.capabilities import capabilities_json, wadl, wadl_xml
from edged.http.accept import choose
from edged.http.conditional import matches_if_none_match, strong_etag
from edged.http.media_type import MediaType
from edged.origin.access import roles_of
from edged.origin.exchange import Reply, Request, refusal
from edged.services.state import StateService
from edged.telemetry.conditions import Conditions

_WADL = MediaType("application", "vnd.sun.wadl+xml")
_JSON = MediaType("application", "json")
_MONITORS = frozenset({Role.MONITOR, Role.ADMIN})
_NO_STORE = ("cache-control", "no-store")


class RetrieveCapabilities:
    """OPTIONS /: the description; for monitors the JSON form carries the state object and is never cached."""

    def __init__(self, service: StateService, conditions: Conditions, access: Access) -> None:
        self._service = service
        self._conditions = conditions
        self._access = access

    async def __call__(self, request: Request) -> Reply:
        """Answer in the media type asked for."""
        media_type = choose(request.header("accept"), (_WADL, _JSON))
        if media_type is None:
            raise refusal(HTTPStatus.NOT_ACCEPTABLE, f"The capabilities are available as {_WADL} and {_JSON}.")
        tree = wadl(request.base_url + "/")
        if media_type == _JSON and roles_of(request, self._access) & _MONITORS:
            body = capabilities_json(tree, await self._service.state(self._conditions))
            return Reply(HTTPStatus.OK, (("content-type", str(_JSON)), _NO_STORE), body)
        body = capabilities_json(tree) if media_type == _JSON else wadl_xml(tree)
        etag = strong_etag(hashlib.blake2b(body, digest_size=16).digest())
        if matches_if_none_match(request.header("if-none-match"), etag):
            return Reply(HTTPStatus.NOT_MODIFIED, (("etag", etag),))
        return Reply(HTTPStatus.OK, (("content-type", str(media_type)), ("etag", etag)), body)


class Status:
    """GET /admin/status: the state object alone."""

    def __init__(self, service: StateService, conditions: Conditions) -> None:
        self._service = service
        self._conditions = conditions

    async def __call__(self, _: Request) -> Reply:
        """Answer with the state of this moment."""
        body = msgspec.json.encode(await self._service.state(self._conditions))
        return Reply(HTTPStatus.OK, (("content-type", str(_JSON)), _NO_STORE), body)


async def health(_: Request) -> Reply:
    """GET /healthz: the daemon takes requests."""
    return Reply(HTTPStatus.OK, (("content-type", "text/plain; charset=utf-8"), _NO_STORE), b"ok\n")
