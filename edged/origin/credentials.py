"""Bearer tokens (RFC 6750), user names with passwords (RFC 7617) and client certificates: which of them are known.

What may live here: the comparison of what was sent with the settings. Invariants: the time that it takes tells nothing
of which token, user or password was nearly right; no secret leaves here. A password is slow to check, so it is checked
in a worker thread, one at a time, and what came of it is remembered under a digest keyed for this process: a client
that sends the same again, right or wrong, costs nothing. Turns go round the addresses. Those that have used up what
they may fail wait in places of their own, until they may again, and then share one line: whoever comes from another
address does not meet them.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence

import trio

from edged.config import Certificate, Password, PasswordHash, Token
from edged.origin.throttle import Throttle, bucket_of
from edged.origin.waiting import Lines, Places, Rounds

MOST_WAITING = 64
MOST_OF_ADDRESS = 16
MOST_FAILING = 32
MOST_OF_FAILING_ADDRESS = 8
"""Who wait because their address has used up what it may fail; of all these numbers see `waiting.Places`."""

_FAILING = "failing"
_REMEMBERED_WRONG = 4096
_LONGEST_BASIC = 2048


class Busy(Exception):
    """Too many passwords wait for being checked; `retry_after_s` says when to come again."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__("too many passwords wait for being checked")
        self.retry_after_s = retry_after_s


def find_token(tokens: Sequence[Token], credential: str) -> Token | None:
    """Return the token that was sent; every one is compared, the last as the first."""
    digest = hashlib.sha256(credential.encode("latin-1", "replace")).hexdigest()
    found = None
    for token in tokens:
        if hmac.compare_digest(token.sha256, digest):
            found = token
    return found


def find_certificate(certificates: Sequence[Certificate], der: bytes, names: Sequence[str]) -> Certificate | None:
    """Return the row for a certificate that TLS has verified: that of its fingerprint, else the first of its names."""
    fingerprint = fingerprint_of(der)
    rows = [row for row in certificates if row.sha256 == fingerprint]
    rows += [row for name in names for row in certificates if row.subject == name]
    return rows[0] if rows else None


def fingerprint_of(der: bytes) -> str:
    """Return the SHA-256 fingerprint of a certificate."""
    return hashlib.sha256(der).hexdigest()


def read_basic(credential: str) -> tuple[str, str] | None:
    """Return user name and password of a Basic credential, None if it is none (RFC 7617 2).

    UTF-8 is asked for in the challenge; old clients send Latin-1 all the same.
    """
    try:
        octets = base64.b64decode(credential, validate=True) if len(credential) <= _LONGEST_BASIC else b""
    except (binascii.Error, ValueError):
        return None
    try:
        text = octets.decode()
    except UnicodeDecodeError:
        text = octets.decode("latin-1")
    name, colon, password = text.partition(":")
    return (name, password) if colon else None


async def in_a_thread(hashed: PasswordHash, password: str) -> bool:
    """Check a password where it holds up nobody."""
    return await trio.to_thread.run_sync(hashed.matches, password)


class Passwords:
    """The users with passwords."""

    def __init__(
        self,
        passwords: Sequence[Password],
        failures: Throttle,
        checks: Throttle | None = None,
        *,
        matches: Callable[[PasswordHash, str], Awaitable[bool]] = in_a_thread,
    ) -> None:
        """Know these. What is wrong again is counted in `failures`; what must be checked in `checks`, that alone.

        So nobody who fails fast can take from others of his address what they wait for.
        """
        self._passwords = passwords
        self._failures = failures
        self._checks = checks or Throttle()
        self._matches = matches
        self._secret = secrets.token_bytes(32)
        self._right: dict[bytes, Password] = {}
        self._wrong: OrderedDict[bytes, None] = OrderedDict()
        self._lines = Lines()
        self._rounds = Rounds()
        self._waiting = Places(MOST_WAITING, MOST_OF_ADDRESS)
        self._failing = Places(MOST_FAILING, MOST_OF_FAILING_ADDRESS)

    async def find(self, name: str, password: str, *, address: str) -> Password | None:
        """Return the user if the password is right, else count a failure of the address; raises Busy.

        Whether there is that user takes no other time.
        """
        key = hashlib.blake2b(f"{name}:{password}".encode("utf-8", "surrogatepass"), key=self._secret).digest()
        if key in self._wrong:
            self._wrong.move_to_end(key)
            if wait_s := self._failures.failed(address):
                raise Busy(wait_s)
            return None
        if key not in self._right:
            await self._settle(key, name, password, address=address)
        return self._right.get(key)

    async def _settle(self, key: bytes, name: str, password: str, *, address: str) -> None:
        """Find out, and remember, whether a password is right."""
        bucket = bucket_of(address)
        wait_s = self._checks.wait_s(address)
        failing = wait_s > 0 or self._failing.holds(bucket)
        places = self._failing if failing else self._waiting
        if not places.has_room(bucket, name):
            raise Busy(max(wait_s, 1.0))
        with places.taken(bucket, name):
            if failing:
                async with self._lines.first(bucket):
                    await self._count(address)
            else:
                self._checks.failed(address)
            try:
                async with self._rounds.turn(_FAILING if failing else bucket):
                    if key not in self._right and key not in self._wrong:
                        await self._check(key, name, password)
            finally:
                if key not in self._wrong:  # it was right, or who asked is gone: no failure
                    self._checks.give_back(address)

    async def _count(self, address: str) -> None:
        """Count a check beforehand, as soon as that may be."""
        wait_s = self._checks.failed(address)
        while wait_s:
            await trio.sleep(wait_s)
            wait_s = self._checks.failed(address)

    async def _check(self, key: bytes, name: str, password: str) -> None:
        """Check: right ones are at most as many as there are users, wrong ones bounded."""
        known = next((each for each in self._passwords if each.name == name), None)
        compared = known or max(self._passwords, key=lambda each: each.scrypt.cost)
        if await self._matches(compared.scrypt, password) and known is not None:
            self._right[key] = known
            return
        self._wrong[key] = None
        if len(self._wrong) > _REMEMBERED_WRONG:
            self._wrong.popitem(last=False)
