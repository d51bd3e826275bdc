"""What the HTTP client makes of a destination that says any octets at all once a request has come.

What may live here: that destination, on the other end of a pair of sockets, so that every layer of the connection is
real; and a good answer in HTTP/2, for whoever wants to spoil it.
"""

from collections.abc import Sequence

import h2.config
import h2.connection
import trio
from hyperframe.frame import SettingsFrame

from edged.upstream.dial import Timeouts
from edged.upstream.endpoint import Endpoint
from edged.upstream.http1 import Http1Connection
from edged.upstream.http2 import Http2Connection
from edged.upstream.message import BytesBody, NoAnswer, Request, Response
from edged.upstream.transport import Transport

WITHIN_S = 20

_ENDPOINT = Endpoint("http", "localhost", 80)
_BODY = b"x" * 1000
_REQUEST = Request("POST", "/studies", (("Content-Type", "text/plain"),), BytesBody(_BODY))


def response_to(pieces: Sequence[bytes], *, http2: bool) -> Response | NoAnswer:
    """What a request gets from a destination that says `pieces` and then ends; over HTTP/2 after its SETTINGS."""
    return trio.run(_ask, pieces, http2)


async def _ask(pieces: Sequence[bytes], http2: bool) -> Response | NoAnswer:
    near, far = (trio.SocketStream(end) for end in trio.socket.socketpair())
    transport = Transport(near)
    with trio.fail_after(WITHIN_S):
        async with far, trio.open_nursery() as nursery:
            nursery.start_soon(_say, far, pieces, http2)
            try:
                if not http2:
                    return await Http1Connection(transport, _ENDPOINT, Timeouts()).exchange(_REQUEST)
                connection = Http2Connection(transport, _ENDPOINT, Timeouts())
                await nursery.start(connection.run)
                return await connection.exchange(_REQUEST)
            except NoAnswer as error:
                return error
            finally:
                transport.close()
                nursery.cancel_scope.cancel()


async def _say(far: trio.SocketStream, pieces: Sequence[bytes], http2: bool) -> None:
    try:
        if http2:
            await far.send_all(SettingsFrame(0).serialize())
        while _BODY[:3] not in await far.receive_some():
            pass
        for piece in pieces:
            await far.send_all(piece)
            await trio.lowlevel.checkpoint()
        await far.send_eof()
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        return


def http2_answer() -> bytes:
    """A whole good answer on stream 1, 200 with `hello`, and then a ping and the end."""
    server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    server.initiate_connection()
    server.clear_outbound_data_buffer()
    client.initiate_connection()
    client.send_headers(1, [(":method", "POST"), (":scheme", "http"), (":authority", "localhost"), (":path", "/")])
    server.receive_data(client.data_to_send())
    server.send_headers(1, [(":status", "103")])
    server.send_headers(1, [(":status", "200"), ("content-length", "5")])
    server.send_data(1, b"hello", end_stream=True)
    server.ping(b"12345678")
    server.close_connection()
    return server.data_to_send()
