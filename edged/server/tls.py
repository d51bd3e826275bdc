"""TLS of the https listeners: what is spoken, and that renewed files are taken up without a restart.

What may live here: server contexts, never a connection. Strategy: a context is never changed; renewed files make a new
one, which new connections get while running ones go on with theirs. Invariants: files that cannot be used leave the
former context in place, under a condition; a context does not live longer than RENEW_S, and the keys of its session
tickets neither.
"""

import logging
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import trio
from msgspec import structs

from edged.server.certificate import CertificateError, not_after
from edged.server.listeners import ListenerError
from edged.telemetry.clock import Clock
from edged.telemetry.conditions import Conditions, Severity
from edged.telemetry.live import Live

LOG = logging.getLogger("edged.server")

LOOK_EVERY_S = 60.0
SETTLE_S = 2.0
"""Between seeing a new file and loading it: a certificate and its key are replaced one after the other."""
RENEW_S = 86_400.0
DAY_S = 86_400.0
WARNING_DAYS = 30
CRITICAL_DAYS = 7
RELOAD_FAILED = "certificate-reload-failed"
EXPIRING = "certificate-expiring"

_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2: what RFC 9325 4.2 recommends, and nothing that RFC 9113 9.2.2 forbids. Those of 1.3 are all good."""
_PEM_END = b"-----END CERTIFICATE-----"

Asked = Callable[[float], Awaitable[bool]]
Stamps = tuple[tuple[int, int, int] | None, ...]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A context and when its certificate ends, in seconds since 1970-01-01 UTC; None when that cannot be read."""

    context: ssl.SSLContext
    not_after: float | None


@dataclass(frozen=True, slots=True)
class TLS:
    """PEM files of an https listener; with `client_ca` clients are asked for a certificate, or must show one."""

    certificate: Path
    private_key: Path
    client_ca: Path | None = None
    client_required: bool = True

    def load(self) -> Loaded:
        """TLS 1.2 and later, HTTP/2 and 1.1 by ALPN (RFC 9113 9.2, RFC 9325); raises ListenerError naming the file.

        The groups of the key exchange are OpenSSL's own, X25519 first.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
        context.set_ciphers(_CIPHERS)
        context.set_alpn_protocols(["h2", "http/1.1"])
        try:
            context.load_cert_chain(self.certificate, self.private_key, password="")  # "": do not ask the terminal
            ends = _not_after(self.certificate)
        except (OSError, ssl.SSLError) as error:
            raise ListenerError(
                f"cannot use certificate {self.certificate} with private key {self.private_key}: {error}; "
                "both must be readable PEM files that belong together, the key without a password"
            ) from error
        if self.client_ca is not None:
            try:
                context.load_verify_locations(self.client_ca)
            except (OSError, ssl.SSLError) as error:
                raise ListenerError(
                    f"cannot use client_ca {self.client_ca}: {error}; it must be a readable PEM file"
                ) from error
            context.verify_mode = ssl.CERT_REQUIRED if self.client_required else ssl.CERT_OPTIONAL
        return Loaded(context, ends)

    def stamps(self) -> Stamps:
        """What tells whether a file is another one than before; None for one that is not there."""
        return tuple(_stamp(path) for path in (self.certificate, self.private_key, self.client_ca) if path is not None)


class CertificateKeeper:
    """The context of the moment, taken from the files again when they change."""

    def __init__(self, tls: TLS) -> None:
        """Load the files; raises ListenerError."""
        self._tls = tls
        self._seen = tls.stamps()
        self._loaded = tls.load()
        self._loaded_at = time.monotonic()
        self._failure: str | None = None

    @property
    def context(self) -> ssl.SSLContext:
        """What a new connection shall speak."""
        return self._loaded.context

    @property
    def not_after(self) -> float | None:
        """When the certificate ends, in seconds since 1970-01-01 UTC; None when that cannot be read."""
        return self._loaded.not_after

    async def keep(self, conditions: Conditions, live: Live, clock: Clock, *, asked: Asked) -> None:
        """Look for renewed files for ever; tell when the certificate ends, and what is wrong with them.

        `asked` waits for the operator's wish to have them loaded now, at most so many seconds, and says if it came.
        """
        while True:
            self._tell(conditions, live, clock)
            await self.look(asked=await asked(LOOK_EVERY_S))

    async def look(self, *, asked: bool = False, settle_s: float = SETTLE_S) -> None:
        """Load the files if they have changed, could not be used the last time, are a day old, or it was asked for."""
        stamps = await trio.to_thread.run_sync(self._tls.stamps)
        aged = time.monotonic() - self._loaded_at > RENEW_S
        if stamps != self._seen and not asked:
            await trio.sleep(settle_s)
        elif not (asked or aged or self._failure):
            return
        self._seen = await trio.to_thread.run_sync(self._tls.stamps)
        try:
            loaded = await trio.to_thread.run_sync(self._tls.load)
        except ListenerError as error:
            if self._failure is None:
                LOG.warning("the certificate was not loaded again: %s", error)
            self._failure = str(error)
            return
        if asked or not aged:
            LOG.info("the certificate was loaded again")
        self._failure, self._loaded, self._loaded_at = None, loaded, time.monotonic()

    def _tell(self, conditions: Conditions, live: Live, clock: Clock) -> None:
        live.publish_listeners(structs.replace(live.listeners, certificate_not_after=self.not_after))
        if self._failure is None:
            conditions.clear(RELOAD_FAILED)
        else:
            hint = f"The one loaded before is still in use: {self._failure}."
            conditions.raise_(RELOAD_FAILED, Severity.WARNING, hint)
        days = None if self.not_after is None else (self.not_after - clock.wall()) / DAY_S
        if days is None or days > WARNING_DAYS:
            conditions.clear(EXPIRING)
            return
        state = "has ended" if days <= 0 else f"ends in {days:.1f} days"
        severity = Severity.CRITICAL if days <= CRITICAL_DAYS else Severity.WARNING
        remedy = f"Renew {self._tls.certificate} and its key; they are taken up without a restart."
        conditions.raise_(EXPIRING, severity, f"The certificate of the https listeners {state}. {remedy}")


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _not_after(path: Path) -> float | None:
    """When the first certificate of a PEM file ends: OpenSSL takes that one as the server's."""
    begin, end, _ = path.read_bytes().partition(_PEM_END)
    try:
        pem = (begin + end).decode("latin-1")
        return not_after(ssl.PEM_cert_to_DER_cert(pem[pem.index("-----BEGIN CERTIFICATE-----") :]))
    except (CertificateError, ValueError):
        return None
