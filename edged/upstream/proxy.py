"""The way to a destination through an HTTP proxy: a tunnel by CONNECT, for http:// and https:// alike.

A connector in the place of `dial`. TLS, its certificate and its pins are those of the destination, end to end: the
proxy sees host and port, and the password that is its own. What a proxy says instead of opening the tunnel has nothing
to do with any instance: it is a `NoAnswer` of which the destination has processed nothing.

Invariant: a stream that does not become a `Transport` is closed before the exception leaves.
"""

import ssl
from base64 import b64encode
from contextlib import ExitStack
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import h11
import trio

from edged.config import CredentialError, read_secret
from edged.telemetry.live import Phase
from edged.upstream.dial import Timeouts, connect, secure
from edged.upstream.endpoint import Endpoint
from edged.upstream.message import NoAnswer
from edged.upstream.redaction import Redactor
from edged.upstream.transport import RECEIVE_BYTES, Transport

MAX_HEAD_BYTES = 16 << 10
"""Of a proxy's answer to CONNECT."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """Where it is, and who the box is to it; callable as a `Connector`.

    The password is read at each connection, and the `redactor` learns it.
    """

    endpoint: Endpoint
    username: str | None = None
    password_file: Path | None = None
    redactor: Redactor | None = None

    async def __call__(self, endpoint: Endpoint, context: ssl.SSLContext | None, timeouts: Timeouts) -> Transport:
        """Connect to `endpoint`, over TLS where a context is given. Raises NoAnswer. Source: RFC 9110 9.3.6."""
        head = _request(endpoint, self._credentials())
        stream = await connect(self.endpoint, timeouts)
        with ExitStack() as undo:
            undo.callback(stream.socket.close)
            try:
                with trio.fail_after(timeouts.connect_s):
                    await self._open(stream, head, endpoint)
            except trio.TooSlowError:
                raise self._refusal(Phase.TCP, endpoint, f"within {timeouts.connect_s:g} s") from None
            except trio.BrokenResourceError:
                raise self._refusal(Phase.TCP, endpoint, "the connection broke") from None
            except h11.ProtocolError:
                raise self._refusal(Phase.TCP, endpoint, "its answer is malformed") from None
            transport = Transport(stream, context, server_hostname=endpoint.host)
            await secure(transport, endpoint, timeouts)
            undo.pop_all()
        return transport

    async def _open(self, stream: trio.SocketStream, head: h11.Request, endpoint: Endpoint) -> None:
        protocol = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
        await stream.send_all(protocol.send(head) or b"")
        protocol.send(h11.EndOfMessage())
        while True:
            event = protocol.next_event()
            if event is h11.NEED_DATA:
                protocol.receive_data(bytes(await stream.receive_some(RECEIVE_BYTES)))
            elif isinstance(event, h11.Response):
                break
            elif not isinstance(event, h11.InformationalResponse):
                raise self._refusal(Phase.TCP, endpoint, "it closed the connection")
        if event.status_code == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
            raise self._refusal(Phase.AUTH, endpoint, "407, it wants other credentials")
        if event.status_code >= HTTPStatus.MULTIPLE_CHOICES:
            raise self._refusal(Phase.TCP, endpoint, str(event.status_code))
        if protocol.trailing_data[0]:
            raise self._refusal(Phase.TCP, endpoint, "bytes that nobody has asked for")

    def _credentials(self) -> list[tuple[str, str]]:
        if self.username is None or self.password_file is None:
            return []
        try:
            pair = f"{self.username}:{read_secret(self.password_file)}"
        except CredentialError as error:
            raise NoAnswer(Phase.AUTH, str(error), not_processed=True) from None
        value = f"Basic {b64encode(pair.encode()).decode()}"
        if self.redactor is not None:
            self.redactor.learn_fields([("proxy-authorization", value)])
        return [("Proxy-Authorization", value)]

    def _refusal(self, phase: Phase, endpoint: Endpoint, why: str) -> NoAnswer:
        text = f"no way to {endpoint.peer} through the proxy {self.endpoint.peer}: {why}"
        return NoAnswer(phase, text, not_processed=True)


def _request(endpoint: Endpoint, credentials: list[tuple[str, str]]) -> h11.Request:
    return h11.Request(method="CONNECT", target=endpoint.peer, headers=[("Host", endpoint.peer), *credentials])
