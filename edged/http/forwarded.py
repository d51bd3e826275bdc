"""Who asked, and under which URL, when a reverse proxy stands between: Forwarded and X-Forwarded-*.

A proxy is believed only if it is trusted, and what it says of who came to it only as long as that one is trusted too:
the hops are walked from the right, from the peer of the connection towards the user agent. The first address that is
not trusted is the client; the host and scheme are those that the outermost trusted proxy was asked for. Everything is
read strictly and bounded, but what stands left of the client is not read at all: the user agent may have made it up.
The family of fields that names a client decides alone, Forwarded before X-Forwarded-*: what is missing in it is not
taken from the other, which may be the user agent's. If anything is malformed, or both name a client and contradict each
other, nothing of it is used and `malformed` says so, for then it is not known how the user agent came: nothing here
raises.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

from edged.http.fields import TOKEN, WHITESPACE, split_quoted, unquote

MAX_LENGTH: Final = 8192  # characters of one field
MAX_HOPS: Final = 32  # real chains have one to four
MAX_PREFIX: Final = 256

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network

DEFAULT_PORTS: Final[Mapping[str, int]] = {"http": 80, "https": 443}

_SCHEMES: Final = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
_UNQUOTED: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z:\[\]]+")  # a colon unquoted is common and clear
_NODE: Final = re.compile(
    r"(?:\[(?P<six>[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*)\]|(?P<plain>[^:\[\]]+))(?::(?P<port>[0-9]{1,5}|_[\w.-]+))?", re.ASCII
)
_HIDDEN: Final = re.compile(r"unknown|_[\w.-]+", re.ASCII | re.IGNORECASE)
_HOST: Final = re.compile(
    r"(?P<host>\[[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*\]|[\w.-]{1,255})(?::(?P<port>[0-9]{0,5}))?", re.ASCII
)
_PREFIX: Final = re.compile(r"(?:/(?!\.{1,2}(?:/|\Z))[\w.~-]+)*/?", re.ASCII)
_NAMES: Final = frozenset(
    {"forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "x-forwarded-prefix"}
)


class _Malformed(ValueError):
    """A field that does not say anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedProxies:
    """Whose word is taken: networks, and the peers of Unix sockets."""

    networks: tuple[IPNetwork, ...] = ()
    unix: bool = False

    def trusts(self, address: IPAddress | None) -> bool:
        """Tell whether an address is that of a trusted proxy; None is the peer of a Unix socket."""
        if address is None:
            return self.unix
        return any(address.version == network.version and address in network for network in self.networks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forwarded:
    """What trusted proxies said; None and "" is what they did not say.

    `client`: the address of who asked the outermost trusted proxy. `host`: a name, or an address, in brackets if IPv6.
    `prefix`: the path that the proxy took away, without a slash at its end. `from_proxy`: a trusted proxy has made the
    connection, whatever it said. `believed`: it said something. `malformed`: that could not be used.
    """

    client: IPAddress | None = None
    scheme: str | None = None
    host: str | None = None
    port: int | None = None
    prefix: str = ""
    from_proxy: bool = False
    believed: bool = False
    malformed: bool = False

    @property
    def authority(self) -> str | None:
        """The host with its port, unless that is the scheme's own; None if no host was said."""
        if self.host is None or self.port is None or self.port == DEFAULT_PORTS.get(self.scheme or ""):
            return self.host
        return f"{self.host}:{self.port}"


NOTHING_SAID: Final = Forwarded()
SILENT: Final = Forwarded(from_proxy=True)
MALFORMED: Final = Forwarded(from_proxy=True, malformed=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hop:
    """What one proxy said of the request that it got; `named`: from whom, but without `client` it hides that."""

    client: IPAddress | None = None
    named: bool = False
    scheme: str | None = None
    host: str | None = None
    port: int | None = None


def is_forwarded(names: Collection[str]) -> bool:
    """Tell whether any of these lower-case field names says that a request was forwarded."""
    return not _NAMES.isdisjoint(names)


def read_forwarded(fields: Mapping[str, str], peer: str | None, trusted: TrustedProxies) -> Forwarded:
    """Return what the trusted proxies said of a request.

    `fields` are header fields by lower-case name, repeated ones joined by commas; `peer` is the address of the
    connection's other end, None for a Unix socket. Source: RFC 7239; X-Forwarded-* by common usage.
    """
    if not _is_trusted_peer(peer, trusted):
        return NOTHING_SAID
    if not is_forwarded(fields):
        return SILENT
    try:
        standard = _standard(fields["forwarded"], trusted) if "forwarded" in fields else None
        customary = _customary(fields, trusted) if is_forwarded(fields.keys() - {"forwarded"}) else None
        said = _decisive(standard, customary)
        written = standard is None or (customary is not None and customary.named)
        prefix = _prefix(fields.get("x-forwarded-prefix", "")) if written else ""
    except _Malformed:
        return MALFORMED
    return Forwarded(
        client=said.client,
        scheme=said.scheme,
        host=said.host,
        port=said.port,
        prefix=prefix,
        from_proxy=True,
        believed=True,
    )


def parse_address(text: str) -> IPAddress | None:
    """Return an address, an IPv4-mapped one as IPv4, or None if it is not one."""
    if "%" in text:  # a zone means nothing on another machine
        return None
    try:
        return _plain(ip_address(text))
    except ValueError:
        return None


def _is_trusted_peer(peer: str | None, trusted: TrustedProxies) -> bool:
    if peer is None:
        return trusted.trusts(None)
    if not trusted.networks:
        return False
    address = parse_address(peer.partition("%")[0])  # a link-local peer is named with its zone
    return address is not None and trusted.trusts(address)


def _plain(address: IPAddress | None) -> IPAddress | None:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _decisive(standard: _Hop | None, customary: _Hop | None) -> _Hop:
    """Choose the family that decides: that which names a client; of two alike Forwarded, if they agree."""
    if standard is None or customary is None:
        return standard or customary or _Hop()
    if standard.named != customary.named:
        return standard if standard.named else customary
    pairs = [
        (standard.client, customary.client),
        (standard.scheme, customary.scheme),
        (standard.host, customary.host),
        (standard.port, customary.port),
    ]
    if any(one is not None and other is not None and one != other for one, other in pairs):
        raise _Malformed
    return standard


def _recent(value: str) -> str:
    """Cut a list that is too long at its left, where it may be made up; the element at the cut goes with it."""
    return value if len(value) <= MAX_LENGTH else value[-MAX_LENGTH:].partition(",")[2]


def _walk(elements: Sequence[str], read: Callable[[str], _Hop], trusted: TrustedProxies) -> list[_Hop]:
    """Read hops from the right up to the first that is not trusted; what is left of it anybody may have written."""
    hops: list[_Hop] = []
    for element in reversed(elements):
        hops.append(read(element))
        client = hops[-1].client
        if client is None or not trusted.trusts(client):
            break
    return hops


def _standard(value: str, trusted: TrustedProxies) -> _Hop:
    """What Forwarded says; what an outer proxy says goes before."""
    said = _Hop()
    for hop in _walk(split_quoted(_recent(value), ",")[-MAX_HOPS:], _standard_hop, trusted):
        said = _Hop(
            client=hop.client,
            named=hop.named,
            scheme=hop.scheme or said.scheme,
            host=hop.host or said.host,
            port=hop.port if hop.host else said.port,
        )
    return said


def _standard_hop(element: str) -> _Hop:
    pairs: dict[str, str] = {}
    for piece in split_quoted(element, ";"):
        name, _, raw = piece.partition("=")
        text = unquote(raw) if raw.startswith('"') else raw if _UNQUOTED.fullmatch(raw) else None
        if text is None or not TOKEN.fullmatch(name) or name.lower() in pairs:
            raise _Malformed
        pairs[name.lower()] = text
    host, port = _host(pairs["host"]) if "host" in pairs else (None, None)
    return _Hop(
        client=_node(pairs["for"]) if "for" in pairs else None,
        named="for" in pairs,
        scheme=_scheme(pairs["proto"]) if "proto" in pairs else None,
        host=host,
        port=port,
    )


def _customary(fields: Mapping[str, str], trusted: TrustedProxies) -> _Hop:
    """What X-Forwarded-* says; a list that is shorter than that of the hops was begun by an inner proxy."""
    hops = _walk(_list(fields, "x-forwarded-for"), _bare_hop, trusted)
    depth = max(len(hops), 1)
    protos, hosts, ports = (_list(fields, f"x-forwarded-{name}") for name in ("proto", "host", "port"))
    host, port = _host(_at(hosts, depth)) if hosts else (None, None)
    return _Hop(
        client=hops[-1].client if hops else None,
        named=bool(hops),
        scheme=_scheme(_at(protos, depth)) if protos else None,
        host=host,
        port=port or (_port(_at(ports, depth)) if ports else None),
    )


def _list(fields: Mapping[str, str], name: str) -> list[str]:
    if name not in fields:
        return []
    return [element.strip(WHITESPACE) for element in _recent(fields[name]).split(",")][-MAX_HOPS:]


def _at(elements: Sequence[str], depth: int) -> str:
    return elements[-min(depth, len(elements))]


def _bare_hop(text: str) -> _Hop:
    return _Hop(client=parse_address(text) or _node(text))  # IPv6 stands without brackets in X-Forwarded-For


def _node(text: str) -> IPAddress | None:
    """An address without its port, None if the proxy hides it. Source: RFC 7239 6."""
    found = _NODE.fullmatch(text)
    if found is None:
        raise _Malformed
    address = parse_address(found["six"] or found["plain"])
    if address is None and (found["six"] or not _HIDDEN.fullmatch(found["plain"])):
        raise _Malformed
    return address


def _scheme(text: str) -> str:
    if text.lower() not in _SCHEMES:
        raise _Malformed
    return _SCHEMES[text.lower()]


def _host(text: str) -> tuple[str, int | None]:
    found = _HOST.fullmatch(text)
    if found is None or (found["host"].startswith("[") and parse_address(found["host"][1:-1]) is None):
        raise _Malformed
    return found["host"].lower(), _port(found["port"]) if found["port"] else None


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) < 65_536):
        raise _Malformed
    return int(text)


def _prefix(text: str) -> str:
    if len(text) > MAX_PREFIX or not _PREFIX.fullmatch(text):
        raise _Malformed
    return text.removesuffix("/")
