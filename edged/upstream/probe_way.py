"""The way to a destination, as a probe takes it: name, TCP, proxy, TLS, and who the box is there.

Each step is taken on its own connection and ends it, so that what it shows is what it is about. What TLS is not
trusted is looked at without trust, to tell whose certificate it is, and nothing is sent over it.
"""

import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import trio

from edged.config.choices import AuthKind, HTTPVersion
from edged.services.probing import StepName
from edged.telemetry.live import Phase
from edged.upstream.credentials import credentials_for
from edged.upstream.destination import Destination
from edged.upstream.dial import Timeouts, connect
from edged.upstream.endpoint import Endpoint
from edged.upstream.message import NoAnswer
from edged.upstream.pinning import pin_fault
from edged.upstream.probe_judging import Fault, Found
from edged.upstream.probe_tls import SOON_DAYS, Handshake, Shown, Unaccepted, shake_hands, shown, untrusting
from edged.upstream.reaching import client_settings

TIMEOUTS = Timeouts(connect_s=10, tls_s=10, send_s=10, answer_s=20, interim_s=25, body_s=10)

_ALPN = {HTTPVersion.AUTO: ("h2", "http/1.1"), HTTPVersion.HTTP_1_1: ("http/1.1",), HTTPVersion.HTTP_2: ("h2",)}


class Way:
    """The steps before the first request."""

    def __init__(self, destination: Destination) -> None:
        self.endpoint = Endpoint.parse(destination.settings.url)
        self._destination = destination
        self._settings = destination.settings
        self._client = client_settings(destination)
        proxy = destination.settings.proxy.url
        self._proxy = None if proxy is None else Endpoint.parse(proxy)

    def steps(self) -> list[tuple[StepName, Callable[[], Awaitable[Found]]]]:
        """Return those that belong to this way, in their order."""
        found: list[tuple[StepName, Callable[[], Awaitable[Found]]]] = [
            (StepName.DNS, self.dns),
            (StepName.TCP, self.tcp),
        ]
        if self._proxy is not None:
            found.append((StepName.PROXY, self.proxy))
        if self.endpoint.secure:
            found.append((StepName.TLS, self.tls))
        return [*found, (StepName.AUTH, self.auth)]

    @property
    def _first(self) -> Endpoint:
        """Whom to connect to: the proxy, if there is one."""
        return self._proxy or self.endpoint

    async def dns(self) -> Found:
        """Look the name up."""
        host = self._first.host
        try:
            with trio.fail_after(TIMEOUTS.connect_s):
                found = await trio.socket.getaddrinfo(host, self._first.port, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            raise Fault(Phase.DNS, f"no address for {host}: {error.strerror}") from None
        except trio.TooSlowError:
            raise Fault(Phase.DNS, f"no address for {host} within {TIMEOUTS.connect_s:g} s") from None
        addresses = dict.fromkeys(str(address[0]) for *_, address in found)
        return Found(f"{host} is {', '.join(addresses)}")

    async def tcp(self) -> Found:
        """Connect."""
        stream = await connect(self._first, TIMEOUTS)
        with stream.socket as connected:
            address = connected.getpeername()[0]
        return Found(f"connected to {address}, port {self._first.port}")

    async def proxy(self) -> Found:
        """Have the proxy open a tunnel."""
        transport = await self._client.connector(self.endpoint, None, TIMEOUTS)
        transport.close()
        return Found(f"{self._first.peer} opens a tunnel to {self.endpoint.peer}")

    async def tls(self) -> Found:
        """Do the handshake, and look at the certificates."""
        context = self._client.tls.context(_ALPN[self._settings.http])
        try:
            agreed = await self._shaken(context)
        except Unaccepted as fault:
            with suppress(NoAnswer, Fault):
                fault.details += self._chain(await self._shaken(untrusting()))
            raise
        if self._settings.http is HTTPVersion.HTTP_2 and agreed.alpn != "h2":
            text = f"it selects {agreed.alpn or 'no protocol'} by ALPN, not HTTP/2"
            raise Fault(Phase.TLS, text, 'set `http` to "auto"', details=self._chain(agreed))
        pins = self._client.tls.pins
        if unpinned := pin_fault(agreed.chain[0] if agreed.chain else None, pins):
            remedy = "if it was renewed and is the right one, put it into `[destination.tls] pin`"
            raise Fault(Phase.TLS, unpinned, remedy, details=self._chain(agreed))
        pinned = ", and pinned" if pins else ""
        text = f"{agreed.version}, ALPN {agreed.alpn or 'none'}, trusted by {self._roots()}{pinned}"
        soon = [each for each in self._shown(agreed) if each.days_left < SOON_DAYS]
        return Found(text, self._chain(agreed), noted=bool(soon))

    async def auth(self) -> Found:
        """Find the credential, and get a token where that is the way."""
        auth = self._settings.auth
        await credentials_for(self._destination).fields()
        match auth.kind:
            case AuthKind.BASIC:
                text = f"user {auth.username}, password from {auth.password_file}"
            case AuthKind.BEARER:
                text = f"token from {auth.token_file}"
            case AuthKind.OAUTH2 | AuthKind.JWT:
                text = f"a token was given by {_host(auth.token_url)}"
            case _:
                text = "no credential is configured"
        own = self._settings.tls.certificate
        return Found(text, () if own is None else (f"own certificate: {await self._own(own)}",))

    async def _own(self, path: Path) -> str:
        """Describe the box's own certificate."""
        try:
            pem = await trio.Path(path).read_text()
            [own] = shown([ssl.PEM_cert_to_DER_cert(pem[pem.index("-----BEGIN CERTIFICATE") :])], self._wall())
        except (OSError, ValueError):
            return f"{path} cannot be read"
        return own.text

    async def _shaken(self, context: ssl.SSLContext) -> Handshake:
        transport = await self._client.connector(self.endpoint, None, TIMEOUTS)
        try:
            with trio.fail_after(TIMEOUTS.tls_s):
                return await shake_hands(transport, context, self.endpoint.host)
        except trio.TooSlowError:
            raise Fault(Phase.TLS, f"no TLS handshake within {TIMEOUTS.tls_s:g} s") from None
        finally:
            transport.close()

    def _chain(self, agreed: Handshake) -> tuple[str, ...]:
        """The certificates in words, the peer's own first, and what would pin that one."""
        pin = (f"its SHA-256, as for `pin`: {sha256(agreed.chain[0]).hexdigest()}",) if agreed.chain else ()
        return (*(each.text for each in self._shown(agreed)), *pin)

    def _shown(self, agreed: Handshake) -> list[Shown]:
        return shown(agreed.chain, self._wall())

    def _wall(self) -> float:
        return self._destination.box.clock.wall()

    def _roots(self) -> str:
        return str(self._client.tls.ca_file or "the roots of this machine")


def _host(url: str | None) -> str:
    return Endpoint.parse(url).peer if url else "a key file's endpoint"
