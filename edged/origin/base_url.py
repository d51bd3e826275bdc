"""Where the service stands, as whoever asks can reach it: its Base URI, and the path of a resource below it.

What may live here: the three ways in which a URL in an answer comes about. `base_url` of the settings decides alone;
else what trusted proxies told; else the Host of the request. Some clients leave the port out of Host: then it is that
of the listener, which the client has found, but not behind a proxy, whose port only the proxy knows. `base_path` is a
prefix of segments at any depth; what lies outside of it is not ours. Nothing here is believed for access control.
"""

import re
from functools import lru_cache

from edged.config import Origin
from edged.dicomweb.routing import ASTERISK
from edged.http.forwarded import DEFAULT_PORTS, NOTHING_SAID, Forwarded, TrustedProxies, read_forwarded
from edged.origin.exchange import Receive, Request, Scope
from edged.origin.provenance import PEER_EXTENSION, extension

_SCHEMES = {"ws": "http", "wss": "https"}
_UNRESERVED = re.compile(r"%(?:2[DE]|3[0-9]|[46][1-9A-F]|[57][0-9A]|5F|7E)", re.IGNORECASE)
"""What nobody needs to encode, encoded. Source: RFC 3986 2.3."""


class Base:
    """The service's place, by the settings."""

    def __init__(self, origin: Origin) -> None:
        self._path = origin.base_path.rstrip("/")
        self._depth = self._path.count("/")
        self._configured = origin.base_url.rstrip("/") if origin.base_url else None
        proxies = origin.trusted_proxies
        self._trusted = TrustedProxies(networks=proxies.networks, unix=proxies.unix)
        self.control: str | None = None
        """The path of the control socket, where nobody is taken for a proxy."""

    def request(self, scope: Scope, receive: Receive) -> Request:
        """Make the request of an ASGI connection scope."""
        request = Request(scope=scope, receive=receive, path=self.below(_raw_path(scope)), base_url="")
        client = scope.get("client")
        if self.control is None or extension(request, PEER_EXTENSION).get("listener") != self.control:
            request.said = read_forwarded(request.fields, None if client is None else str(client[0]), self._trusted)
        request.base_url = self.url(scope, request.header("host") or "", request.said)
        return request

    def below(self, path: str) -> str:
        """Return what of a path, as it was sent, lies below the base path; "" if it lies outside.

        The asterisk of OPTIONS is the whole server's and stays. Source: RFC 9110 7.1, RFC 3986 6.2.2.2.
        """
        if path == ASTERISK:
            return path
        segments = path.split("/", self._depth + 1)
        beginning, rest = segments[: self._depth + 1], segments[self._depth + 1 :]
        return "/" + "".join(rest) if _plain("/".join(beginning)) == self._path else ""

    def url(self, scope: Scope, host: str, said: Forwarded) -> str:
        """Return the Base URI without a slash at its end."""
        if self._configured is not None:
            return self._configured
        scheme = str(scope["scheme"])
        return base_url(_SCHEMES.get(scheme, scheme), host, scope.get("server"), said=said) + self._path


@lru_cache(maxsize=64)
def base_url(scheme: str, host: str, server: tuple[str, int | None] | None, *, said: Forwarded = NOTHING_SAID) -> str:
    """Return scheme, authority and prefix for a request to `host`, "" if it named none, that `server` has got.

    A port that is empty is none. Source: RFC 9110 4.2, 7.2; RFC 3986 3.2.3; RFC 7239.
    """
    host = host.removesuffix(":")
    if said.believed:
        scheme = said.scheme or scheme
        authority = said.authority or _joined(host, said.port, scheme)
        if authority:
            return f"{scheme}://{authority}{said.prefix}"
    name, port = server or ("localhost", None)
    return f"{scheme}://{_joined(host or _bracketed(name), port, scheme)}{said.prefix}"


def _joined(host: str, port: int | None, scheme: str) -> str:
    """Return an authority: with this port if the host has none, and if it is not the scheme's own."""
    if not host or _has_port(host) or not port or port == DEFAULT_PORTS.get(scheme):
        return host
    return f"{host}:{port}"


def _has_port(host: str) -> bool:
    return host.rpartition(":")[2].isdigit() and not host.endswith("]")


def _bracketed(name: str) -> str:
    return f"[{name}]" if ":" in name else name


def _plain(path: str) -> str:
    return _UNRESERVED.sub(lambda escape: chr(int(escape[0][1:], 16)), path) if "%" in path else path


def _raw_path(scope: Scope) -> str:
    raw: bytes = scope.get("raw_path") or str(scope["path"]).encode()
    return raw.decode("latin-1").partition("?")[0]
