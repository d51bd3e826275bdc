"""What a request asks to be switched to (RFC 9110 7.8): a WebSocket (RFC 6455) or HTTP/2 (RFC 7540 3.2).

What may live here: reading the Upgrade, Connection and HTTP2-Settings fields of one request; pure.
"""

import base64
import binascii

from hypercorn.protocol.events import Request

SETTING_BYTES = 6  # of one entry in a SETTINGS frame (RFC 9113 6.5.1)
MAX_SETTINGS = 32


def wants_websocket(request: Request) -> bool:
    """Whether this is the opening handshake of a WebSocket, well-formed or not (RFC 6455 4.1)."""
    return request.method == "GET" and _asks_for(request, b"websocket")


def http2_settings(request: Request) -> bytes | None:
    """The client's settings if it asks for h2c in a request that can be upgraded, else None.

    A request with a body is answered in HTTP/1.1: the body would have to be read before HTTP/2 could begin.
    """
    names = {name for name, _ in request.headers}
    if not _asks_for(request, b"h2c") or names & {b"content-length", b"transfer-encoding"}:
        return None
    values = [value for name, value in request.headers if name == b"http2-settings"]
    if len(values) != 1 or b"http2-settings" not in _tokens(request, b"connection"):
        return None
    try:
        settings = base64.b64decode(values[0] + b"=" * (-len(values[0]) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        return None
    if len(settings) % SETTING_BYTES or len(settings) > MAX_SETTINGS * SETTING_BYTES:
        return None
    return base64.urlsafe_b64encode(settings)


def upgrade_fields(protocol: bytes) -> list[tuple[bytes, bytes]]:
    """The fields of the 101 answer."""
    return [(b"connection", b"upgrade"), (b"upgrade", protocol)]


def _asks_for(request: Request, protocol: bytes) -> bool:
    return (
        request.http_version == "1.1"
        and b"upgrade" in _tokens(request, b"connection")
        and protocol in _tokens(request, b"upgrade")
    )


def _tokens(request: Request, wanted: bytes) -> set[bytes]:
    values = (value for name, value in request.headers if name == wanted)
    return {token.strip().lower() for value in values for token in value.split(b",")}
