"""Consent to what cannot be undone: asked for with what it would do, given with a token, good for exactly that.

In memory and bounded: after a restart it is asked for again. A token is bound to who asked, to the selection and the
reason, and to the instances that were there then; it lasts VALID_S, and as long again with each step.
"""

import secrets
from collections import OrderedDict
from dataclasses import dataclass

from msgspec import structs

from edged.services.queue_values import Change, QueueRequestError, Summed, ToConfirm
from edged.telemetry.clock import Clock

VALID_S = 60.0
MOST = 100


@dataclass(frozen=True, slots=True)
class _Consent:
    change: Change
    who: str
    last: int
    until_s: float


class Consents:
    """The tokens that were given out."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._given: OrderedDict[str, _Consent] = OrderedDict()

    def ask(self, change: Change, total: Summed, *, who: str, last: int) -> ToConfirm:
        """Give out a token for a change of instances with numbers up to `last`."""
        token = secrets.token_urlsafe(16)
        self._given[token] = _Consent(_essence(change), who, last, self._clock.monotonic() + VALID_S)
        if len(self._given) > MOST:
            self._given.popitem(last=False)
        return ToConfirm(token, VALID_S, total)

    def last(self, change: Change, *, who: str) -> int:
        """Return up to which number a change was agreed to; raises QueueRequestError where it was not."""
        now = self._clock.monotonic()
        given = self._given.get(change.token)
        if given is None or given.until_s < now:
            raise QueueRequestError("This consent is not known, or its time is over: ask again, without a token.")
        if (given.change, given.who) != (_essence(change), who):
            raise QueueRequestError("This consent was given to something else: ask again, without a token.")
        self._given[change.token] = _Consent(given.change, who, given.last, now + VALID_S)
        return given.last


def _essence(change: Change) -> Change:
    """What of a change must stay the same from step to step."""
    return structs.replace(change, after="", token="")
