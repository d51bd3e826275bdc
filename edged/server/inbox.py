"""What an application's `receive()` takes its messages from where they come unasked: HTTP/2 and WebSocket.

What may live here: the queue between a protocol and one application task, and its two ends' waiting.
Strategy: the protocol puts ASGI messages as they come off the wire; adjacent pieces of a body are handed over
as one, so that small frames do not cost a round through the application each. Invariants: a protocol that
awaits `put` is held back at ROOM_BYTES, of which empty messages take some as well; after the end
(`*.disconnect`) nothing is queued and `receive` gives the end for ever; a body that stops in the middle, or
comes too slowly while it is waited for, ends with the disconnect, never with `more_body` false; it has not
stopped while others come on the same line.
"""

import math
from collections import deque
from collections.abc import Callable
from typing import Any

import trio

from edged.server.limits import KIB
from edged.server.pace import Pace

Message = dict[str, Any]

ROOM_BYTES = 128 * KIB
MESSAGE_BYTES = 256  # what a message takes besides its octets
PIECE_BYTES = 256 * KIB  # of a body handed over at once
SMALL_BYTES = 4 * KIB  # pieces up to here are joined when put: a queue of single octets must not cost a message each
ENDS = frozenset({"http.disconnect", "websocket.disconnect"})
GONE: Message = {"type": "http.disconnect"}


class Inbox:
    """The messages of one exchange; `stall_s` and `pace` hold for the waits within an unfinished body."""

    def __init__(self, *, stall_s: float = math.inf, pace: Pace | None = None) -> None:
        self._messages: deque[Message] = deque()
        self._queued_bytes = 0
        self._stall_s = stall_s
        self._pace = pace
        self._end: Message | None = None
        self._arrived = trio.lowlevel.ParkingLot()
        self._taken = trio.lowlevel.ParkingLot()
        self.slow = False  # the body was given up because it did not come, or too slowly
        self.on_first: Callable[[], None] | None = None  # before the first message is waited for
        self.on_taken: Callable[[int], None] | None = None  # with the octets handed over

    @property
    def queued_bytes(self) -> int:
        """What was put and not yet taken."""
        return self._queued_bytes

    @property
    def over(self) -> bool:
        """Whether the end was put, after which nothing is queued."""
        return self._end is not None

    async def put(self, message: Message) -> None:
        """Queue a message, after waiting for room; dropped once the end is there. The end never waits."""
        while self._is_full and self._end is None and message["type"] not in ENDS:
            await self._taken.park()
        self.put_nowait(message)

    def put_nowait(self, message: Message) -> None:
        """Queue a message from a protocol that has another bound for what it puts."""
        if message["type"] in ENDS:
            self._end = self._end or message
            self._taken.unpark_all()
        elif self._end is None:
            self._append(message)
        if self._arrived:
            self._arrived.unpark_all()

    async def receive(self) -> Message:
        """ASGI's receive: the next message, waiting for it."""
        if self.on_first is not None:
            on_first, self.on_first = self.on_first, None
            on_first()
        if self._messages or self._end is not None:
            await trio.lowlevel.checkpoint()
        while not self._messages and self._end is None:
            await self._wait()
        if not self._messages:
            assert self._end is not None
            return self._end
        message = self._take()
        if self._taken:
            self._taken.unpark_all()
        return message

    def drop(self) -> int:
        """Forget what is queued, for nobody will take it; the octets of it."""
        dropped, self._queued_bytes = self._queued_bytes, 0
        self._messages.clear()
        return dropped

    @property
    def _is_full(self) -> bool:
        return self._queued_bytes + MESSAGE_BYTES * len(self._messages) >= ROOM_BYTES

    @property
    def _moved_bytes(self) -> int:
        return 0 if self._pace is None else self._pace.moved_bytes

    async def _wait(self) -> None:
        began, before = trio.current_time(), self._moved_bytes
        with trio.move_on_after(self._stall_s) as wait:
            await self._arrived.park()
        slow = self._pace is not None and self._pace.is_slow_after(trio.current_time() - began)
        stalled = wait.cancelled_caught and not self._messages and self._moved_bytes == before
        if self._end is None and (stalled or slow):
            self.slow = True
            self.put_nowait(GONE)

    def _append(self, message: Message) -> None:
        size = _size(message)
        self._queued_bytes += size
        if self._pace is not None:
            self._pace.moved(size)
        if self._messages and _joinable(self._messages[-1], message):
            message = _joined([self._messages.pop(), message])
        self._messages.append(message)
        if message.get("more_body", False) is False:
            self._stall_s, self._pace = math.inf, None  # complete: what remains is waiting for the disconnect

    def _take(self) -> Message:
        taken = [self._messages.popleft()]
        size = _size(taken[0])
        while self._messages and taken[-1].get("more_body") and size < PIECE_BYTES:
            taken.append(self._messages.popleft())
            size += _size(taken[-1])
        self._queued_bytes -= size
        if self.on_taken is not None:
            self.on_taken(size)
        return taken[0] if len(taken) == 1 else _joined(taken)


def _size(message: Message) -> int:
    return len(message.get("body") or message.get("bytes") or message.get("text") or b"")


def _joinable(last: Message, message: Message) -> bool:
    return bool(last.get("more_body")) and _size(last) + _size(message) <= SMALL_BYTES


def _joined(messages: list[Message]) -> Message:
    body = b"".join(message["body"] for message in messages)
    return {"type": "http.request", "body": body, "more_body": messages[-1]["more_body"]}
