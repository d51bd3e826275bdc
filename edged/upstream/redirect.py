"""What a Location means: where a redirect leads, and whether that is within the same origin (RFC 9110 10.2.2, 15.4).

Pure. Instances and credentials go only where the settings say: nothing outside a scheme, host and port is followed.
"""

from urllib.parse import urljoin, urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}


def same_origin_target(base: str, location: str) -> str:
    """The origin-form target of a redirect, or nothing when it leaves the scheme, host or port of base.

    `base` is the URL that was asked, with its target (RFC 3986 5.1.3).
    """
    url = absolute(base, location)
    if not url or _origin(url) != _origin(base):
        return ""
    parts = urlsplit(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def absolute(base: str, location: str) -> str:
    """The absolute URL that a Location means (RFC 9110 10.2.2), or nothing when it is none."""
    if not location or not all("!" <= sign <= "~" for sign in location):
        return ""
    try:
        url = urljoin(base, location)
    except ValueError:
        return ""
    return url if _origin(url) else ""


def host_of(url: str) -> str:
    """Scheme, host and port of a URL: its path is the peer's own words."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _origin(url: str) -> tuple[str, str, int] | None:
    try:
        parts = urlsplit(url)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return None
    if not port or not parts.hostname or "@" in parts.netloc:
        return None
    return (parts.scheme, parts.hostname, port)
