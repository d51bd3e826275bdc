"""How a destination is trusted: roots, hostname, and the certificate this side shows.

The context is built once, when a client is made, so that a wrong file is an error at start and not at the first
request. Verification of chain and hostname is always on; there is no setting to turn it off.

Invariants: nothing here ever asks on a terminal, and no text names more than the file that is wrong.
"""

import ssl
from dataclasses import dataclass
from pathlib import Path


class TLSSettingsError(ValueError):
    """A certificate, key or root file that cannot be used; the text names the file."""


@dataclass(frozen=True, slots=True)
class TLSSettings:
    """Roots and client certificate of one destination; without `ca_file` the system's roots are used.

    `pins` are the only certificates that it may show, as in `pinning`; without any, each that is trusted.
    """

    ca_file: Path | None = None
    certificate: Path | None = None
    private_key: Path | None = None
    pins: tuple[str, ...] = ()

    def context(self, protocols: tuple[str, ...]) -> ssl.SSLContext:
        """Build the context that offers `protocols` by ALPN. Raises TLSSettingsError. Source: RFC 7301 3.1."""
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise TLSSettingsError(f"cannot use the roots in {self.ca_file}: {_reason(error)}") from None
        context.set_alpn_protocols(list(protocols))
        self._load_certificate(context)
        return context

    def _load_certificate(self, context: ssl.SSLContext) -> None:
        if self.certificate is None:
            if self.private_key is not None:
                raise TLSSettingsError(f"a private key without a certificate: {self.private_key}")
            return
        try:
            context.load_cert_chain(self.certificate, self.private_key, password=_no_password)
        except (OSError, ssl.SSLError, _EncryptedKeyError) as error:
            files = " with ".join(str(path) for path in (self.certificate, self.private_key) if path)
            raise TLSSettingsError(f"cannot use {files}: {_reason(error)}") from None


class _EncryptedKeyError(Exception):
    """OpenSSL asked for a password."""


def _no_password() -> bytes:
    raise _EncryptedKeyError("the private key is encrypted; a daemon has nobody to ask for its password")


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "no certificates in it").lower().replace("_", " ")
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
