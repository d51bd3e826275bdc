"""Who is at the other end of a connection, as ASGI scopes say it.

What may live here: what the sockets and the TLS layer tell about the peer, asked once when a connection begins.
"""

import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any

import trio

from edged.server.wire import TCPStream, TLSStream

IPV6_PREFIX = 64  # what one IPv6 host may have for itself


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end, as ASGI scopes say it; `counts_as`: see `address_of`."""

    client: tuple[str, int] | None
    server: tuple[str, int] | None
    secure: bool
    extensions: dict[str, dict[str, Any]] = field(default_factory=dict)
    counts_as: str = ""


def peer_of(stream: TCPStream | TLSStream) -> Peer:
    """Addresses, credentials and path of a Unix connection (`edged.peer`), certificate of a TLS one (`edged.tls`).

    The certificate and its names are those of a client that OpenSSL has verified against `client_ca`.
    """
    tcp = stream if isinstance(stream, trio.SocketStream) else stream.transport_stream
    family = tcp.socket.family
    if family == socket.AF_UNIX:
        pid, uid, gid = struct.unpack(
            "3i", tcp.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        )
        listener = tcp.socket.getsockname()
        return Peer(None, None, False, {"edged.peer": {"uid": uid, "gid": gid, "pid": pid, "listener": listener}})
    extensions: dict[str, dict[str, Any]] = {}
    if isinstance(stream, trio.SSLStream):
        extensions["edged.tls"] = {
            "version": stream.version(),
            "client_certificate": stream.getpeercert(binary_form=True),
            "client_names": _names(stream.getpeercert() or {}),
        }
    client, server = tcp.socket.getpeername(), tcp.socket.getsockname()
    whose = address_of(tcp.socket)
    return Peer((client[0], client[1]), (server[0], server[1]), bool(extensions), extensions, whose)


def address_of(peer: socket.socket | trio.socket.SocketType) -> str:
    """What a connection counts as: an IPv4 address, an IPv6 network; empty for a Unix socket and loopback."""
    if peer.family == socket.AF_UNIX:
        return ""
    try:
        address = ip_address(peer.getpeername()[0].partition("%")[0])
    except OSError:  # gone already
        return ""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address.is_loopback:
        return ""
    return str(address) if isinstance(address, IPv4Address) else str(IPv6Network((address, IPV6_PREFIX), strict=False))


def _names(certificate: Mapping[str, Any]) -> tuple[str, ...]:
    """The common names of a verified certificate, and the DNS names and mail addresses of its subjectAltName."""
    subject = [pair for relative in certificate.get("subject", ()) for pair in relative]
    common = [value for kind, value in subject if kind == "commonName"]
    return (*common, *(value for kind, value in certificate.get("subjectAltName", ()) if kind in {"DNS", "email"}))
