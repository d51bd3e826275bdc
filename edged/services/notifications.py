"""Following the event log: who reads from which place, and when there is more to read (PS3.18 8.10, DICOM.md §7).

A follower reads from a place in the log, never from a queue of its own: a slow one costs nothing but its place. What is
read and written as reports is kept for a while, so that a thousand followers at the head of the log cost one reading
and one encoding for each form that any of them asked for. Who has a report on its line holds that one, and its page
only while it is kept for others: a page that has gone is made again.
"""

import logging
import weakref
from collections import OrderedDict
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from functools import partial

import trio

from edged.services.bell import Bell, Bells
from edged.services.event_reports import Page, Report, View, page_of
from edged.services.event_windows import MOST_EVENTS, closed_of, open_for_s
from edged.store.errors import StoreError
from edged.store.events import first_event, last_event, read_events
from edged.store.store import Store
from edged.telemetry.clock import Clock

log = logging.getLogger(__name__)

KEPT_BYTES = 4 << 20
"""Of pages, of all followers together."""

MOST_OF_A_PAGE = KEPT_BYTES // 4

AT_ONCE = 100
"""Events that are read at once for whoever has a report of each."""

GATHER_S = 0.1
"""Between two readings of what has just been written: a commit writes many events, and the next one is near."""

LOOK_S = 1.0
"""Until what nobody has rung for is seen: not all who write an event know the bells."""

FAILED_S = 5.0


@dataclass(frozen=True, slots=True)
class Position:
    """How far a follower has come: the events up to `after`, and `skip` reports of the window that ends at `until`."""

    after: int
    until: int = 0
    skip: int = 0


def position_in(page: Page, taken: int) -> Position:
    """Return where whoever has taken the first `taken` reports of a page is."""
    if taken == len(page.reports):
        return Position(page.end)
    resume = page.reports[taken - 1].resume if taken else page.after
    return Position(resume) if resume > page.after or not taken else Position(page.after, page.end, taken)


class _Making:
    """A page that is being made; `page` stays None when that fails."""

    def __init__(self) -> None:
        self.made = trio.Event()
        self.page: Page | None = None


class NotificationService:
    """Gives the reports of the event log; `keep` runs beside whoever follows."""

    def __init__(self, store: Store, bells: Bells, clock: Clock) -> None:
        self._store = store
        self._bells = bells
        self._clock = clock
        self._grown, self._closed = Bell(), Bell()
        self._newest = self._closed_to = store.read_now(last_event)
        self._pages: OrderedDict[tuple[View, Position], Page] = OrderedDict()
        self._held: weakref.WeakValueDictionary[tuple[View, Position], Page] = weakref.WeakValueDictionary()
        self._bytes = 0
        self._making: dict[tuple[View, Position], _Making] = {}

    async def extent(self) -> tuple[int, int]:
        """Return the numbers of the oldest event that is kept and of the newest; 1 and 0 when there was none.

        Following from the newest one on misses nothing that comes after this call.
        """
        return await self._store.read(lambda txn: (first_event(txn), last_event(txn)))

    async def follow(self, view: View, begin: Position) -> AsyncGenerator[tuple[Report | None, Position], None]:
        """Yield reports in order for ever, from a position on, each with the position of whoever has taken it.

        None stands for a report where nothing is told of what happened. Raises StoreError.
        """
        while True:
            found, taken = await self._page_at(view, begin)
            if not found.reports:
                begin = Position(found.end)
                yield None, begin
            page: Page | None = found
            del found
            while page is not None and taken < len(page.reports):
                taken += 1
                report, begin, known = page.reports[taken - 1], position_in(page, taken), weakref.ref(page)
                alone = page if len(page.reports) == 1 else None  # others find it here
                del page
                yield report, begin
                page = alone or known()
                del report, alone

    async def _page_at(self, view: View, begin: Position) -> tuple[Page, int]:
        """Return what follows a position, when there is something, and how many of its reports were taken before."""
        while True:
            if not begin.skip:
                await self._wait_beyond(begin.after, each=view.each)
            page = await self._page(view, Position(begin.after, begin.until))
            if page.end > begin.after:
                return page, begin.skip if page.end == begin.until and not page.gap else 0
            await trio.sleep(LOOK_S)  # the log has another end than was seen

    async def keep(self) -> None:
        """See what is new, and close windows as they come of age; runs until cancelled."""
        while True:
            try:
                await self._look()
            except StoreError as error:
                log.info("the event log cannot be read: %s", error)
                await trio.sleep(FAILED_S)

    async def _look(self) -> None:
        logged = self._bells.logged.next
        after = max(self._closed_to, self._newest - 1)  # of what is open already only the newest: it may end a window
        events = await self._store.read(partial(read_events, after=after, limit=MOST_EVENTS + 1))
        if not events:
            with trio.move_on_after(LOOK_S):
                await logged.wait()
                await trio.sleep(GATHER_S)
            return
        self._newest = max(self._newest, events[-1][0])
        self._grown.ring()
        closed, newest = closed_of(events)
        if not closed and newest is not None:
            with trio.move_on_after(open_for_s(newest[1], self._clock.wall())):
                await logged.wait()
                await trio.sleep(GATHER_S)
                return
            closed = newest[0]
        self._closed_to = closed
        self._closed.ring()

    async def _wait_beyond(self, after: int, *, each: bool) -> None:
        """Wait until there is something after a number that may be told."""
        while (self._newest if each else self._closed_to) <= after:
            await (self._grown if each else self._closed).next.wait()

    async def _page(self, view: View, begin: Position) -> Page:
        """Return what follows a position, made once for all who are there at the same time."""
        key = view, begin
        while (others := self._making.get(key)) is not None:
            await others.made.wait()
            if others.page is not None:
                return others.page
        if (page := self._held.get(key)) is not None:
            if key in self._pages:
                self._pages.move_to_end(key)
            return page
        making = self._making[key] = _Making()
        try:
            until = begin.until or (self._newest if view.each else self._closed_to)
            most = AT_ONCE if view.each else MOST_EVENTS
            making.page = page = await self._store.read(
                partial(page_of, view=view, after=begin.after, until=until, most=most)
            )
        finally:
            del self._making[key]
            making.made.set()
        self._keep_page(key, page)
        return page

    def _keep_page(self, key: tuple[View, Position], page: Page) -> None:
        """Keep a page for others, and let go of those that nobody has asked for lately.

        One that takes more than a share is there as long as somebody has it, and an empty one would be wrong soon.
        """
        if page.end == page.after:
            return
        self._held[key] = page
        if page.size > MOST_OF_A_PAGE:
            return
        self._pages[key] = page
        self._bytes += page.size
        while self._bytes > KEPT_BYTES:
            _, oldest = self._pages.popitem(last=False)
            self._bytes -= oldest.size
