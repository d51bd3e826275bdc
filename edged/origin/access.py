"""Who asks, and what they may do (DESIGN §1.9, §6 [access]).

The control socket's peer with the daemon's uid or 0 may do everything. A bearer token is known by its digest. Without
credentials a loopback request has the anonymous roles, all by default, and a request from elsewhere those that the
settings name. A request that was forwarded, or names a host that is not loopback, is not a loopback request.
"""

import hashlib
import hmac
import os
from http import HTTPStatus
from ipaddress import ip_address

from edged.config import Access
from edged.config.choices import Role
from edged.http.problem import Problem
from edged.origin.exchange import Refusal, Request

PEER_EXTENSION = "edged.peer"
EVERYTHING = frozenset(Role)
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip")
_CHALLENGE = (("www-authenticate", 'Bearer realm="edged"'),)


def roles_of(request: Request, access: Access) -> frozenset[Role]:
    """Return the roles of whoever asks; raises Refusal (401) for a credential that is not known."""
    peer = request.scope.get("extensions", {}).get(PEER_EXTENSION)
    if peer is not None:
        return EVERYTHING if peer["uid"] in {0, os.geteuid()} else frozenset()
    authorization = request.header("authorization")
    if authorization is not None:
        return _roles_of_token(authorization, access)
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
    if client is None or any(request.header(name) is not None for name in _FORWARDED):
        return False
    host = request.header("host")
    return _loopback_name(str(client[0])) and (host is None or _loopback_name(_without_port(host)))


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _loopback_name(name: str) -> bool:
    if name.lower() == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
