"""The client credentials grant (RFC 6749 4.4): the client shows its secret by Basic, in the body where that is refused.

Which of the two forms a token endpoint takes is learned from its refusals (2.3.1).
"""

from base64 import b64encode
from urllib.parse import quote_plus

from edged.config import Auth, read_secret
from edged.upstream.tokens import Refused, TokenRequest

_REMEDIES = {
    "invalid_client": "Compare client_id and the secret in client_secret_file with what the issuer has.",
    "invalid_scope": "Compare scope with what the issuer allows this client.",
    "unauthorized_client": "The issuer must allow this client the client credentials grant.",
}


class ClientCredentials:
    """A `Grant` by a shared secret, read anew for each token."""

    def __init__(self, auth: Auth) -> None:
        self._auth = auth
        self._in_body = False

    def request(self) -> TokenRequest:
        """As Grant. Source: RFC 6749 2.3.1, 4.4.2, RFC 8707 2."""
        auth, client = self._auth, self._auth.client_id or ""
        assert auth.client_secret_file is not None  # the settings have been judged
        secret = read_secret(auth.client_secret_file)
        form = {"grant_type": "client_credentials", **wanted(auth)}
        if auth.audience is not None:
            form["audience"] = auth.audience
        if self._in_body:
            shown = {"client_id": client, "client_secret": secret}
            return TokenRequest(auth.token_url or "", form | shown, (secret,))
        pair = f"{quote_plus(client)}:{quote_plus(secret)}".encode()
        basic = ("authorization", f"Basic {b64encode(pair).decode()}")
        return TokenRequest(auth.token_url or "", form, (secret,), (basic,))

    def otherwise(self, refused: Refused) -> bool:
        """As Grant: the secret in the other place."""
        if refused.error != "invalid_client":
            return False
        self._in_body = not self._in_body
        return True

    def remedy(self, refused: Refused) -> str:
        """As Grant."""
        return _REMEDIES.get(refused.error, "")


def wanted(auth: Auth) -> dict[str, str]:
    """Return what a token is asked for by every grant: scope and resource."""
    asked = {"scope": auth.scope, "resource": auth.resource}
    return {key: value for key, value in asked.items() if value is not None}
