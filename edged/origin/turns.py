"""Simultaneous requests: so many are worked on, some wait for their turn, the rest are told to come again.

Waiting has a deadline, and so has what waiting requests cost: beyond a bound they are refused at once. Nothing of a
request's body is read before its turn, so that a client is held back, not buffered; a turn ends with the answer. Who
has kept its turn waiting for its client lends it to a request that wants one, and takes one again when its client has
sent or taken more: else as many slow clients as there are turns would keep all others out. Nobody has to wait for a
client but its own request. Who has lent its turn still holds memory, so beyond a bound those who have waited for their
clients for the longest are cut off, one for each further one.
"""

from collections.abc import Iterable
from http import HTTPStatus
from itertools import islice

import trio

from edged.origin.exchange import Message, Receive, Send, refusal

WAIT_S = 60.0
WAITING = 1000
"""How many may wait: each holds a head and a task, some 20 KB."""

LOOK_AGAIN_S = 0.5
"""The first of those who wait looks for turns that can be lent."""

LENT_AFTER_S = 1.0
"""Of waiting for its client, all in all: one that dribbles never waits long at once. From then on a turn is lent
whenever its request waits: else each could be lent once a second, and that would be all that honest ones get."""

LENT_FOR_EACH = 4
"""How many turns may be lent for each that there is; a request that waits for its reader holds one piece or two."""

COME_AGAIN_S = 10


class Turn:
    """One request's turn: not yet with the request, with it, or lent while it waits for its client."""

    __slots__ = ("_now", "_turns", "has_answered", "is_lent", "scope", "waited_s", "waits_since")

    def __init__(self, turns: "Turns") -> None:
        self._turns = turns
        self._now = trio.lowlevel.current_clock().current_time  # at each piece of a body
        self.scope = trio.CancelScope()
        self.has_answered = False
        """Whether an answer was begun."""
        self.is_lent = False
        self.waited_s = 0.0
        self.waits_since: float | None = None

    def lendable(self, now: float) -> bool:
        """Whether its request waits for its client, and has done so for long enough."""
        return self.waits_since is not None and self.waited_s + now - self.waits_since >= LENT_AFTER_S

    def cut(self) -> None:
        """End the request, whose client keeps others waiting: `scope` is to be around it."""
        self.scope.cancel()

    def receiving(self, receive: Receive) -> Receive:
        """Return what receives from the client, and has the turn when it returns."""

        async def received() -> Message:
            began = self._begin_waiting()
            try:
                message = await receive()
            finally:
                self._end_waiting(began)
            if self.is_lent:
                await self._turns.take_again(self)
            return message

        return received

    def sending(self, send: Send) -> Send:
        """Return what sends to the client, and has the turn when it returns from all but the end of the answer."""

        async def sent(message: Message) -> None:
            self.has_answered = True
            began = self._begin_waiting()
            try:
                await send(message)
            finally:
                self._end_waiting(began)
            if self.is_lent and message.get("more_body", False):
                await self._turns.take_again(self)

        return sent

    def _begin_waiting(self) -> float:
        self.waits_since = began = self._now()
        return began

    def _end_waiting(self, began: float) -> None:
        self.waits_since = None
        self.waited_s += self._now() - began


class _Place:
    """A place among those who wait; `again`: for the turn that it has lent."""

    def __init__(self, *, again: bool) -> None:
        self.again = again
        self.has_turn = False
        self.awake = trio.Event()


class Turns:
    """The turns of one service, first come first served. Source: the HTTP/2 correction proposal, Table J.4.2-4."""

    def __init__(self, at_once: int) -> None:
        self._free = at_once
        self._taken: dict[Turn, None] = {}
        self._lent: dict[Turn, None] = {}
        self._most_lent = LENT_FOR_EACH * at_once
        self._waiting: dict[_Place, None] = {}

    async def take(self, turn: Turn) -> None:
        """Take a turn for a request; raises Refusal (503) when none comes up in time."""
        if len(self._waiting) < WAITING and await self._taking(WAIT_S, again=False):
            self._taken[turn] = None
            return
        raise refusal(
            HTTPStatus.SERVICE_UNAVAILABLE, "Too many requests at once.", temporary=True, retry_after=COME_AGAIN_S
        )

    async def take_again(self, turn: Turn) -> None:
        """Take a turn for a request that has lent its own, however long that takes."""
        await self._taking(float("inf"), again=True)
        del self._lent[turn]
        turn.is_lent = False
        self._taken[turn] = None

    def give(self, turn: Turn) -> None:
        """End a request's turn, wherever it is."""
        self._lent.pop(turn, None)
        if turn in self._taken:
            del self._taken[turn]
            self._hand_on()

    def _hand_on(self) -> None:
        first = next(iter(self._waiting), None)
        if first is None:
            self._free += 1
            return
        first.has_turn = True
        first.awake.set()
        self._leave(first)

    def _leave(self, place: _Place) -> None:
        """Take a place out of the line; whoever is the first now looks for itself."""
        if place in self._waiting:
            del self._waiting[place]
            for first in self._waiting:
                first.awake.set()
                break

    async def _taking(self, within_s: float, *, again: bool) -> bool:
        """Wait for a turn, and borrow one that a slow client keeps; return whether there was one in time."""
        if self._free:
            self._free -= 1
            return True
        place = _Place(again=again)
        self._waiting[place] = None
        end = trio.current_time() + within_s
        has_ended = False
        self._borrow(trio.current_time())
        try:
            while not place.has_turn and (now := trio.current_time()) < end:
                await self._wait(place, now, end)
            has_ended = True
        finally:
            self._leave(place)
            if place.has_turn and not has_ended:  # it came together with the cancellation
                self._hand_on()
        return place.has_turn

    async def _wait(self, place: _Place, now: float, end: float) -> None:
        """Wait until something has changed; the first in the line looks for a turn to borrow now and then."""
        place.awake = trio.Event()
        if next(iter(self._waiting)) is place:
            self._borrow(now)
            end = min(end, now + LOOK_AGAIN_S)
        if not place.has_turn:
            with trio.move_on_at(end):
                await place.awake.wait()

    def _borrow(self, now: float) -> None:
        """Hand on what slow clients keep, to as many as wait."""
        lenders = list(islice((turn for turn in self._taken if turn.lendable(now)), len(self._waiting)))
        again = sum(place.again for place in islice(self._waiting, len(lenders)))
        room = self._most_lent - len(self._lent) + again
        cut = self._cut_slowest((*self._lent, *lenders), len(lenders) - room)
        for lender in [turn for turn in lenders if turn not in cut][:room]:
            del self._taken[lender]
            self._lent[lender] = None
            lender.is_lent = True
            self._hand_on()

    def _cut_slowest(self, turns: Iterable[Turn], count: int) -> set[Turn]:
        """Cut off some of those who wait for their clients, so that others can lend; who waits longest is first."""
        waiting = [(turn.waits_since, turn) for turn in turns if turn.waits_since is not None]
        slowest = {turn for _, turn in sorted(waiting, key=lambda each: each[0])[: max(count, 0)]}
        for turn in slowest:
            turn.cut()
        return slowest
