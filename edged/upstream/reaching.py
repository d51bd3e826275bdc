"""From a destination's settings to those of its client: where it is, how it is spoken to, whom it trusts.

The settings have been judged; files that they name are opened when the client is made, and again when they change.
"""

from dataclasses import dataclass, replace

from edged.config.choices import HTTPVersion
from edged.upstream.connection import ClientSettings, HttpChoice
from edged.upstream.destination import Destination
from edged.upstream.dial import Connector
from edged.upstream.endpoint import Endpoint
from edged.upstream.proxy import Proxy
from edged.upstream.tls import TLSSettings

PROVING_CONNECTIONS = 6
"""Beside those of the workers: proving waits neither for uploads nor for a repair."""

RELOAD_FAILED = "certificate-reload-failed"
"""The condition, by destination, while changed files of [destination.tls] cannot be used."""

_CHOICES = {
    HTTPVersion.AUTO: HttpChoice.AUTO,
    HTTPVersion.HTTP_1_1: HttpChoice.ONE,
    HTTPVersion.HTTP_2: HttpChoice.TWO,
}


def client_settings(destination: Destination) -> ClientSettings:
    """Return how to reach a destination."""
    settings, connector = destination.settings, _connector(destination)
    tls = TLSSettings(settings.tls.ca, settings.tls.certificate, settings.tls.private_key, settings.tls.pin)
    connections = settings.parallel + PROVING_CONNECTIONS
    return ClientSettings(http=_CHOICES[settings.http], tls=tls, max_connections=connections, connector=connector)


def told_settings(destination: Destination) -> ClientSettings:
    """Return how to reach a destination, telling of it how it is spoken to."""
    return replace(client_settings(destination), watcher=_Telling(destination))


@dataclass(frozen=True, slots=True)
class _Telling:
    """Tells of a destination, as a `Watcher`."""

    destination: Destination

    def speaks(self, version: str, reason: str) -> None:
        self.destination.tell(http=version, http_reason=reason)

    def loads(self, fault: str | None) -> None:
        if fault is not None:
            hint = f"New connections go on with what was read before: {fault}."
            self.destination.raise_condition(RELOAD_FAILED, hint, lasting=True)
        else:
            self.destination.box.conditions.clear(f"{RELOAD_FAILED}:{self.destination.name}")


def _connector(destination: Destination) -> Connector:
    """The box's own way, or through the destination's proxy."""
    proxy = destination.settings.proxy
    if proxy.url is None:
        return destination.box.connector
    return Proxy(Endpoint.parse(proxy.url), proxy.username, proxy.password_file, destination.redactor)
