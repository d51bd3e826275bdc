"""The queues as a person works on them: looked at page by page, changed step by step.

A step is one bounded look and one write of what it found; whoever wants more asks for the next step with the cursor of
this one, so that a long change is in nobody's way, can be broken off anywhere, and goes on after a restart. While a
step is written the destinations concerned take nothing new; what one of them is sending at that moment is passed over,
so that no answer is lost. What cannot be undone is agreed to first (`queue_consent`).
"""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from difflib import get_close_matches
from functools import partial

from edged.services.conflicts import tell_conflicts
from edged.services.destinations import Routes, left_behind, tell_left_behind
from edged.services.queue_consent import Consents
from edged.services.queue_values import (
    Account,
    Change,
    Listed,
    Plan,
    QueueRequestError,
    Reach,
    Stepped,
    Summed,
    ToConfirm,
    UnknownNameError,
    Wanted,
    account,
    listed,
    skipped,
)
from edged.store.counters import NEXT_INSTANCE
from edged.store.queue import destination_names
from edged.store.queue_admin import STARTS, USUAL, Action, Decision, Done, decide
from edged.store.queue_walk import NOWHERE, Entry, EntryState, Page, Place, Selection, Sums, read_entries, sums, walk
from edged.store.store import Store
from edged.store.transaction import Transaction
from edged.telemetry.clock import Clock

ROWS = 500
"""Entries of one step, and the most of a page."""

MOST_UIDS = 1_000

_GOING_ELSEWHERE = frozenset({Action.DISCARD, Action.MOVE})
_RECONSIDERED = frozenset({Action.RETRY, *_GOING_ELSEWHERE})


