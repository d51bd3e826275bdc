"""Who the box is towards one destination: what each request carries to show it, and what is done when it is refused.

Passwords, tokens and secret header fields stand in files that are read when they are needed, so that a rotated one is
found without a restart. Whoever asks does not know of which kind a credential is.
"""

from base64 import b64encode
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from edged.config import Auth, AuthKind, CredentialError, read_secret
from edged.upstream.connection import HttpChoice
from edged.upstream.destination import Destination
from edged.upstream.jwt_bearer import SignedAssertion
from edged.upstream.oauth2 import ClientCredentials
from edged.upstream.reaching import client_settings
from edged.upstream.tls import TLSSettings
from edged.upstream.tokens import Grant, Tokens

Fields = tuple[tuple[str, str], ...]

_BEARER = "Bearer "


class Credentials(Protocol):
    """Shared by all that one destination is asked."""

    async def fields(self) -> Fields:
        """Return the header fields of a request, names in lower case. Raises CredentialError."""

    async def refused(self, fields: Fields, status: int) -> bool:
        """Whether other fields than these, which were answered `status` (401), are to be had now: once more then.

        Raises CredentialError.
        """


class FromFiles:
    """Basic and bearer credentials, or none but the certificate of the connection; and secret header fields."""

    def __init__(self, auth: Auth, header_files: Iterable[tuple[str, Path]] = ()) -> None:
        self._auth = auth
        self._header_files = tuple(header_files)

    async def fields(self) -> Fields:
        """As Credentials."""
        return (*self._authorization(), *_secret_fields(self._header_files))

    async def refused(self, fields: Fields, status: int) -> bool:
        """As Credentials: a file may have been replaced meanwhile."""
        return await self.fields() != fields

    def _authorization(self) -> Fields:
        auth = self._auth
        if auth.kind is AuthKind.BASIC and auth.password_file is not None:
            pair = f"{auth.username}:{read_secret(auth.password_file)}".encode()
            return (("authorization", f"Basic {b64encode(pair).decode()}"),)
        if auth.kind is AuthKind.BEARER and auth.token_file is not None:
            return (("authorization", f"{_BEARER}{_visible(auth.token_file)}"),)
        return ()


class FromTokens:
    """Access tokens that an authorization server gives; and secret header fields."""

    def __init__(self, tokens: Tokens, header_files: Iterable[tuple[str, Path]] = ()) -> None:
        self._tokens = tokens
        self._header_files = tuple(header_files)

    async def fields(self) -> Fields:
        """As Credentials."""
        token = await self._tokens.current()
        return (("authorization", f"{_BEARER}{token}"), *_secret_fields(self._header_files))

    async def refused(self, fields: Fields, status: int) -> bool:
        """As Credentials: the token may be renewed, or a file have been replaced meanwhile."""
        renewed = await self._tokens.refused(dict(fields).get("authorization", "").removeprefix(_BEARER))
        return renewed or await self.fields() != fields


def _secret_fields(files: Iterable[tuple[str, Path]]) -> Fields:
    return tuple((name, _visible(path)) for name, path in files)


def _visible(path: Path) -> str:
    """Read a secret that is sent as it is: a space at its end cannot be (RFC 9110 5.5). Raises CredentialError."""
    secret = read_secret(path).strip(" ")
    if not secret:
        raise CredentialError(f"{path}: not one line of visible characters")
    return secret


def credentials_for(destination: Destination) -> Credentials:
    """Return the credentials of a destination. A token endpoint is reached as it is, but without its certificates."""
    settings = destination.settings
    grant = _grant(destination)
    if grant is None:
        return FromFiles(settings.auth, settings.header_files)
    tls = TLSSettings(ca_file=settings.tls.ca)
    client = replace(client_settings(destination), http=HttpChoice.AUTO, tls=tls, max_connections=1)
    tokens = Tokens(grant, client, destination.now, redactor=destination.redactor)
    return FromTokens(tokens, settings.header_files)


def _grant(destination: Destination) -> Grant | None:
    auth = destination.settings.auth
    match auth.kind:
        case AuthKind.OAUTH2:
            return ClientCredentials(auth)
        case AuthKind.JWT:
            return SignedAssertion(auth, destination.box.clock)
        case _:
            return None
