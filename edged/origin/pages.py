"""What web pages may do in the name of whoever looks at them: a browser sends what it has, whichever page asked for it.

What may live here: the judging of Origin and Host, never of credentials. Two ways are closed: a page of another origin
sends a request that changes something, or opens a WebSocket, with the browser's password, certificate or whereabouts;
and a page whose own name was made to mean this box (DNS rebinding) reads as if it were ours, which only the Host tells.
What is no browser sends no Origin; a Host is known if it is an address, localhost, or a name of the settings.
"""

from ipaddress import ip_address
from urllib.parse import urlsplit

from edged.config import Origin
from edged.http.fields import printable
from edged.http.forwarded import Forwarded
from edged.http.origin_policy import OriginPolicy
from edged.origin.exchange import Request
from edged.origin.provenance import host_name, is_loopback_origin, is_near
from edged.origin.requester import Proof

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_SHOWN = 80


class Pages:
    """The pages that the settings know, and the names of the box."""

    def __init__(self, origin: Origin) -> None:
        """Know the origins of `cors`, and the box by `names` and `base_url`."""
        self._policy = OriginPolicy(origin.cors)
        own = urlsplit(origin.base_url).hostname if origin.base_url else None
        self._names = frozenset({"localhost", *origin.names, *([own] if own else [])})

    def doubt(self, request: Request, said: Forwarded) -> str | None:
        """Return why a request without a credential may be some page's, with the remedy; None if it cannot be."""
        host = request.header("host") if said.host is None else said.host
        if host is not None and not self._is_known(host_name(host)):
            shown = printable(host, _SHOWN)
            return f'"{shown}" is not known as a name of this box: use its address, or add the name to origin.names.'
        origin = request.header("origin")
        if origin is not None and not self._allows(request, origin, ambient=False):
            return f'Pages of "{printable(origin, _SHOWN)}" may not do this: add them to origin.cors if they shall.'
        return None

    def forges(self, request: Request, said: Forwarded, proof: Proof) -> bool:
        """Whether a page that may not do so lets a browser change something, or open a WebSocket.

        A bearer token comes from the page itself; all else the browser adds. Source: RFC 6455 10.2, Fetch 3.2.
        """
        origin = request.header("origin")
        harmless = request.scope["type"] == "http" and request.scope["method"] in SAFE
        if origin is None or harmless or proof is Proof.TOKEN:
            return False
        if proof is Proof.NONE:
            return self.doubt(request, said) is not None
        return not self._allows(request, origin, ambient=True)

    def _allows(self, request: Request, origin: str, *, ambient: bool) -> bool:
        if self._policy.origin_allowed(origin, own=origin_of(request.base_url), ambient=ambient):
            return True
        return is_loopback_origin(origin) and (not ambient or is_near(request))

    def _is_known(self, name: str) -> bool:
        try:
            ip_address(name)
        except ValueError:
            return name.lower() in self._names
        return True


def origin_of(url: str) -> str:
    """Return the origin of a URL (RFC 6454 4)."""
    return "/".join(url.split("/", 3)[:3])
