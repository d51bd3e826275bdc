"""One notification connection as a user agent: its opening handshake, its messages, and whether the other end is there.

What may live here: everything between a connected transport and whole messages; the frames are trio-websocket's. What
can go wrong in it comes out as `Trouble`. trio-websocket waits for an answer for ever, and keeps all of one that
refuses: the stream beneath it breaks an opening handshake off that ends early, is too long, or takes too long.

Invariants: a session holds one message and what has come of the next; what comes between two messages is bounded, so
that frames without content are no way to fill memory. A peer of which nothing is heard for PING_S is asked whether it
is there, and has PONG_S for an answer, unless whoever follows holds it up. A send that does not end is the end.
"""

import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus

import msgspec
import trio
from trio_websocket import ConnectionClosed, ConnectionRejected, WebSocketConnection, wrap_client_stream

from edged.dicomweb.close_reason import read_reason
from edged.http.retry_after import parse_retry_after
from edged.telemetry.live import Phase
from edged.upstream.beside import beside
from edged.upstream.endpoint import Endpoint
from edged.upstream.following_values import Trouble
from edged.upstream.transport import Transport
from edged.upstream.verdict_values import one_line

HANDSHAKE_S = 30.0
PING_S = 30.0
PONG_S = 30.0
SEND_S = 30.0
CLOSE_S = 0.2
"""For the other end's word when this one leaves: it makes no difference."""

MOST_UNANSWERED = 10
"""Questions in a row that were not answered in time, while it was heard all the same."""

MESSAGE_BYTES = 8 << 20
"""Of one report: a storage commitment result over the 20,000 instances that a request may name takes some 5 MiB."""

HEAD_BYTES = 64 << 10
"""Of the answer to a handshake, with the body of one that refuses."""

ABNORMAL = 1006
SAID_CHARACTERS = 300

_DENIED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_STATUS = re.compile(rb"HTTP/1\.[0-9] (\d{3})")


class _StatusReport(msgspec.Struct, frozen=True):
    """What is read of a Status Report (RFC 9457)."""

    detail: str = ""


class _CutError(Exception):
    """The stream ended where no message can."""


