"""Where a request comes from: from this machine or not, over which proxies, and who could have read it on its way.

What may live here: what the connection, the header fields and trusted proxies tell of it; nothing that decides what
somebody may do. Invariants: what came over a proxy, believed or not, is not of this machine, and a trusted proxy never
is, whatever it leaves unsaid; what a proxy told in a way that cannot be understood counts as read by others.
"""

from collections.abc import Mapping
from functools import lru_cache
from ipaddress import ip_address
from typing import Any

from edged.http.forwarded import NOTHING_SAID, Forwarded
from edged.origin.exchange import Request

PEER_EXTENSION = "edged.peer"
TLS_EXTENSION = "edged.tls"
_LONGEST_HOST = 255
_FORWARDED = frozenset({"forwarded", "via", "x-real-ip"})
_FORWARDED_PREFIX = "x-forwarded-"


def client_of(request: Request, said: Forwarded = NOTHING_SAID) -> str:
    """Return the address of whoever asks, as far as it is known: "local" on a Unix socket."""
    if said.client is not None:
        return str(said.client)
    client = request.scope.get("client")
    return "local" if client is None else str(client[0])


def peer_uid(request: Request, said: Forwarded = NOTHING_SAID) -> int | None:
    """Return the user at the other end of a Unix socket, None if it is none or a proxy is there."""
    peer = extension(request, PEER_EXTENSION)
    return int(peer["uid"]) if peer and not said.from_proxy and not is_forwarded(request) else None


def is_private(request: Request, said: Forwarded = NOTHING_SAID) -> bool:
    """Whether nobody on the way can read what was sent: on this leg, and to the proxies that are believed."""
    if said.malformed:
        return False
    secure = bool(extension(request, TLS_EXTENSION))
    if said.believed:
        near = bool(extension(request, PEER_EXTENSION)) or is_near(request)
        return (secure or near) and said.scheme == "https"
    return secure or peer_uid(request, said) is not None or is_of_this_machine(request, said)


def is_of_this_machine(request: Request, said: Forwarded = NOTHING_SAID) -> bool:
    """Whether it comes from loopback, asks for a host that is, and from no web page that is not."""
    if not is_near(request) or said.from_proxy or is_forwarded(request):
        return False
    host, origin = request.header("host"), request.header("origin")
    if origin is not None and not is_loopback_origin(origin):
        return False
    return host is None or is_loopback_name(host_name(host))


def is_near(request: Request) -> bool:
    """Whether the connection was made over loopback, by whomever."""
    client = request.scope.get("client")
    return client is not None and is_loopback_name(str(client[0]))


def is_forwarded(request: Request) -> bool:
    """Whether any field says that it came over a proxy, trusted or not."""
    return any(name in _FORWARDED or name.startswith(_FORWARDED_PREFIX) for name in request.header_names)


def is_loopback_origin(origin: str) -> bool:
    """Whether an Origin is that of a page of this machine."""
    return is_loopback_name(host_name(origin.partition("://")[2]))


@lru_cache(maxsize=256)
def is_loopback_name(name: str) -> bool:
    """Whether a name, or an address without brackets, means this machine."""
    if name.lower() == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def host_name(authority: str) -> str:
    """Return the host of an authority, without its port and brackets; "" if it is longer than any name."""
    if len(authority) > _LONGEST_HOST:
        return ""
    if authority.startswith("["):
        return authority[1:].partition("]")[0]
    return authority.partition(":")[0]


def extension(request: Request, name: str) -> Mapping[str, Any]:
    """Return what the server told under this name, nothing if it told nothing."""
    found: Mapping[str, Any] = request.scope.get("extensions", {}).get(name) or {}
    return found
