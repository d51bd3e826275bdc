"""An archive of the tests over HTTP/1.1, by h11."""

import h11

from tests.support.archive.line import Line, LineEnded
from tests.support.archive.rules import Archive
from tests.support.archive.values import Asked, Fault, Kind, Reply


async def serve_http1(line: Line, archive: Archive, begun: bytes) -> None:
    """Answer requests until the connection ends; `begun` was read already. Raises LineEnded."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(begun)
    while await _exchange(line, archive, connection):
        connection.start_next_cycle()


async def _exchange(line: Line, archive: Archive, connection: h11.Connection) -> bool:
    asked, early = await _request(line, archive, connection)
    reply = early or archive.answer(asked)
    await reply.ready()
    if reply.reset:
        await line.suffer(Fault(Kind.RESET))
    line.arm(reply.fault)
    fields = [*reply.fields, *([("connection", "close")] if early else [])]
    head = connection.send(h11.Response(status_code=reply.status, headers=fields, reason=b"X"))
    body = connection.send(h11.Data(data=reply.content))
    await line.send((head or b"") + (body or b"") + (connection.send(h11.EndOfMessage()) or b""))
    line.arm(None)
    reply.arrived()
    if early:
        await line.suffer(Fault(Kind.STALL))  # it goes on reading, so that the answer is not lost to a reset
    return connection.our_state is h11.DONE and connection.their_state is h11.DONE


async def _request(line: Line, archive: Archive, connection: h11.Connection) -> tuple[Asked, Reply | None]:
    """Read one request; also what is answered before its end."""
    asked, fault = Asked("", "", ()), None
    body = bytearray()
    while True:
        event = _next_event(connection)
        if event is h11.NEED_DATA:
            if connection.they_are_waiting_for_100_continue:
                await line.send(connection.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
            connection.receive_data(await line.receive())
        elif isinstance(event, h11.Request):
            headers = tuple((name.decode(), value.decode()) for name, value in event.headers)
            asked = Asked(event.method.decode(), event.target.decode(), headers)
            fault = archive.on_head(asked)
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            return Asked(asked.method, asked.path, asked.headers, bytes(body)), None
        else:
            raise LineEnded
        if fault is not None and len(body) >= fault.at and asked.path:
            if fault.reply is not None:
                archive.on_early(Asked(asked.method, asked.path, asked.headers, bytes(body)))
                return asked, fault.reply
            await line.suffer(fault)


def _next_event(connection: h11.Connection) -> object:
    try:
        return connection.next_event()
    except h11.RemoteProtocolError:
        raise LineEnded from None
