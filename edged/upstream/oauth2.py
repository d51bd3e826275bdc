"""Access tokens by the client credentials grant (RFC 6749 4.4): asked for once for all workers, renewed in good time.

A token is asked for when the one there is nears its end or was refused, by one task while the others wait. A token
endpoint that fails is left alone by a back-off of its own; what it said is the error meanwhile, and an old token is
used to its end. The client shows its secret by Basic first, in the body where that is refused (2.3.1).

Invariants: a secret stands in no error text; what is not a usable token is an error, whatever the endpoint answers; a
token that was refused as soon as it came is not asked for anew before REFUSED_S.
"""

import random
import re
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from urllib.parse import quote_plus, urlencode

import msgspec
import trio

from edged.config import Auth, CredentialError, read_secret
from edged.upstream.connection import ClientSettings, open_client
from edged.upstream.endpoint import Endpoint, EndpointError
from edged.upstream.message import BytesBody, NoAnswer, Request, Response
from edged.upstream.redaction import Redactor
from edged.upstream.retry import Backoff, Pace
from edged.upstream.tls import TLSSettingsError
from edged.upstream.verdict_values import one_line

EARLY_S, EARLY_SHARE = 60.0, 0.1
"""So long before its end a token is renewed, whichever is more; never before half of its life."""
UNKNOWN_LIFE_S = 3600.0
"""Of a token whose end is not told; one that ends earlier is refused, and renewed then."""
LEAST_LIFE_S = 5.0
REFUSED_S = 10.0
ANSWER_WITHIN_S = 30.0
PACE = Pace(base_s=2.0, cap_s=300.0, least=0.5)

_SENDABLE = re.compile(r"[!-~]{1,65536}")
_LONGEST_LIFE_S = 86400.0 * 365


@dataclass(frozen=True, slots=True)
class Token:
    """An access token, when it came, when it is to be renewed, and when it ends, in seconds of one clock."""

    text: str = field(repr=False)
    came_s: float
    renew_s: float
    ends_s: float


class _Granted(msgspec.Struct):
    """RFC 6749 5.1; what some endpoints write as text is read too."""

    access_token: str
    token_type: str = "bearer"  # noqa: S105
    expires_in: int | float | str | None = None


class _Failure(msgspec.Struct):
    """RFC 6749 5.2."""

    error: str = ""
    error_description: str = ""


class Tokens:
    """The access token of one destination; `client` says how to reach the token endpoint, `now` is monotonic."""

    def __init__(self, auth: Auth, client: ClientSettings, now: Callable[[], float]) -> None:
        self._auth = auth
        self._client = client
        self._now = now
        self._token: Token | None = None
        self._refused: str | None = None
        self._asking = trio.Lock()
        self._backoff = Backoff(PACE)
        self._failure = ""
        self._in_body = False
        self._redactor = Redactor()

    async def current(self) -> str:
        """Return the token to send. Raises CredentialError."""
        async with self._asking:
            token = self._token
            if token is None or self._now() >= token.renew_s:
                token = await self._renewed(token)
            return token.text

    async def refused(self, text: str) -> bool:
        """Whether there is another token than this one, which was refused. Raises CredentialError."""
        async with self._asking:
            token = self._token
            if token is not None and token.text == text:
                if self._now() < token.came_s + REFUSED_S:
                    return False
                self._token = None
                token = await self._renewed(None)
            return token is None or token.text != text

    async def _renewed(self, old: Token | None) -> Token:
        """Ask for a token; where that fails the old one is good to its end."""
        usable = old is not None and self._now() < old.ends_s
        if self._backoff.due(self._now()):
            try:
                self._token = await self._ask()
            except CredentialError as error:
                self._failure = str(error)
                jitter = random.random()  # noqa: S311
                self._backoff = self._backoff.failed(self._now(), retry_after_s=None, random01=jitter)
            else:
                self._backoff = self._backoff.recovered()
                return self._token
        if old is not None and usable:
            return old
        self._token = None
        raise CredentialError(self._failure)

    async def _ask(self) -> Token:
        endpoint = _endpoint(self._auth)
        secret = _secret(self._auth)
        self._redactor.learn((secret, quote_plus(secret)))
        answer = await self._post(endpoint, secret)
        if answer.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.BAD_REQUEST} and _said(answer)[0] == "invalid_client":
            self._in_body = not self._in_body
            answer = await self._post(endpoint, secret)
        if answer.status != HTTPStatus.OK:
            said = one_line(self._redactor.text(": ".join(filter(None, _said(answer)))))
            status = f"the token endpoint {endpoint.peer} answered HTTP {answer.status}"
            raise CredentialError(f"{status}: {said}" if said else status)
        try:
            return read_token(answer.body, self._now())
        except ValueError as error:
            raise CredentialError(f"the token endpoint {endpoint.peer} gave no usable token: {error}") from None

    async def _post(self, endpoint: Endpoint, secret: str) -> Response:
        request = token_request(self._auth, secret, in_body=self._in_body)
        self._redactor.learn_fields((name, value) for name, value in request.headers if name == "authorization")
        try:
            with trio.fail_after(ANSWER_WITHIN_S):
                async with open_client(endpoint, self._client) as client:
                    return await client.request(replace(request, target=endpoint.base_path or "/"))
        except NoAnswer as error:
            raise CredentialError(f"the token endpoint {endpoint.peer}: {error.phase}: no answer") from None
        except TLSSettingsError as error:
            raise CredentialError(f"the token endpoint {endpoint.peer}: {error}") from None
        except trio.TooSlowError:
            raise CredentialError(f"the token endpoint {endpoint.peer} did not answer in time") from None


