"""Where a destination is: its URL, taken apart once.

Pure. Only what an HTTP client can reach is accepted, and each refusal says what is wrong with the URL as written.

Invariants: an `Endpoint` is complete (its port is a number), its host is ASCII without brackets, its base path is empty
or begins with a slash and ends without one, so that `base_path + "/studies"` is a target.
"""

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv6Address
from typing import Self
from urllib.parse import SplitResult, urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*\.?")
_PATH = re.compile(r"(?:/[A-Za-z0-9\-._~!$&'()*+,;=:@%]*)*")


class EndpointError(ValueError):
    """A destination's URL that cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One HTTP origin and the path below which a service lives."""

    scheme: str
    host: str
    port: int
    base_path: str = ""

    @classmethod
    def parse(cls, url: str) -> Self:
        """Take a URL such as "http://host:8042/dicom-web" apart.

        Raises EndpointError. Source: RFC 3986 3, RFC 9110 4.2.
        """
        try:
            split = urlsplit(url)
            port = split.port
        except ValueError as error:
            raise EndpointError(f"not a URL: {error}") from None
        if split.scheme not in _DEFAULT_PORTS:
            raise EndpointError(f'a URL begins with "http://" or "https://", this one with "{split.scheme}:"')
        _refuse_extras(split)
        if port == 0:
            raise EndpointError("port 0 cannot be connected to")
        path = split.path.rstrip("/")
        if not _PATH.fullmatch(path):
            raise EndpointError("the URL's path holds characters that must be percent-encoded")
        return cls(split.scheme, _host(split.hostname), port or _DEFAULT_PORTS[split.scheme], path)

    @property
    def secure(self) -> bool:
        """True for https."""
        return self.scheme == "https"

    @property
    def peer(self) -> str:
        """Host and port, as messages name the peer."""
        return f"{self._bracketed}:{self.port}"

    @property
    def authority(self) -> str:
        """What Host and :authority say: the port only where it is not the scheme's. Source: RFC 9110 7.2."""
        return self._bracketed if self.port == _DEFAULT_PORTS[self.scheme] else self.peer

    def url(self, target: str) -> str:
        """The URL of a target in origin-form."""
        return f"{self.scheme}://{self.authority}{target}"

    @property
    def _bracketed(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.base_path}"


def _refuse_extras(split: SplitResult) -> None:
    if "@" in split.netloc:
        raise EndpointError("credentials belong into the destination's auth section, not into its URL")
    if split.query or split.fragment:
        raise EndpointError("a destination's URL has no query and no fragment")


def _host(host: str | None) -> str:
    if not host:
        raise EndpointError("the URL names no host")
    if ":" in host:
        try:
            return str(IPv6Address(host))
        except AddressValueError as error:
            raise EndpointError(f"not an IPv6 address: {error}") from None
    if not _HOST_NAME.fullmatch(host):
        raise EndpointError(f"not a host name: {host!r} (international names are written in their xn-- form)")
    return host
