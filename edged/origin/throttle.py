"""How often an address may send credentials that are not known.

What may live here: counting, nothing that waits or answers. Strategy: a bucket per address, held as the one moment at
which it would be empty again. Only failures stay in it: what is slow to check is counted when its check begins, so that
many at once are no more than many in turn, and given back if it was good. Invariants: at most `_ADDRESSES` of them are
remembered, and none longer than it takes its bucket to empty; an address never has to wait longer than EVERY_S.
"""

import math
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address

import trio

FAILURES = 10
"""At once: what a person mistypes, and what a modality with an old password tries within a minute."""
EVERY_S = 3.0
"""Then one in this time: eight that wait for theirs are through before a client that waits half a minute gives up."""

_ADDRESSES = 4096
_IPV6_NETWORK_BITS = 64  # what one subscriber or machine has for itself


class Throttle:
    """The failures of every address."""

    def __init__(self, now: Callable[[], float] = trio.current_time) -> None:
        """`now` tells seconds that never go back."""
        self._now = now
        self._empty_at: OrderedDict[str, float] = OrderedDict()

    def wait_s(self, address: str) -> float:
        """How long until a failure from this address is within what it may."""
        empty_at = self._empty_at.get(bucket_of(address), -math.inf)
        return max(0.0, empty_at - self._now() - (FAILURES - 1) * EVERY_S)

    def give_back(self, address: str) -> None:
        """Take back what was counted: it was no failure."""
        key = bucket_of(address)
        if key in self._empty_at:
            self._empty_at[key] -= EVERY_S

    def failed(self, address: str) -> float:
        """Count a failure if it is within what the address may, and return 0; else how long it should have waited."""
        key, now, wait_s = bucket_of(address), self._now(), self.wait_s(address)
        if not wait_s:
            self._empty_at[key] = max(now, self._empty_at.pop(key, now)) + EVERY_S
        if len(self._empty_at) > _ADDRESSES:
            self._forget()
        return wait_s

    def _forget(self) -> None:
        """Drop what has emptied, and if nothing has the one that failed first."""
        now = self._now()
        for key in [key for key, empty_at in self._empty_at.items() if empty_at <= now]:
            del self._empty_at[key]
        if len(self._empty_at) > _ADDRESSES:
            self._empty_at.popitem(last=False)


def bucket_of(address: str) -> str:
    """Return what counts as one address: an IPv6 network, an IPv4 address also if it is mapped into IPv6."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    return str(parsed.ipv4_mapped or int(parsed) >> (128 - _IPV6_NETWORK_BITS))
