"""What the box says of itself: capabilities with its state, the state alone, health (PS3.18 8.9, DESIGN §6).

All of it is prompt whatever else goes on: a description is made once and kept, the state is made of counters and of
what other parts have published, and nothing here waits for the network, for room in the store or for its turn. The
Host of a request stands in its description, so only few descriptions are kept.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus

import msgspec

from edged.config import Access
from edged.config.choices import Role
from edged.dicomweb.capabilities import application_json, capabilities_json, wadl
from edged.dicomweb.limits import Limit
from edged.dicomweb.negotiation import NegotiationError, Wishes, negotiate
from edged.dicomweb.routing import match
from edged.dicomweb.wadl import wadl_xml
from edged.http.conditional import strong_etag
from edged.http.media_type import MediaType
from edged.origin.access import roles_of
from edged.origin.exchange import Headers, Refusal, Reply, Request, refusal
from edged.services.state import StateService
from edged.telemetry.conditions import Conditions

_WADL = MediaType("application", "vnd.sun.wadl+xml")
_JSON = MediaType("application", "json")
_MONITORS = frozenset({Role.MONITOR, Role.ADMIN})
_NO_STORE = ("cache-control", "no-store")
_VARY = ("vary", "accept, authorization, accept-encoding")

DESCRIPTIONS = 32
"""How many are kept, some 30 KiB each: two forms of every resource, for a few names of the box."""


@dataclass(frozen=True, slots=True)
class _Description:
    """A capabilities description: the whole body, and as JSON its application alone."""

    body: bytes
    etag: str
    application: bytes = b""


class RetrieveCapabilities:
    """OPTIONS of any resource: the description of it and of what is below it; for monitors with the box's state."""

    def __init__(
        self, service: StateService, conditions: Conditions, access: Access, *, limits: Sequence[Limit] = ()
    ) -> None:
        self._service = service
        self._conditions = conditions
        self._access = access
        self._limits = limits
        self._description = lru_cache(DESCRIPTIONS)(self._describe)

    @property
    def kept(self) -> int:
        """How many descriptions are kept."""
        return self._description.cache_info().currsize

    async def __call__(self, request: Request) -> Reply:
        """Answer in the media type asked for; 204 for a resource that is not described. Raises Refusal (404, 406)."""
        found = match(request.path)
        if found is None:
            raise refusal(HTTPStatus.NOT_FOUND, "There is no such resource.")
        allow = ("allow", found.allow)
        if not found.resource.listed:
            return Reply(HTTPStatus.NO_CONTENT, (allow,))
        media_type = _negotiated(request)
        description = self._description(request.base_url + "/", found.resource.template, media_type == _JSON)
        content_type = ("content-type", str(media_type))
        if media_type == _JSON and roles_of(request, self._access) & _MONITORS:
            return await self._monitored(description, (content_type, allow, _VARY))
        return Reply(HTTPStatus.OK, (content_type, allow, _VARY, ("etag", description.etag)), description.body)

    async def _monitored(self, description: _Description, headers: Headers) -> Reply:
        """Answer with the state of this moment, which nobody may keep."""
        state = await self._service.state(self._conditions)
        return Reply(HTTPStatus.OK, (*headers, _NO_STORE), capabilities_json(description.application, state))

    def _describe(self, base_url: str, template: str, as_json: bool) -> _Description:
        tree = wadl(base_url, template, limits=self._limits)
        application = application_json(tree) if as_json else b""
        body = capabilities_json(application) if as_json else wadl_xml(tree)
        return _Description(body, strong_etag(hashlib.blake2b(body, digest_size=16).digest()), application)


def _negotiated(request: Request) -> MediaType:
    """Return the form to answer in, by the header fields alone: the transaction has no query parameters (8.9.1.2)."""
    try:
        return negotiate(Wishes(accept=request.header("accept")), (_WADL, _JSON)).media_type
    except NegotiationError as error:
        raise Refusal(error.problem) from error


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
