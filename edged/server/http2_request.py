"""The request in a field section of HTTP/2: read as strictly as a head of HTTP/1, and into the same form.

What may live here: RFC 9113 8.2 and 8.3, RFC 8441 4, and what follows from RFC 9110 for a method, a path, an
authority and field values; pure. Strategy: what breaks HTTP/2's own rules is malformed and its stream reset;
what any version of HTTP refuses is refused with the same answer. Invariant: for any list of fields and any
limits `request_of` returns a Head or raises Malformed or HeadError, nothing else.
"""

import re

from edged.server.head_gate import (
    MAX_LENGTH_DIGITS,
    Head,
    HeadError,
    Refusal,
    check_method,
    is_host,
    is_method,
    is_target,
    is_value,
)
from edged.server.limits import DEFAULT, Limits

Fields = list[tuple[bytes, bytes]]
"""Names and values in the order they came."""

PSEUDO = frozenset({b":method", b":scheme", b":authority", b":path", b":protocol"})
OF_A_CONNECTION = frozenset({b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"})
SCHEMES = frozenset({b"http", b"https"})
WEBSOCKET = b"websocket"

_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")  # lower case only
_TEXT = re.compile(rb"(?![ \t])[^\0\r\n]*(?<![ \t])")


class Malformed(Exception):
    """A field section that is none of HTTP/2: a stream error of type PROTOCOL_ERROR (RFC 9113 8.1.1)."""


def request_of(fields: Fields, limits: Limits = DEFAULT) -> Head:
    """The request of a field section, with Host made from :authority; raises Malformed, HeadError.

    An extended CONNECT is the only one that has a request (RFC 8441 4); its :protocol is left out.
    """
    pseudo, plain = _split(fields)
    _check_plain(plain)
    _check_pseudo(pseudo)
    _check_size(fields, limits, target_bytes=len(pseudo.get(b":path", b"")))
    method, target = pseudo[b":method"], pseudo.get(b":path", b"")
    if not is_method(method):
        raise HeadError(Refusal.REQUEST_LINE)
    if method == b"CONNECT" and pseudo.get(b":protocol") != WEBSOCKET:
        raise HeadError(Refusal.CONNECT)
    if method != b"CONNECT":
        check_method(method)
    if not is_target(method, target) or pseudo[b":scheme"].lower() not in SCHEMES:
        raise HeadError(Refusal.TARGET)
    if not all(is_value(value) for _, value in plain):
        raise HeadError(Refusal.FIELD)
    host = _host(pseudo, plain)
    kept = [(b"host", host), *_with_one_cookie([field for field in plain if field[0] != b"host"])]
    named: dict[bytes, list[bytes]] = {}
    for name, value in kept:
        named.setdefault(name, []).append(value)
    lengths = named.get(b"content-length", [])
    if len(lengths) > 1 or not all(it.isdigit() and len(it) <= MAX_LENGTH_DIGITS for it in lengths):
        raise HeadError(Refusal.CONTENT_LENGTH)
    return Head(method.decode("ascii"), target, "2", kept, named)


def length_of(head: Head) -> int | None:
    """The length that a request says its body has (RFC 9110 8.6)."""
    values = head.named.get(b"content-length")
    return int(values[0]) if values else None


def check_trailers(fields: Fields, limits: Limits = DEFAULT) -> None:
    """Raise Malformed for what is no trailer section (RFC 9113 8.1), or has too many fields."""
    if len(fields) > limits.fields:
        raise Malformed("a trailer section has too many fields")
    pseudo, plain = _split(fields)
    if pseudo:
        raise Malformed("a trailer section has pseudo-header fields")
    _check_plain(plain)


def _split(fields: Fields) -> tuple[dict[bytes, bytes], Fields]:
    """The pseudo-header fields, which come first and once, and the others."""
    pseudo: dict[bytes, bytes] = {}
    for number, (name, value) in enumerate(fields):
        if not name.startswith(b":"):
            return pseudo, fields[number:]
        if name in pseudo or name not in PSEUDO:
            raise Malformed("a pseudo-header field comes twice or is none of a request")
        if _TEXT.fullmatch(value) is None:
            raise Malformed("a pseudo-header field has a forbidden character")
        pseudo[name] = value
    return pseudo, []


def _check_plain(plain: Fields) -> None:
    for name, value in plain:
        if _NAME.fullmatch(name) is None or _TEXT.fullmatch(value) is None:
            raise Malformed("a field has a forbidden character")
        if name in OF_A_CONNECTION or (name == b"te" and value.lower() != b"trailers"):
            raise Malformed("a field belongs to connections of HTTP/1")


def _check_pseudo(pseudo: dict[bytes, bytes]) -> None:
    """What has to be there, and what must not (RFC 9113 8.3.1 and 8.5, RFC 8441 4)."""
    connect = pseudo.get(b":method") == b"CONNECT"
    if connect and b":protocol" not in pseudo:
        if b":authority" not in pseudo or len(pseudo) > 2:
            raise Malformed("CONNECT has an authority and no path")
        return
    if not pseudo.get(b":method") or not pseudo.get(b":scheme") or not pseudo.get(b":path"):
        raise Malformed("a request has a method, a scheme and a path")
    if b":protocol" in pseudo and not connect:
        raise Malformed("only CONNECT has a protocol")


def _check_size(fields: Fields, limits: Limits, *, target_bytes: int) -> None:
    """The same limits as in HTTP/1; pseudo-header fields are no fields there, and a Cookie is one."""
    if target_bytes > limits.target_bytes:
        raise HeadError(Refusal.TARGET_TOO_LONG)
    if sum(len(name) + len(value) for name, value in fields) > limits.head_bytes:
        raise HeadError(Refusal.TOO_LARGE)
    crumbs = sum(name == b"cookie" for name, _ in fields)
    if len(fields) - max(0, crumbs - 1) > limits.fields + len(PSEUDO):
        raise HeadError(Refusal.FIELDS)


def _host(pseudo: dict[bytes, bytes], plain: Fields) -> bytes:
    hosts = [value for name, value in plain if name == b"host"]
    authority = pseudo.get(b":authority")
    if authority is not None:
        if any(host.lower() != authority.lower() for host in hosts):
            raise Malformed("Host is not :authority")
        hosts = [authority]
    if len(hosts) != 1 or not is_host(hosts[0]):
        raise HeadError(Refusal.HOST)
    return hosts[0]


def _with_one_cookie(fields: Fields) -> Fields:
    """HTTP/2 may split a Cookie field; nobody else knows that (RFC 9113 8.2.3)."""
    cookies = [value for name, value in fields if name == b"cookie"]
    if len(cookies) < 2:
        return fields
    return [*(field for field in fields if field[0] != b"cookie"), (b"cookie", b"; ".join(cookies))]
