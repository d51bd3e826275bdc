"""Asking one destination anything: the only way in which a request leaves for it.

Every request carries the configured header fields and the credential, and keeps to the pace. A credential that is
refused is refreshed once, wherever that happens; what is refused then is the answer. A redirect within the origin is
followed, but for what carries instances: there the verdict table decides. What an answer means is decided by whoever
asked.
"""

from dataclasses import replace
from http import HTTPStatus

from edged.upstream.connection import Client
from edged.upstream.credentials import Credentials, Fields, credentials_for
from edged.upstream.destination import Destination
from edged.upstream.endpoint import Endpoint
from edged.upstream.message import NoAnswer, Request, Response
from edged.upstream.pace import PacedBody, PaceKeeper, pace_keeper_for
from edged.upstream.redaction import Redactor
from edged.upstream.redirect import same_origin_target
from edged.upstream.verdict_values import REPEATS, field_value

_REDIRECTS = frozenset({HTTPStatus.TEMPORARY_REDIRECT, HTTPStatus.PERMANENT_REDIRECT})


class Asking:
    """One destination's client, with what each of its requests needs."""

    def __init__(
        self, client: Client, headers: Fields = (), *, credentials: Credentials, pace: PaceKeeper, redactor: Redactor
    ) -> None:
        self.redactor = redactor
        self._client = client
        self._headers = headers
        self._credentials = credentials
        self._pace = pace

    @property
    def endpoint(self) -> Endpoint:
        """Where the destination is."""
        return self._client.endpoint

    @property
    def client(self) -> Client:
        """What is known of the connections, for whoever tells of it; nothing is asked past this class."""
        return self._client

    @property
    def credentials(self) -> Credentials:
        """Who the box is there, for what goes another way than a request."""
        return self._credentials

    def target(self, path: str) -> str:
        """Return the target of a resource of the service; `path` begins with a slash."""
        return self._client.endpoint.base_path + path

    async def request(
        self, request: Request, *, fresh: bool = False, urgent: bool = False, follow: bool = True
    ) -> Response:
        """Send a request and give its final response; sent again only when its credential was refused and renewed.

        `fresh`: on a connection that was not used before. `follow`: a redirect that keeps the method and the origin is
        followed a few times (RFC 9110 15.4.8, 15.4.9). Raises NoAnswer, CredentialError, and what the body's pieces and
        the sink raise.
        """
        response = await self._answered(request, fresh=fresh, urgent=urgent)
        for _ in range(REPEATS if follow else 0):
            if not (target := self._moved_to(request, response)):
                break
            request = replace(request, target=target)
            response = await self._answered(request, fresh=fresh, urgent=urgent)
        return response

    def _moved_to(self, request: Request, response: Response) -> str:
        if response.status not in _REDIRECTS:
            return ""
        location = field_value(response.headers, "location")
        return same_origin_target(self.endpoint.url(request.target), location)

    async def _answered(self, request: Request, *, fresh: bool, urgent: bool) -> Response:
        if request.body is not None:
            request = replace(request, body=PacedBody(request.body, self._pace, urgent))
        credential = await self._credentials.fields()
        response = await self._send(request, credential, fresh=fresh)
        if response.status != HTTPStatus.UNAUTHORIZED:
            return response
        if not await self._credentials.refused(credential, response.status):
            return response
        return await self._send(request, await self._credentials.fields(), fresh=fresh)

    async def _send(self, request: Request, credential: Fields, *, fresh: bool) -> Response:
        self.redactor.learn_fields(credential)
        request = replace(request, headers=(*request.headers, *self._headers, *credential))
        try:
            return await self._client.request(request, fresh=fresh)
        except NoAnswer as error:
            error.text, error.said = self.redactor.text(error.text), self.redactor.text(error.said)
            error.args = (f"{error.phase}: {error.text}",)
            raise


def asking_for(destination: Destination, client: Client) -> Asking:
    """Return the way to ask a destination."""
    return Asking(
        client,
        destination.settings.headers,
        credentials=credentials_for(destination),
        pace=pace_keeper_for(destination),
        redactor=destination.redactor,
    )
