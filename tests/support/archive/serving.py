"""Serving one connection of an archive of the tests, in whichever HTTP it begins; also one without a socket."""

import trio
import trio.testing

from edged.upstream.dial import Connector
from edged.upstream.transport import Transport
from tests.support.archive.http1 import serve_http1
from tests.support.archive.http2 import serve_http2
from tests.support.archive.line import Line, LineEnded, Stream
from tests.support.archive.rules import Archive
from tests.support.memory_wire import MemoryWire

PREFACE = b"PRI * HTTP/2.0\r\n"


async def serve_connection(stream: Stream, archive: Archive) -> None:
    """Answer until the connection ends, and close it."""
    line = Line(stream)
    try:
        begun = b""
        while len(begun) < len(PREFACE) and PREFACE.startswith(begun):
            begun += await line.receive()
        serve = serve_http2 if begun.startswith(PREFACE) else serve_http1
        await serve(line, archive, begun)
    except LineEnded:
        return
    finally:
        line.close()


def connector_to(archive: Archive, nursery: trio.Nursery) -> Connector:
    """Connect in memory, each connection served by a task of the nursery."""

    async def connect(*_: object) -> Transport:
        await trio.lowlevel.checkpoint()
        near, far = trio.testing.memory_stream_pair()
        nursery.start_soon(serve_connection, far, archive)
        return Transport(MemoryWire(near))

    return connect
