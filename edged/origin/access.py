"""Who asks, and what they may do (DESIGN §1.9, §6 [access]).

A credential that is sent decides, wherever it comes from: a bearer token or a password, else a client certificate that
the settings list. Without one the peer of a Unix socket may do everything if its uid is the daemon's or 0; a request of
this machine has the anonymous roles, all by default, and a request from elsewhere those that the settings name
(`provenance`). A web page gets no more by that than its own origin has (`pages`): of named anonymous roles only store
holds for any Host. A password is not looked at where others can read it, nor where no user has one. Credentials that
are not known are counted for their address (`throttle`); a good one always passes.
"""

import logging
import math
import os
from http import HTTPStatus

from edged.config import Access, Origin
from edged.config.choices import Role
from edged.http.forwarded import NOTHING_SAID, Forwarded
from edged.http.problem import Problem
from edged.origin.credentials import (
    Busy,
    Passwords,
    find_certificate,
    find_token,
    fingerprint_of,
    read_basic,
)
from edged.origin.exchange import Headers, Refusal, Request
from edged.origin.pages import Pages
from edged.origin.provenance import TLS_EXTENSION, client_of, extension, is_of_this_machine, is_private, peer_uid
from edged.origin.requester import NOBODY, Proof, Requester
from edged.origin.throttle import Throttle

log = logging.getLogger(__name__)

EVERYTHING = frozenset(Role)
WHATEVER_THE_HOST = frozenset({Role.STORE})
"""A modality knows the box by whatever name its network gives it, and takes nothing out of it."""

_BEARER = 'Bearer realm="edged"'
_BASIC = 'Basic realm="edged", charset="UTF-8"'
_INVALID_TOKEN = ', error="invalid_token"'  # noqa: S105
_INSUFFICIENT_SCOPE = ', error="insufficient_scope"'
_READABLE = (
    "Passwords are taken over TLS only, and this connection could be read by others: use https. "
    "Whoever could read it knows this password now: change it."
)
_FORGED = "A page of another origin asked for this in your name: add its origin to origin.cors if it shall."