class _Stream(trio.abc.Stream):
    """A transport as trio-websocket wants it; `status` is that of the answer, once its head has come.

    `reading`: all that has come is taken, and more is waited for.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._head = bytearray()
        self._come = 0
        self.heard_s = trio.current_time()
        self.reading = False
        self.status: int | None = None

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        good = False
        try:
            with trio.move_on_after(SEND_S):
                good = await self._transport.send(bytes(data))
        finally:
            if not good:  # half a frame may have left
                self._transport.close()
        if not good:
            raise trio.BrokenResourceError("the peer takes nothing any more")

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        self.reading = True
        data = await self._transport.receive()
        self.reading = False
        self.heard_s = trio.current_time()
        self._come += len(data)
        if self.status is None:
            self._read_head(data)
        if self.status != HTTPStatus.SWITCHING_PROTOCOLS:
            if not data:
                raise _CutError("the connection was closed before the handshake was answered")
            if self._come > HEAD_BYTES:
                raise _CutError("the answer to the handshake is too long")
        elif self._come > 2 * MESSAGE_BYTES:
            raise _CutError("what comes makes up no message")
        return data

    async def aclose(self) -> None:
        self._transport.close()
        await trio.lowlevel.checkpoint()

    def begin_message(self) -> None:
        """Count anew what comes."""
        self._come = 0

    def _read_head(self, data: bytes | bytearray) -> None:
        self._head += data[: HEAD_BYTES - len(self._head)]
        if b"\r\n\r\n" in self._head:
            found = _STATUS.match(self._head)
            self.status = int(found[1]) if found else 0


class Session:
    """An open connection; `acknowledges`: the server knows CP-1871, since it says what its reports are written in.

    `newest` is the number of the newest event as it was opened, where the server is edged.
    """

    def __init__(self, connection: WebSocketConnection, stream: _Stream, peer: str) -> None:
        self._connection = connection
        self._stream = stream
        self._peer = peer
        said = {name.lower(): value for name, value in connection.handshake_headers}
        self.acknowledges = b"content-type" in said
        newest = said.get(b"edged-event", b"")
        self.newest = int(newest) if newest.isdigit() and len(newest) < 20 else None

    async def message(self) -> str | bytes:
        """Return the next message; raises Trouble when there will be none."""
        try:
            message = await self._connection.get_message()
        except ConnectionClosed as closed:
            raise self._closed(closed) from None
        self._stream.begin_message()
        return message

    async def send(self, message: bytes) -> None:
        """Send a binary message; raises Trouble."""
        try:
            await self._connection.send_message(message)
        except ConnectionClosed as closed:
            raise self._closed(closed) from None

    async def keep_asking(self) -> None:
        """Find out whether the peer is still there; returns when the connection is closed, or closes it."""
        unanswered = 0
        while True:
            await trio.sleep_until(self._stream.heard_s + PING_S)
            if trio.current_time() < self._stream.heard_s + PING_S:
                continue
            asked_s = trio.current_time()
            with trio.move_on_after(PONG_S) as asking:
                try:
                    await self._connection.ping()
                except ConnectionClosed:
                    return
            if not asking.cancelled_caught:
                unanswered = 0
            elif self._stream.reading:  # else whoever follows has not taken what came before the answer
                unanswered += 1
                if self._stream.heard_s < asked_s or unanswered == MOST_UNANSWERED:
                    await self._stream.aclose()
                    return
            self._stream.heard_s = trio.current_time()

    async def close(self) -> None:
        """Close in order."""
        with trio.move_on_after(CLOSE_S, shield=True):
            await self._connection.aclose()

    def _closed(self, closed: ConnectionClosed) -> Trouble:
        if closed.reason is None or closed.reason.code == ABNORMAL:
            return Trouble(Phase.BODY, f"the connection to {self._peer} broke", code=ABNORMAL)
        reason = read_reason(closed.reason.reason)
        said = f": {one_line(reason.text)}"[:SAID_CHARACTERS] if reason.text else ""
        text = f"{self._peer} closed the connection ({closed.reason.code}){said}"
        return Trouble(Phase.BODY, text, code=closed.reason.code)


@asynccontextmanager
async def open_session(
    transport: Transport, endpoint: Endpoint, *, resource: str, headers: Mapping[str, str], wall: float
) -> AsyncGenerator[Session, None]:
    """Open a connection over a transport, which is closed in the end. Raises Trouble. Source: RFC 6455 4.1.

    `resource` is path and query; `wall` the time, in seconds of the epoch, for a Retry-After.
    """
    stream, peer = _Stream(transport), endpoint.peer
    extra = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]

    async def hold(*, task_status: trio.TaskStatus[WebSocketConnection]) -> None:
        try:
            async with trio.open_nursery() as reading:
                with trio.fail_after(HANDSHAKE_S):
                    connection = await wrap_client_stream(
                        reading,
                        stream,  # type: ignore[arg-type]  # "an arbitrary stream", says its documentation
                        endpoint.authority,
                        resource,
                        extra_headers=extra,
                        message_queue_size=0,
                        max_message_size=MESSAGE_BYTES,
                    )
                task_status.started(connection)
        except ExceptionGroup as group:
            raise _trouble(group.exceptions[0], stream.status, peer=peer, wall=wall) from None

    try:
        async with beside() as nursery:
            session = Session(await nursery.start(hold), stream, peer)
            nursery.start_soon(session.keep_asking)
            try:
                yield session
            finally:
                await session.close()
    finally:
        transport.close()


def _trouble(error: Exception, status: int | None, *, peer: str, wall: float) -> Trouble:
    """Say what a handshake, answered with `status`, or reading after it failed of."""
    if status is not None and status != HTTPStatus.SWITCHING_PROTOCOLS:
        phase = Phase.AUTH if status in _DENIED else Phase.VERDICT
        text = f"{peer} opened no notification connection ({status}){_detail(error)}"
        return Trouble(phase, text, status=status, not_before_s=_retry_after(error, wall))
    if isinstance(error, trio.TooSlowError):
        return Trouble(Phase.HTTP, f"{peer} did not answer the handshake within {HANDSHAKE_S:g} s")
    if isinstance(error, _CutError):
        return Trouble(Phase.HTTP, f"{peer}: {error}")
    return Trouble(Phase.HTTP, f"{peer} does not keep to the protocol: {error}"[:SAID_CHARACTERS])


def _detail(error: Exception) -> str:
    """Return what the Status Report of a refusal says, as the end of a sentence."""
    body = error.body if isinstance(error, ConnectionRejected) else None
    try:
        detail = msgspec.json.decode(body or b"{}", type=_StatusReport).detail
    except msgspec.DecodeError:
        return ""
    return f": {one_line(detail)}"[:SAID_CHARACTERS] if detail else ""


def _retry_after(error: Exception, wall: float) -> float | None:
    headers = error.headers if isinstance(error, ConnectionRejected) else ()
    fields = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}
    return parse_retry_after(fields.get("retry-after", ""), wall)
