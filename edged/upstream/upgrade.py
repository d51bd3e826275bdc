"""From HTTP/1.1 to HTTP/2 on a connection without TLS, by Upgrade on an OPTIONS request.

The way that DICOM's correction proposal on HTTP/2 recommends (its text for PS3.18 6), for peers that do not know HTTP/2
without being asked. The request has no body and no credential: whatever it is answered, it changes nothing.

Invariant: a peer that answers in HTTP/1.1 speaks HTTP/1.1; that is no failure.
"""

import h11
import trio

from edged.telemetry.live import Phase
from edged.upstream.dial import Timeouts
from edged.upstream.endpoint import Endpoint
from edged.upstream.http2_protocol import Protocol
from edged.upstream.message import NoAnswer
from edged.upstream.transport import Transport

MAX_HEAD_BYTES = 64 << 10
"""Of the answer."""


async def upgrade(transport: Transport, endpoint: Endpoint, timeouts: Timeouts) -> Protocol | None:
    """Ask the peer to go on in HTTP/2: give the state it goes on from, or None where it stays with HTTP/1.1.

    The connection is of no more use then. Raises NoAnswer. Source: RFC 7540 3.2.
    """
    protocol = Protocol()
    try:
        with trio.fail_after(timeouts.tls_s):
            switched = await _ask(transport, endpoint, protocol.upgrade())
    except trio.TooSlowError:
        raise _no_http2(endpoint, f"no answer to an upgrade within {timeouts.tls_s:g} s") from None
    except h11.ProtocolError:
        raise _no_http2(endpoint, "a malformed answer to an upgrade") from None
    return protocol if switched else None


async def _ask(transport: Transport, endpoint: Endpoint, settings: str) -> bool:
    wire = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
    headers = [
        ("Host", endpoint.authority),
        ("Connection", "Upgrade, HTTP2-Settings"),
        ("Upgrade", "h2c"),
        ("HTTP2-Settings", settings),
    ]
    head = wire.send(h11.Request(method="OPTIONS", target=endpoint.base_path or "/", headers=headers))
    wire.send(h11.EndOfMessage())
    await transport.send(head or b"")
    while True:
        event = wire.next_event()
        if event is h11.NEED_DATA:
            data = await transport.receive()
            if not data:
                raise _no_http2(endpoint, "it closed the connection when it was asked to upgrade")
            wire.receive_data(bytes(data))
        elif wire.their_state is h11.SWITCHED_PROTOCOL:
            transport.put_back(wire.trailing_data[0])
            return True
        elif isinstance(event, h11.Response):
            return False


def _no_http2(endpoint: Endpoint, why: str) -> NoAnswer:
    return NoAnswer(Phase.HTTP, f"no HTTP/2 from {endpoint.peer}: {why}", not_processed=True, http2=True)