class Gate:
    """Lets in whoever may."""

    def __init__(self, access: Access, origin: Origin | None = None, *, throttle: Throttle | None = None) -> None:
        """Know the credentials, pages and names of the settings."""
        self._access = access
        self._pages = Pages(origin or Origin())
        self._throttle = throttle or Throttle()
        self._passwords = Passwords(access.passwords, self._throttle)

    async def admit(self, request: Request, roles: frozenset[Role], said: Forwarded = NOTHING_SAID) -> None:
        """Find out who asks; raises Refusal (401, 403, 429) unless that one has any of the roles.

        Who it is stands in `request.requester` as soon as it is known, whatever comes of it: the audit log names whom
        was refused. `said` is what trusted proxies told. Where no role is needed nobody is asked who he is.
        """
        if not roles:
            return
        requester = request.requester = await self.identify(request, said)
        if not roles & requester.roles:
            raise self._lacking(request, roles, requester, said=said)
        if self._pages.forges(request, said, requester.proof):
            raise Refusal(Problem(status=HTTPStatus.FORBIDDEN, detail=_FORGED))

    async def identify(self, request: Request, said: Forwarded = NOTHING_SAID) -> Requester:
        """Return who asks; raises Refusal (401, 403, 429) for a credential that is not known or cannot be taken."""
        scheme, credential = _authorization(request)
        if not scheme or (scheme == "basic" and not self._access.passwords):
            return self._without_credentials(request, said)
        if scheme == "basic":
            return await self._by_password(request, credential, said)
        token = find_token(self._access.tokens, credential) if scheme == "bearer" else None
        if token is None:
            raise self._failed(request, said)
        return Requester(token.name, Proof.TOKEN, frozenset(token.roles))

    async def _by_password(self, request: Request, credential: str, said: Forwarded) -> Requester:
        if not is_private(request, said):
            raise Refusal(Problem(status=HTTPStatus.FORBIDDEN, detail=_READABLE))
        pair = read_basic(credential)
        if pair is None:
            raise self._failed(request, said)
        try:
            user = await self._passwords.find(*pair, address=client_of(request, said))
        except Busy as busy:
            raise _too_many(busy.retry_after_s) from None
        if user is None:
            raise self._unknown(request, said)
        return Requester(user.name, Proof.PASSWORD, frozenset(user.roles))

    def _without_credentials(self, request: Request, said: Forwarded) -> Requester:
        tls = extension(request, TLS_EXTENSION)
        if tls.get("client_certificate"):
            row = find_certificate(self._access.certificates, tls["client_certificate"], tls.get("client_names", ()))
            if row is not None:
                return Requester(row.name, Proof.CERTIFICATE, frozenset(row.roles))
        uid = peer_uid(request, said)
        if uid is not None and uid in {0, os.geteuid()}:
            return Requester(f"uid {uid}", Proof.PEER, EVERYTHING)
        if self._access.anonymous is None:
            return Requester(NOBODY.name, roles=EVERYTHING) if is_of_this_machine(request, said) else NOBODY
        roles = frozenset(self._access.anonymous)
        doubtful = bool(roles - WHATEVER_THE_HOST) and self._pages.doubt(request, said) is not None
        return Requester(NOBODY.name, roles=roles & WHATEVER_THE_HOST if doubtful else roles)

    def _failed(self, request: Request, said: Forwarded) -> Refusal:
        """Count a credential that is not known, and refuse it."""
        wait_s = self._throttle.failed(client_of(request, said))
        return _too_many(wait_s) if wait_s else self._unknown(request, said)

    def _unknown(self, request: Request, said: Forwarded) -> Refusal:
        log.info("a credential from %s is not known", client_of(request, said))
        problem = Problem(status=HTTPStatus.UNAUTHORIZED, detail="This credential is not known here.")
        error = _INVALID_TOKEN if _authorization(request)[0] == "bearer" else ""
        return Refusal(problem, self._challenge(request, said, error))

    def _lacking(self, request: Request, roles: frozenset[Role], requester: Requester, *, said: Forwarded) -> Refusal:
        names = " or ".join(sorted(role.value for role in roles))
        if requester.proof is Proof.NONE:
            detail = f"This needs the role {names}: send a credential.{self._hint(request, roles, said)}"
            return Refusal(Problem(status=HTTPStatus.UNAUTHORIZED, detail=detail), self._challenge(request, said))
        problem = Problem(status=HTTPStatus.FORBIDDEN, detail=f"{requester.name} does not have the role {names}.")
        if requester.proof is not Proof.TOKEN:
            return Refusal(problem)
        return Refusal(problem, (("www-authenticate", _BEARER + _INSUFFICIENT_SCOPE),))

    def _hint(self, request: Request, roles: frozenset[Role], said: Forwarded) -> str:
        """What else keeps who sent none that is known from these roles, and what can be done about it."""
        hints = []
        if roles & frozenset(self._access.anonymous or ()) and (doubt := self._pages.doubt(request, said)):
            hints.append(doubt)
        if certificate := extension(request, TLS_EXTENSION).get("client_certificate"):
            hints.append(f"The certificate {fingerprint_of(certificate)} is not listed.")
        if _authorization(request)[0] == "basic":
            hints.append("No user has a password here.")
        return "".join(f" {hint}" for hint in hints)

    def _challenge(self, request: Request, said: Forwarded, error: str = "") -> Headers:
        """What can be sent here (RFC 9110 11.6.1, RFC 6750 3); Basic first, for clients that look no further."""
        basic = self._access.passwords and is_private(request, said)
        bearer = _BEARER + error
        return (("www-authenticate", f"{_BASIC}, {bearer}" if basic else bearer),)


def roles_of(request: Request, _: Access) -> frozenset[Role]:
    """Return the roles of whoever was admitted."""
    return request.requester.roles


def _authorization(request: Request) -> tuple[str, str]:
    """The scheme in lower case and the credential; both empty if there is none (RFC 9110 11.6.2)."""
    scheme, _, credential = (request.header("authorization") or "").strip().partition(" ")
    return scheme.lower(), credential.strip()


def _too_many(wait_s: float) -> Refusal:
    retry_after = math.ceil(wait_s)
    detail = "Too many credentials from this address were not known."
    problem = Problem(status=HTTPStatus.TOO_MANY_REQUESTS, detail=detail, temporary=True, retry_after=retry_after)
    return Refusal(problem)
