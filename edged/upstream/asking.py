"""Asking one destination anything: the only way in which a request leaves for it.

Every request carries the configured header fields and the credential, and keeps to the pace. A credential that is
refused is refreshed once, wherever that happens; what is refused then is the answer. What an answer means is decided by
whoever asked.
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

    def target(self, path: str) -> str:
        """Return the target of a resource of the service; `path` begins with a slash."""
        return self._client.endpoint.base_path + path

    async def request(self, request: Request, *, fresh: bool = False, urgent: bool = False) -> Response:
        """Send a request and give its final response; sent again only when its credential was refused and renewed.

        `fresh`: on a connection that was not used before. Raises NoAnswer, CredentialError, and what the body's pieces
        and the sink raise.
        """
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
            error.text = self.redactor.text(error.text)  # a peer's reason for ending a connection may be in it
            error.args = (f"{error.phase}: {error.text}",)
            raise


def asking_for(destination: Destination, client: Client) -> Asking:
    """Return the way to ask a destination."""
    redactor = Redactor()
    return Asking(
        client,
        destination.settings.headers,
        credentials=credentials_for(destination),
        pace=pace_keeper_for(destination),
        redactor=redactor,
    )
