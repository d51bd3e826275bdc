"""Keeping secrets out of what a peer says before it is shown to anybody.

A peer may answer with what it was sent: the credential, whole or its beginning, a token in a URL. What is told of an
answer, in the state, an event, the history or the log, has passed through here. Every credential that leaves for it,
its proxy or its token endpoint is learned first, and the latest of them are remembered, so that one which was replaced
meanwhile is known too.

Invariants: pure; what takes a secret's place is not ASCII, as every secret is, so nothing that is left makes up one.
"""

import re
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Iterable, Sequence
from urllib.parse import quote, urlsplit, urlunsplit

REMEMBERED = 64
"""Secrets: a few header fields, and of each what they were before."""
LONGEST_SAID = 4096
"""Characters looked at; one line of what is left is shown."""
TELLING = 8
"""A beginning of this many characters is taken for the secret: peers cut what they repeat."""

_GONE = "…"
_SHORT = 4
_AUTHORIZATION = frozenset({"authorization", "proxy-authorization"})
_JWT = re.compile(r"eyJ[\w-]{8,}(?:\.[\w-]*){0,4}", re.ASCII)
_SCHEME = re.compile(r"\b(Basic|Bearer)\s+[\w.~+/=:-]{16,}", re.ASCII | re.IGNORECASE)
_USER = re.compile(r"(?<=://)[^\s/?#@]+(?=@)")
_QUERY = re.compile(r"(?<=\?)[^\s?\"'<>=&]{1,256}=[^\s\"'<>]*")


class Redactor:
    """Knows the secrets of one destination, as far as they were used."""

    def __init__(self) -> None:
        self._secrets: dict[str, None] = {}

    def learn(self, secrets: Iterable[str]) -> None:
        """Remember secrets; the longest unused are forgotten when there are too many."""
        for secret in secrets:
            for form in {secret, quote(secret, safe="")} - {""}:
                self._secrets.pop(form, None)
                self._secrets[form] = None
        while len(self._secrets) > REMEMBERED:
            del self._secrets[next(iter(self._secrets))]

    def learn_fields(self, fields: Iterable[tuple[str, str]]) -> None:
        """Remember what is secret in header fields, names in lower case."""
        for name, value in fields:
            self.learn(_credential(value) if name in _AUTHORIZATION else (value,))

    def text(self, said: str) -> str:
        """Return the beginning of what a peer said, without any secret, a user in a URL, or a URL's query."""
        said = said[:LONGEST_SAID]
        longest_first = sorted(self._secrets, key=len, reverse=True)
        for secret in longest_first:
            said = _without(said, secret)
        said = _without_beginnings(said, [each for each in longest_first if len(each) > TELLING])
        said = _SCHEME.sub(rf"\1 {_GONE}", _JWT.sub(_GONE, said))
        return _QUERY.sub(_GONE, _USER.sub(_GONE, said))


def shown_url(url: str) -> str:
    """Return a URL without its user, query and fragment: a signature may stand there."""
    try:
        split = urlsplit(url)
    except ValueError:
        return _GONE
    return urlunsplit((split.scheme, split.netloc.rpartition("@")[2], split.path, "", ""))


def _without(said: str, secret: str) -> str:
    """Take out a whole secret; one of three characters as a word only."""
    if len(secret) >= _SHORT:
        return said.replace(secret, _GONE)
    return re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", _GONE, said)


def _without_beginnings(said: str, secrets: Sequence[str]) -> str:
    """Take out the beginnings of secrets that are left, each as long as any secret makes it."""
    for beginning in {secret[:TELLING] for secret in secrets}:
        while (at := said.find(beginning)) >= 0:
            rest = said[at:]
            length = max(_common(rest, secret) for secret in secrets)
            said = said[:at] + _GONE + rest[length:]
    return said


def _common(one: str, other: str) -> int:
    """How many characters two texts begin with alike."""
    signs = enumerate(zip(one, other, strict=False))
    return next((at for at, (mine, theirs) in signs if mine != theirs), min(len(one), len(other)))


def _credential(value: str) -> tuple[str, ...]:
    """What is secret in an Authorization field: of Basic also the password (RFC 7617 2)."""
    scheme, _, credential = value.partition(" ")
    if scheme.lower() != "basic":
        return (credential,)
    try:
        return (credential, b64decode(credential).decode().partition(":")[2])
    except (NotBase64, UnicodeDecodeError):
        return (credential,)
