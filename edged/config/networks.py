"""Readers of settings that name machines on the network: proxies that are believed, origins that browsers come from,
names of the box itself.

Each is a function from the parsed TOML value to what edged works with, and raises ValueError that says what is
allowed. Nothing is resolved: an address is written as a number.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network

Network = IPv4Network | IPv6Network

_MOST = 64
_UNIX = "unix"
_ORIGIN = re.compile(r"https?://(?:[a-z0-9._-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::[0-9]{1,5})?")
_HOST_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_.-]{0,251}[a-z0-9])?")
_DEFAULT_PORT = re.compile(r"http://.*:80|https://.*:443")


@dataclass(frozen=True, slots=True)
class Proxies:
    """The reverse proxies that are believed: those in the networks, and with `unix` those on a Unix socket."""

    networks: tuple[Network, ...] = ()
    unix: bool = False


def proxies(value: object) -> Proxies:
    """Read a list of addresses, networks and the word "unix"."""
    texts = _texts(value, '"192.0.2.5", "192.0.2.0/24" or "unix"')
    return Proxies(tuple(_network(each) for each in texts if each != _UNIX), _UNIX in texts)


def origins(value: object) -> tuple[str, ...]:
    """Read a list of origins as browsers write them (RFC 6454 6.2), or "*" for any; they come out in lower case."""
    return tuple(_origin(each) for each in _texts(value, '"https://viewer.example" or "*"'))


def host_names(value: object) -> tuple[str, ...]:
    """Read a list of host names without port; they come out in lower case. An address needs no name."""
    return tuple(_host_name(each) for each in _texts(value, 'host names such as "box.example"'))


def _texts(value: object, form: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value) or len(value) > _MOST:
        raise ValueError(f"write a list of {form}, {_MOST} at most")
    return value


def _network(text: str) -> Network:
    try:
        network = ip_network(text)
    except ValueError as error:
        raise ValueError(f"{error}; write an address, or a network such as 192.0.2.0/24") from None
    if network.prefixlen == 0:
        raise ValueError(f"{text} would believe everybody; name the proxies")
    return network


def _host_name(text: str) -> str:
    if not _HOST_NAME.fullmatch(text.lower()):
        raise ValueError(f"{text!r} is not a host name: write it without scheme, port and path, as in box.example")
    return text.lower()


def _origin(text: str) -> str:
    origin = text.lower()
    if origin != "*" and not _ORIGIN.fullmatch(origin):
        raise ValueError(f"{text!r} is not an origin: write scheme, host and port only, as in https://viewer.example")
    if _DEFAULT_PORT.fullmatch(origin):
        raise ValueError(f"{text!r}: browsers leave the usual port out; leave it out too")
    return origin
