"""From an endpoint to a connected transport: names, TCP, TLS, each step with its deadline and its phase.

Whatever goes wrong here is a `NoAnswer` of which the peer has processed nothing. A socket that does not become a
`Transport` is closed before the exception leaves.
"""

import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass

import trio

from edged.telemetry.live import Phase
from edged.upstream.endpoint import Endpoint
from edged.upstream.message import NoAnswer
from edged.upstream.transport import Transport

NOTSENT_LOWAT_BYTES = 256 << 10
"""Unsent bytes that the kernel queues: enough to keep a link busy, few enough that "sent" is nearly true."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long each step may take, in seconds."""

    connect_s: float = 15
    """Names and TCP together."""
    tls_s: float = 15
    """The TLS handshake; also the peer's first HTTP/2 SETTINGS."""
    send_s: float = 60
    """Without progress while the request is sent."""
    answer_s: float = 120
    """From the end of the request to the head of the answer; each interim response begins it anew."""
    interim_s: float = 1200
    """From the end of the request to the head of the answer in all, however many interim responses come."""
    body_s: float = 60
    """Without progress while the answer's body is read."""
    idle_s: float = 30
    """After which an unused connection is not used again."""


Connector = Callable[[Endpoint, ssl.SSLContext | None, Timeouts], Awaitable[Transport]]
"""How a client connects: `dial`, or what a test puts in its place. Raises NoAnswer alone."""


async def dial(endpoint: Endpoint, context: ssl.SSLContext | None, timeouts: Timeouts) -> Transport:
    """Connect, over TLS where a context is given. Raises NoAnswer in the phases DNS, TCP and TLS."""
    transport = Transport(await connect(endpoint, timeouts), context, server_hostname=endpoint.host)
    with ExitStack() as undo:
        undo.callback(transport.close)
        await secure(transport, endpoint, timeouts)
        undo.pop_all()
    return transport


async def connect(endpoint: Endpoint, timeouts: Timeouts) -> trio.SocketStream:
    """Connect by TCP. Raises NoAnswer in the phases DNS and TCP."""
    phase = Phase.DNS
    try:
        with trio.fail_after(timeouts.connect_s):
            # open_tcp_stream looks the name up once more; only so is a slow resolver told from a slow peer.
            await trio.socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
            phase = Phase.TCP
            stream = await trio.open_tcp_stream(endpoint.host, endpoint.port)
    except trio.TooSlowError:
        wanted = "no address for" if phase is Phase.DNS else "no connection to"
        text = f"{wanted} {endpoint.peer} within {timeouts.connect_s:g} s"
        raise NoAnswer(phase, text, not_processed=True) from None
    except socket.gaierror as error:
        text = f"no address for {endpoint.peer}: {error.strerror}"
        raise NoAnswer(Phase.DNS, text, not_processed=True) from None
    except OSError as error:
        text = f"cannot connect to {endpoint.peer}: {_reasons(error)}"
        raise NoAnswer(Phase.TCP, text, not_processed=True) from None
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, NOTSENT_LOWAT_BYTES)
    return stream


async def secure(transport: Transport, endpoint: Endpoint, timeouts: Timeouts) -> None:
    """Do the TLS handshake, if the transport has one to do. Raises NoAnswer in the phase TLS."""
    try:
        with trio.fail_after(timeouts.tls_s):
            await transport.handshake()
    except trio.TooSlowError:
        text = f"no TLS handshake with {endpoint.peer} within {timeouts.tls_s:g} s"
        raise NoAnswer(Phase.TLS, text, not_processed=True) from None
    except trio.BrokenResourceError as error:
        text = f"no TLS with {endpoint.peer}: {_tls_reason(error)}"
        raise NoAnswer(Phase.TLS, text, not_processed=True) from None


def _reasons(error: OSError) -> str:
    """What each attempt failed of, in words, each once."""
    group = error.__cause__
    errors = group.exceptions if isinstance(group, ExceptionGroup) else (error,)
    words = (os.strerror(each.errno) if isinstance(each, OSError) and each.errno else str(each) for each in errors)
    return ", ".join(dict.fromkeys(each.lower() for each in words))


def _tls_reason(error: trio.BrokenResourceError) -> str:
    cause = error.__cause__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"certificate not accepted, {cause.verify_message}"
    if isinstance(cause, ssl.SSLEOFError):
        return "the connection was closed"
    if isinstance(cause, ssl.SSLError):
        return (cause.reason or "handshake failed").lower().replace("_", " ")
    return "the connection broke"