def token_request(auth: Auth, secret: str, *, in_body: bool) -> Request:
    """Return the request for a token, its target not yet known. Source: RFC 6749 2.3.1, 4.4.2, RFC 8707 2."""
    asked = {"scope": auth.scope, "audience": auth.audience, "resource": auth.resource}
    form = {"grant_type": "client_credentials"} | {key: value for key, value in asked.items() if value is not None}
    headers = [("content-type", "application/x-www-form-urlencoded"), ("accept", "application/json")]
    client = auth.client_id or ""
    if in_body:
        form |= {"client_id": client, "client_secret": secret}
    else:
        pair = f"{quote_plus(client)}:{quote_plus(secret)}".encode()
        headers.append(("authorization", f"Basic {b64encode(pair).decode()}"))
    return Request("POST", "/", tuple(headers), BytesBody(urlencode(form).encode()))


def read_token(body: bytes, now: float) -> Token:
    """Read a token and its times; raises ValueError saying what is wrong, never with what stands there (5.1)."""
    try:
        granted = msgspec.json.decode(body, type=_Granted)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ValueError("not the answer of RFC 6749") from None
    if granted.token_type.lower() != "bearer":
        raise ValueError("not a bearer token")
    if not _SENDABLE.fullmatch(granted.access_token):
        raise ValueError("a token that cannot be sent")
    life = _life_s(granted.expires_in)
    early = min(max(EARLY_S, EARLY_SHARE * life), life / 2)
    return Token(granted.access_token, now, now + life - early, now + life)


def _life_s(expires_in: float | str | None) -> float:
    try:
        life = UNKNOWN_LIFE_S if expires_in is None else float(expires_in)
    except (ValueError, OverflowError):
        life = UNKNOWN_LIFE_S
    return min(max(life, LEAST_LIFE_S), _LONGEST_LIFE_S) if life == life else UNKNOWN_LIFE_S  # noqa: PLR0124


def _endpoint(auth: Auth) -> Endpoint:
    try:
        return Endpoint.parse(auth.token_url or "")
    except EndpointError as error:
        raise CredentialError(f"token_url: {error}") from None


def _secret(auth: Auth) -> str:
    assert auth.client_secret_file is not None  # the settings have been judged
    return read_secret(auth.client_secret_file)


def _said(answer: Response) -> tuple[str, str]:
    """The error and its description, both empty where the answer is none of RFC 6749 5.2."""
    try:
        failure = msgspec.json.decode(answer.body, type=_Failure)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "", ""
    return failure.error, failure.error_description