class QueueService:
    """Looks at the queues and changes them."""

    def __init__(self, store: Store, routes: Routes, clock: Clock, *, reach: Reach) -> None:
        self._store = store
        self._routes = routes
        self._clock = clock
        self._reach = reach
        self._consents = Consents(clock)

    async def page(self, wanted: Wanted, after: str = "", limit: int = ROWS) -> Listed:
        """Return entries, the first page with the sums of all. Raises QueueRequestError and UnknownNameError."""
        names = await self._store.read(destination_names)
        selection = self._selection(wanted, names)
        page, entries = await self._store.read(partial(_look, selection=selection, after=after, limit=min(limit, ROWS)))
        total = None if after else await self._summed(selection, names)
        shown = tuple(listed(entry, names, self._plan(entry)) for entry in entries)
        return Listed(entries=shown, after=page.after, unknown=page.unknown, total=total)

    async def act(self, action: Action, change: Change, *, who: str) -> tuple[Stepped | ToConfirm, Sequence[Account]]:
        """Do one step of a change, and give an account of each entry too; or ask for consent, and do nothing.

        Raises QueueRequestError, UnknownNameError and StoreError.
        """
        names = await self._store.read(destination_names)
        selection = self._concerned(action, change, names)
        if action is Action.DISCARD:
            if not change.token:
                return await self._ask(selection, names, change, who=who), ()
            selection = replace(selection, last=self._consents.last(change, who=who))
        decision = self._decision(action, change, who)
        page: Page = await self._store.read(partial(walk, selection=selection, after=change.after, limit=ROWS))
        done = await self._decide(page.places, decision)
        if any(each.done for each in done):
            await self._follow(decision, [each.place for each in done if each.done])
        left = tuple(skipped(each, names) for each in done if not each.done)
        count = len(done) - len(left)
        accounts = tuple(account(each, decision, names) for each in done)
        return Stepped(done=count, skipped=left, unknown=page.unknown, after=page.after), accounts

    async def _ask(self, selection: Selection, names: Mapping[int, str], change: Change, *, who: str) -> ToConfirm:
        last = await self._store.read(lambda txn: txn.counter(NEXT_INSTANCE))
        total = await self._summed(replace(selection, last=last), names)
        return self._consents.ask(change, total, who=who, last=last)

    def _decision(self, action: Action, change: Change, who: str) -> Decision:
        target = self._routes.ids.get(change.to, 0)
        gates = target in self._routes.required
        now = self._clock.wall()
        return Decision(action=action, who=who, time=now, why=change.reason, target=target, gates=gates)

    async def _decide(self, places: Sequence[Place], decision: Decision) -> list[Done]:
        """Decide about each entry in one write, but for those that are being sent."""
        async with AsyncExitStack() as stack:
            busy: set[tuple[int, int]] = set()
            for destination in sorted({place.destination for place in places}):
                if hand := self._reach.hands.get(destination):
                    leased = await stack.enter_async_context(hand.undisturbed())
                    busy |= {(number, destination) for number in leased}
            free = [place for place in places if (place.number, place.destination) not in busy]
            done = await self._store.write(lambda txn: [decide(txn, place, decision) for place in free]) if free else []
            self._forget(decision.action, done)
        sent = [place for place in places if (place.number, place.destination) in busy]
        return done + await self._store.read(lambda txn: [_being_sent(txn, place) for place in sent])

    def _forget(self, action: Action, done: Sequence[Done]) -> None:
        """What was held against an entry is forgotten; what was stuck is still doubted, and gets one try."""
        for place in (each.place for each in done if each.done):
            hand = self._reach.hands.get(place.destination)
            if hand is not None and action in _RECONSIDERED:
                stuck = action is Action.RETRY and place.state is EntryState.STUCK
                hand.renew(place.number, doubted=stuck)
            if hand is not None and action is Action.RETRY:
                hand.hasten()

    async def _follow(self, decision: Decision, places: Sequence[Place]) -> None:
        """Wake whoever has something to do now, and tell the conditions anew."""
        if decision.action in _GOING_ELSEWHERE:
            self._store.sweep_soon()
            tell_left_behind(self._reach.conditions, self._routes, await self._store.read(left_behind))
        if any(place.destination == NOWHERE for place in places):
            self._store.sweep_soon()
            tell_conflicts(self._store, self._reach.conditions)
        bells = self._reach.bells
        for bell in (bells.arrived, bells.proven, bells.logged):
            bell.ring()

    def _concerned(self, action: Action, change: Change, names: Mapping[int, str]) -> Selection:
        """Return what a change is about; raises QueueRequestError where it does not say enough."""
        if not (change.destination or change.study or change.uids or change.states):
            raise QueueRequestError("Say which entries: a destination, a study, a state, or UIDs.")
        if action is Action.DISCARD and not change.reason.strip():
            raise QueueRequestError("A discard needs a reason: it is kept with who decided.")
        if action is Action.MOVE:
            self._require_ends(change, names)
        able = STARTS[action] if action is Action.DISCARD else STARTS[action] - {EntryState.CONFLICT}
        if inapt := set(change.states) - able:
            raise QueueRequestError(_inapt(action, sorted(inapt), sorted(able)))
        usual = frozenset(EntryState) - {EntryState.CONFLICT} if change.uids else USUAL[action]
        return replace(self._selection(change, names), states=frozenset(change.states) or usual)

    def _require_ends(self, change: Change, names: Mapping[int, str]) -> None:
        if not change.destination or not change.to:
            raise QueueRequestError("A move needs both destinations: where the entries are, and where they go.")
        if change.to not in self._routes.ids:
            raise UnknownNameError(
                change.to, _nearest(change.to, list(self._routes.ids), "destination in the settings")
            )
        if change.to == change.destination:
            raise QueueRequestError("The entries are there already.")

    def _selection(self, wanted: Wanted, names: Mapping[int, str]) -> Selection:
        if len(wanted.uids) > MOST_UIDS:
            raise QueueRequestError(f"At most {MOST_UIDS} UIDs at a time.")
        if wanted.destination and wanted.destination not in names.values():
            name = wanted.destination
            raise UnknownNameError(name, _nearest(name, list(names.values()), "destination"))
        ids = tuple(number for number, name in names.items() if name == wanted.destination)
        return Selection(
            destinations=ids or None,
            study=wanted.study or None,
            uids=tuple(wanted.uids),
            states=frozenset(wanted.states) or frozenset(EntryState),
        )

    async def _summed(self, selection: Selection, names: Mapping[int, str]) -> Summed:
        """Return the sums of a selection: from the counters where they tell, else by a walk in bounded reads."""
        found = await self._store.read(partial(sums, selection=selection))
        if found is not None:
            return Summed.of(found, names)
        found, after = Sums(), ""
        while True:
            page, entries = await self._store.read(partial(_look, selection=selection, after=after, limit=ROWS))
            for entry in entries:
                found.rows[entry.place.destination, entry.place.state] += 1
                found.bytes += entry.instance.exit_length
            if not (after := page.after):
                return Summed.of(found, names)

    def _plan(self, entry: Entry) -> Plan:
        """Tell when an entry is tried next, as far as that is known, and what it waits for."""
        hand = self._reach.hands.get(entry.place.destination)
        if entry.place.state is EntryState.CONFLICT:
            return Plan("a person: release or discard it")
        if hand is not None:
            return hand.plan(entry.place.number, entry.place.state, entry.delivery)
        if entry.place.destination in self._routes.all:
            return Plan("forwarding: it does not run")
        return Plan("its destination, which is not in the settings: move or discard it")


def _look(txn: Transaction, *, selection: Selection, after: str, limit: int) -> tuple[Page, list[Entry]]:
    page = walk(txn, selection, after, limit=limit)
    return page, read_entries(txn, page.places)


def _being_sent(txn: Transaction, place: Place) -> Done:
    uids = [entry.instance.sop_instance_uid for entry in read_entries(txn, (place,))]
    return Done(place, "".join(uids), done=False, text="it is being sent at this moment: try again")


def _inapt(action: Action, inapt: Sequence[EntryState], states: Sequence[EntryState]) -> str:
    if action is Action.RELEASE and EntryState.CONFLICT in inapt:
        return "Release conflicts one by one, by their ids."
    return f"{action.value} is for what is {' or '.join(states)}, not {' or '.join(inapt)}."


def _nearest(name: str, known: Sequence[str], what: str) -> str:
    near = get_close_matches(name, known, n=1)
    meant = f" Is {near[0]} meant?" if near else ""
    return f"There is no {what} named {name}.{meant} Known: {', '.join(sorted(known)) or 'none'}."
