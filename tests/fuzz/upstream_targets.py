"""What destinations answer, and what proxies before them do: HTTP/1.1, HTTP/2, and the first part of a retrieve.

What may live here: a peer that says any octets after a request has come. It has a pair of sockets, so that every layer
of the connection is real.
"""

import h2.config
import h2.connection
import trio
from hyperframe.frame import SettingsFrame

from edged.http.multipart import MultipartError
from edged.upstream.dial import Timeouts
from edged.upstream.endpoint import Endpoint
from edged.upstream.http1 import Http1Connection
from edged.upstream.http2 import Http2Connection
from edged.upstream.message import ANSWER_LIMIT_BYTES, BytesBody, NoAnswer, Request, Response
from edged.upstream.retrieve import FirstPart
from edged.upstream.transport import Transport
from tests.fuzz.target import Target, cuts_of, first_line, however_cut

ENDPOINT = Endpoint("http", "localhost", 80)
POST = Request("POST", "/studies", (("Content-Type", "text/plain"),), BytesBody(b"x" * 100))
WITHIN_S = 20


def http1_answer(data: bytes) -> None:
    """A response that is bounded, or NoAnswer, whatever a destination says."""
    _check(trio.run(_ask, list(cuts_of(data))[1], False))


def http2_answer(data: bytes) -> None:
    """A response that is bounded, or NoAnswer, whatever a destination says once the request has come."""
    _check(trio.run(_ask, list(cuts_of(data))[1], True))


def _check(found: Response | NoAnswer) -> None:
    if isinstance(found, Response):
        assert len(found.body) <= ANSWER_LIMIT_BYTES
        assert 100 < found.status < 1000
        assert all(name == name.lower() for name, _ in found.headers)


async def _ask(pieces: list[bytes], http2: bool) -> Response | NoAnswer:
    near, far = (trio.SocketStream(end) for end in trio.socket.socketpair())
    transport = Transport(near)
    with trio.fail_after(WITHIN_S):
        async with far, trio.open_nursery() as nursery:
            nursery.start_soon(_say, far, pieces, http2)
            try:
                if not http2:
                    return await Http1Connection(transport, ENDPOINT, Timeouts()).exchange(POST)
                connection = Http2Connection(transport, ENDPOINT, Timeouts())
                await nursery.start(connection.run)
                return await connection.exchange(POST)
            except NoAnswer as error:
                return error
            finally:
                transport.close()
                nursery.cancel_scope.cancel()


async def _say(far: trio.SocketStream, pieces: list[bytes], http2: bool) -> None:
    try:
        if http2:
            await far.send_all(SettingsFrame(0).serialize())
        while b"xxx" not in await far.receive_some():
            pass
        for piece in pieces:
            await far.send_all(piece)
        await far.send_eof()
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        return


class Taken:
    """What an instance goes into."""

    limit = 10_000

    def __init__(self) -> None:
        self.octets = b""

    async def add(self, data: bytes | memoryview) -> None:
        self.octets += data


def first_part(data: bytes) -> None:
    """The same first part however the answer is cut, no more than came; or MultipartError."""
    content_type, body = first_line(data)
    taken = however_cut(body, lambda pieces: trio.run(_take, content_type, pieces))
    assert len(taken[0]) <= len(body)


async def _take(content_type: str, pieces: list[bytes]) -> tuple[bytes, bool | None]:
    taken = Taken()
    part = FirstPart(taken)
    if not part.wants(200, {"content-type": content_type}):
        return b"", False
    try:
        for piece in pieces:
            await part.add(piece)
        await part.finish()
    except MultipartError:
        return taken.octets, None
    return taken.octets, part.whole


def _http2_seed() -> bytes:
    """A whole good answer on stream 1."""
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


CONTINUED = b"HTTP/1.1 100 Continue\r\n\r\n"

TARGETS = (
    Target(
        "upstream-http1",
        http1_answer,
        (
            CONTINUED + b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            b"HTTP/1.0 503 \xff\r\nRetry-After: 5\r\nConnection: close\r\n\r\nlater",
            b"HTTP/1.1 204 \r\nContent-Length: 99999999999999999999999\r\n\r\n",
        ),
        slow=True,
    ),
    Target("upstream-http2", http2_answer, (_http2_seed(),), slow=True),
    Target(
        "upstream-first-part",
        first_part,
        (
            b'multipart/related; type="application/dicom"; boundary=x\n--x\r\n\r\nDICM\r\n--x\r\n\r\nmore\r\n--x--',
            b"application/dicom\nDICM",
        ),
        slow=True,
    ),
)
