"""Who the box is towards one destination: what each request carries to show it, and what is done when it is refused.

Passwords and tokens stand in files that are read when they are needed, so that a rotated one is found without a
restart. Whoever asks does not know of which kind a credential is.
"""

from base64 import b64encode
from typing import Protocol

from edged.config import Auth, AuthKind, read_secret
from edged.upstream.destination import Destination

Fields = tuple[tuple[str, str], ...]


class Credentials(Protocol):
    """Shared by all that one destination is asked."""

    async def fields(self) -> Fields:
        """Return the header fields of a request, names in lower case. Raises CredentialError."""

    async def refused(self, fields: Fields, status: int) -> bool:
        """Whether other fields than these, which were answered `status` (401), are to be had now: once more then.

        Raises CredentialError.
        """


class FromFiles:
    """Basic and bearer credentials, or none."""

    def __init__(self, auth: Auth) -> None:
        self._auth = auth

    async def fields(self) -> Fields:
        """As Credentials."""
        auth = self._auth
        if auth.kind is AuthKind.BASIC and auth.password_file is not None:
            pair = f"{auth.username}:{read_secret(auth.password_file)}".encode()
            return (("authorization", f"Basic {b64encode(pair).decode()}"),)
        if auth.kind is AuthKind.BEARER and auth.token_file is not None:
            return (("authorization", f"Bearer {read_secret(auth.token_file)}"),)
        return ()

    async def refused(self, fields: Fields, status: int) -> bool:
        """As Credentials: a file may have been replaced meanwhile."""
        return await self.fields() != fields


def credentials_for(destination: Destination) -> Credentials:
    """Return the credentials of a destination."""
    return FromFiles(destination.settings.auth)
