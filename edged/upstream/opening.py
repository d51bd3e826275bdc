"""Opening connections to one endpoint: dialled, over TLS with what its files hold now, and only to a pinned peer.

The client's certificate, its key and the roots are read again when one of their files has changed, for the connections
opened from then on. Where they cannot be read what was read before stays in use, and the watcher is told: a
certificate that is being replaced file by file is wrong for a moment.

Invariant: a transport that is given out has shown a pinned certificate, where one is pinned.
"""

import ssl
from pathlib import Path
from typing import Protocol

import trio

from edged.telemetry.live import Phase
from edged.upstream.dial import Connector, Timeouts
from edged.upstream.endpoint import Endpoint
from edged.upstream.message import NoAnswer
from edged.upstream.pinning import pin_fault
from edged.upstream.tls import TLSSettings, TLSSettingsError
from edged.upstream.transport import Transport

H2, HTTP_1_1 = "h2", "http/1.1"
OFFERS = ((H2, HTTP_1_1), (H2,), (HTTP_1_1,))
"""What TLS may offer by ALPN. Source: RFC 9113 3.2, RFC 7301 6."""


class Watcher(Protocol):
    """Who is told how a destination is spoken to."""

    def speaks(self, version: str, reason: str) -> None:
        """Take the HTTP version that is chosen, and why."""

    def loads(self, fault: str | None) -> None:
        """Take why changed certificate files cannot be used, None once they can."""


class Opener:
    """Opens connections to one endpoint. Raises TLSSettingsError where a file cannot be used at the start."""

    def __init__(
        self,
        endpoint: Endpoint,
        tls: TLSSettings,
        timeouts: Timeouts,
        *,
        connector: Connector,
        watcher: Watcher | None = None,
    ) -> None:
        self.opened = 0
        self._endpoint = endpoint
        self._tls = tls
        self._timeouts = timeouts
        self._connector = connector
        self._watcher = watcher
        self._stamps = self._stamps_now()
        self._contexts = self._load() if endpoint.secure else {}

    async def open(self, *protocols: str) -> Transport:
        """Connect; over TLS with one of the `OFFERS`. Raises NoAnswer."""
        if self._endpoint.secure and self._stamps_now() != self._stamps:
            await self._load_again()
        transport = await self._connector(self._endpoint, self._contexts.get(protocols), self._timeouts)
        self.opened += 1
        if self._endpoint.secure and (fault := pin_fault(transport.certificate(), self._tls.pins)):
            transport.close()
            raise NoAnswer(Phase.TLS, f"no TLS with {self._endpoint.peer}: {fault}", not_processed=True)
        return transport

    async def _load_again(self) -> None:
        self._stamps = self._stamps_now()
        fault = None
        try:
            self._contexts = await trio.to_thread.run_sync(self._load)
        except TLSSettingsError as error:
            fault = str(error)
        if self._watcher is not None:
            self._watcher.loads(fault)

    def _load(self) -> dict[tuple[str, ...], ssl.SSLContext]:
        return {protocols: self._tls.context(protocols) for protocols in OFFERS}

    def _stamps_now(self) -> list[tuple[int, int, int] | None]:
        return [_stamp(path) for path in (self._tls.ca_file, self._tls.certificate, self._tls.private_key) if path]


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What differs once a file was replaced or written to."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
