"""The access token of one destination: asked for once for all workers, renewed in good time (RFC 6749).

A `Grant` shows the token endpoint who the box is: it makes the request, and knows whether another form of it is worth a
try after a refusal. A token is asked for when the one there is nears its end or was refused, by one task
while the others wait. A token endpoint that fails is left alone by a back-off of its own; what it said is the error
meanwhile, and an old token is used to its end.

Invariants: a secret stands in no error text; what is not a usable token is an error, whatever the endpoint answers; a
token that was refused as soon as it came is not asked for anew before REFUSED_S.
"""

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Protocol
from urllib.parse import quote_plus, urlencode

import msgspec
import trio

from edged.config import CredentialError
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
_REFUSED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.BAD_REQUEST})


@dataclass(frozen=True, slots=True)
class Token:
    """An access token, when it came, when it is to be renewed, and when it ends, in seconds of one clock."""

    text: str = field(repr=False)
    came_s: float
    renew_s: float
    ends_s: float


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """What a token endpoint is asked, and which of it is secret."""

    url: str
    form: Mapping[str, str] = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(repr=False, default=())


@dataclass(frozen=True, slots=True)
class Refused:
    """An endpoint's refusal: the error code and its description, both empty where it is none of RFC 6749 5.2.

    `date` is the answer's Date field, empty if it has none.
    """

    error: str = ""
    description: str = ""
    date: str = ""


class Grant(Protocol):
    """How the box shows a token endpoint who it is."""

    def request(self) -> TokenRequest:
        """Return what to ask now; files are read anew. Raises CredentialError."""

    def otherwise(self, refused: Refused) -> bool:
        """Whether `request` gives another form now, which is worth a try after this refusal."""

    def remedy(self, refused: Refused) -> str:
        """Return what a person may do about a refusal; empty if nothing is known."""


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
    """The access token of one destination; `client` says how to reach the token endpoint, `now` is monotonic.

    `redactor` learns every secret before it leaves, and every token when it comes.
    """

    def __init__(self, grant: Grant, client: ClientSettings, now: Callable[[], float], *, redactor: Redactor) -> None:
        self._grant = grant
        self._client = client
        self._now = now
        self._token: Token | None = None
        self._asking = trio.Lock()
        self._backoff = Backoff(PACE)
        self._failure = ""
        self._redactor = redactor

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
        endpoint, answer = await self._post(self._grant.request())
        if answer.status in _REFUSED and self._grant.otherwise(_refusal(answer)):
            endpoint, answer = await self._post(self._grant.request())
        if answer.status != HTTPStatus.OK:
            raise CredentialError(self._told(endpoint, answer))
        try:
            token = read_token(answer.body, self._now())
        except ValueError as error:
            raise CredentialError(f"the token endpoint {endpoint.peer} gave no usable token: {error}") from None
        self._redactor.learn((token.text,))
        return token

    def _told(self, endpoint: Endpoint, answer: Response) -> str:
        refused = _refusal(answer)
        said = one_line(self._redactor.text(": ".join(filter(None, (refused.error, refused.description)))))
        status = f"the token endpoint {endpoint.peer} answered HTTP {answer.status}"
        return ". ".join(filter(None, (f"{status}: {said}" if said else status, self._grant.remedy(refused))))

    async def _post(self, asked: TokenRequest) -> tuple[Endpoint, Response]:
        endpoint = _endpoint(asked.url)
        for secret in asked.secrets:
            self._redactor.learn((secret, quote_plus(secret)))
        self._redactor.learn_fields((name, value) for name, value in asked.headers if name == "authorization")
        form = ("content-type", "application/x-www-form-urlencoded"), ("accept", "application/json")
        body = BytesBody(urlencode(asked.form).encode())
        request = Request("POST", endpoint.base_path or "/", (*form, *asked.headers), body)
        try:
            with trio.fail_after(ANSWER_WITHIN_S):
                async with open_client(endpoint, self._client) as client:
                    return endpoint, await client.request(request)
        except NoAnswer as error:
            raise CredentialError(f"the token endpoint {endpoint.peer}: {error.phase}: no answer") from None
        except TLSSettingsError as error:
            raise CredentialError(f"the token endpoint {endpoint.peer}: {error}") from None
        except trio.TooSlowError:
            raise CredentialError(f"the token endpoint {endpoint.peer} did not answer in time") from None


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


def _endpoint(url: str) -> Endpoint:
    try:
        return Endpoint.parse(url)
    except EndpointError as error:
        raise CredentialError(f"token_url: {error}") from None


def _refusal(answer: Response) -> Refused:
    date = dict(answer.headers).get("date", "")
    try:
        failure = msgspec.json.decode(answer.body, type=_Failure)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Refused(date=date)
    return Refused(failure.error, failure.error_description, date)
