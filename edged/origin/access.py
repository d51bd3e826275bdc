"""Who asks, and what they may do (DESIGN §1.9, §6 [access]).

A bearer token is known by its digest, and decides wherever it is sent. Without credentials the peer of a Unix socket
may do everything if its uid is the daemon's or 0; a loopback request has the anonymous roles, all by default, and a
request from elsewhere those that the settings name. A request that was forwarded, or names a host that is not loopback,
is not a loopback request; a forwarded one over a Unix socket is not that of its peer.
"""

import hashlib
import hmac
import os
from functools import lru_cache
from http import HTTPStatus
from ipaddress import ip_address

from edged.config import Access
from edged.config.choices import Role
from edged.http.problem import Problem
from edged.origin.exchange import Refusal, Request

PEER_EXTENSION = "edged.peer"
EVERYTHING = frozenset(Role)
_LONGEST_HOST = 255
_FORWARDED = frozenset({"forwarded", "via", "x-real-ip"})
_FORWARDED_PREFIX = "x-forwarded-"
_CHALLENGE = (("www-authenticate", 'Bearer realm="edged"'),)


def roles_of(request: Request, access: Access) -> frozenset[Role]:
    """Return the roles of whoever asks; raises Refusal (401) for a credential that is not known."""
    authorization = request.header("authorization")
    if authorization is not None:
        return _roles_of_token(authorization, access)
    peer = request.scope.get("extensions", {}).get(PEER_EXTENSION)
    if peer is not None and not _is_forwarded(request) and peer["uid"] in {0, os.geteuid()}:
        return EVERYTHING
    if access.anonymous is not None:
        return frozenset(access.anonymous)
    return EVERYTHING if _is_loopback(request) else frozenset()


def require(request: Request, roles: frozenset[Role], access: Access) -> None:
    """Let a request pass that has any of the roles, or needs none; raises Refusal (401 or 403)."""
    if not roles or roles & roles_of(request, access):
        return
    names = " or ".join(sorted(role.value for role in roles))
    if request.header("authorization") is None:
        detail = f"This needs the role {names}: send a bearer token."
        raise Refusal(Problem(status=HTTPStatus.UNAUTHORIZED, detail=detail), _CHALLENGE)
    raise Refusal(Problem(status=HTTPStatus.FORBIDDEN, detail=f"This credential does not have the role {names}."))


def _roles_of_token(authorization: str, access: Access) -> frozenset[Role]:
    scheme, _, credential = authorization.partition(" ")
    digest = hashlib.sha256(credential.strip().encode("latin-1")).hexdigest()
    known = [token for token in access.tokens if hmac.compare_digest(token.sha256.lower(), digest)]
    if scheme.lower() != "bearer" or not known:
        detail = "This credential is not known here."
        raise Refusal(Problem(status=HTTPStatus.UNAUTHORIZED, detail=detail), _CHALLENGE)
    return frozenset(known[0].roles)


def _is_loopback(request: Request) -> bool:
    client = request.scope.get("client")
    if client is None or _is_forwarded(request):
        return False
    host = request.header("host")
    if host is not None and len(host) > _LONGEST_HOST:
        return False
    return _loopback_name(str(client[0])) and (host is None or _loopback_name(_without_port(host)))


def _is_forwarded(request: Request) -> bool:
    return any(name in _FORWARDED or name.startswith(_FORWARDED_PREFIX) for name in request.header_names)


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


@lru_cache(maxsize=256)
def _loopback_name(name: str) -> bool:
    if name.lower() == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
