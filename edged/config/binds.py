"""What `origin.bind` may say: http://host:port, https://host:port, unix:/path, fd://3.

Only as much of a listener's address is understood here as the settings need to judge it: whether it
is well formed, whether it speaks TLS, and whether it can be reached from outside of this machine. A
host name other than localhost counts as reachable, since nothing is resolved here; so does an IPv4
address mapped into IPv6. A unix socket is the operator's own doing. What an inherited descriptor is shows only once
the daemon looks at it: then it is judged by where it listens (`checks.contradictions_of_descriptors`).
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address
from urllib.parse import urlsplit

BIND_FORM = "write http://host:port, https://host:port, unix:/path or fd://3"

_HOST = re.compile(r"[A-Za-z0-9.:_-]{1,253}")
_UNIX = re.compile(r"unix:(/[^\0]{1,107})")
_DESCRIPTOR = re.compile(r"fd://[0-9]{1,4}")


class Scheme(StrEnum):
    """The kinds of listeners."""

    HTTP = "http"
    HTTPS = "https"
    UNIX = "unix"
    FD = "fd"


@dataclass(frozen=True, slots=True)
class Bind:
    """The address of one listener: a host and a port (0 = any) for http and https."""

    scheme: Scheme
    host: str = ""
    port: int = 0

    @property
    def off_loopback(self) -> bool:
        """Whether another machine can reach it, as far as the settings tell."""
        if self.scheme in {Scheme.UNIX, Scheme.FD} or self.host == "localhost":
            return False
        try:
            return not ip_address(self.host).is_loopback
        except ValueError:
            return True


def parse_bind(value: object) -> Bind:
    """Understand the address of a listener; raises ValueError saying what is allowed."""
    if not isinstance(value, str):
        raise ValueError(BIND_FORM)
    if _UNIX.fullmatch(value):
        return Bind(Scheme.UNIX)
    if _DESCRIPTOR.fullmatch(value):
        return Bind(Scheme.FD)
    try:
        parts = urlsplit(value)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"{BIND_FORM} ({error})") from None
    if parts.scheme not in {Scheme.HTTP, Scheme.HTTPS} or not host or not _HOST.fullmatch(host) or port is None:
        raise ValueError(BIND_FORM)
    if parts.path not in {"", "/"} or "?" in value or "#" in value or "@" in value:
        raise ValueError(f"{BIND_FORM}; a path belongs into base_path")
    return Bind(Scheme(parts.scheme), host, port)


def binds(value: object) -> tuple[str, ...]:
    """Read the list of listeners: at least one, each well formed, none twice (any port may come again)."""
    if not isinstance(value, list) or not value:
        raise ValueError(f"a list: {BIND_FORM}")
    for one in value:
        bind = parse_bind(one)
        if value.count(one) > 1 and (bind.port or bind.scheme not in {Scheme.HTTP, Scheme.HTTPS}):
            raise ValueError(f"{one} stands there twice")
    return tuple(value)
