"""Looking again for what a destination has committed to, and what its silence on an instance may be believed for.

An instance counts as lost when neither retrieve nor search shows it, in looks spread over `visible_within`, each of
which was accompanied by one that showed another: what shows nothing at all is a wrong way to the archive, or the wrong
archive (a second guard beside the one against parking a whole queue). Everything here is in memory; a restart begins
every suspicion anew.
"""

import random
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import groupby

import trio

from edged.store.committed import committed_here, somewhere_here
from edged.store.records import Instance
from edged.store.schema import u64_key
from edged.store.transaction import Transaction
from edged.telemetry.live import DestinationState
from edged.upstream.comparing import Finding, Purpose, compare
from edged.upstream.destination import Destination
from edged.upstream.look import SERIES_FROM, Looker
from edged.upstream.looks import LOOK_AGAIN, Looks
from edged.upstream.notes import MOST_NOTES
from edged.upstream.retry import Backoff, BreakerState
from edged.upstream.sampling import Unseen

LATELY_S = 6 * 3600.0
"""What was shown within that time is not asked for again."""

MOST_SEEN = 100_000
"""Instances of which it is known when they were last shown."""

OTHERS = 3
"""Others that are looked for when nothing was shown, twice."""

UNTOLD = 3
"""Instances in a row of which neither retrieve nor search tells anything."""

CANNOT_REPROVE = "cannot-reprove"
_DIFFERS = "What it shows under an instance's UID is not what it committed to. Compare the two at the archive."
_SHOWS_NOTHING = (
    "It committed to instances and shows none of those that it is asked for, neither to retrieve nor to search. "
    "Nothing is sent again for that, since a wrong url, a missing right or a proxy looks the same. Ask whoever runs "
    "the archive."
)


@dataclass(frozen=True, slots=True)
class Suspect:
    """One that was not shown; `doubted` when others were."""

    sop_instance_uid: str
    doubted: bool


class Reproof:
    """What is known of the commitments of one destination since they were made."""

    def __init__(self, destination: Destination, looker: Looker) -> None:
        self.suspects: dict[int, Suspect] = {}
        self._destination = destination
        self._looker = looker
        self._looks = Looks()
        self._unseen = Unseen()
        self._seen: OrderedDict[int, float] = OrderedDict()
        self._shown: Instance | None = None
        self._pause = Backoff(LOOK_AGAIN)
        self._untold = 0

    @property
    def doubted(self) -> set[int]:
        """The numbers of those that were not shown while others were."""
        return {number for number, each in self.suspects.items() if each.doubted}

    def answers(self) -> bool:
        """Whether the destination is up, and said something of what it was last asked for."""
        destination = self._destination
        live = destination.box.live.destinations[destination.name]
        is_up = live.state is DestinationState.UP and destination.breaker.state is BreakerState.CLOSED
        return is_up and self._pause.due(destination.now())

    def seen_lately(self, number: int) -> bool:
        """Whether it was shown not long ago."""
        seen_s = self._seen.get(number)
        return seen_s is not None and self._destination.now() - seen_s < LATELY_S

    def due(self) -> dict[int, str]:
        """Return the suspects that may be looked for again, with their SOP Instance UIDs."""
        waiting = self._looks.waiting(self._destination.now())
        return {number: each.sop_instance_uid for number, each in self.suspects.items() if number not in waiting}

    def next_due_s(self) -> float | None:
        """Return when a suspect is to be looked for again, or the destination may be asked again."""
        now = self._destination.now()
        if not self._pause.due(now):
            return self._pause.due_s
        return now if self.due() else self._looks.next_due_s(now)

    def forget(self, number: int) -> None:
        """It is not to be looked for any more."""
        self.suspects.pop(number, None)
        self._looks.forget(number)

    async def ask(self, sought: Mapping[int, Instance], *, within_s: float = float("inf")) -> dict[int, str]:
        """Look for instances by their numbers; return those that are lost, with their SOP Instance UIDs."""
        findings: dict[int, Finding] = {}
        another = False
        with trio.move_on_after(within_s) as deadline:
            await self._look_for(sought, findings)
            if Finding.ABSENT in findings.values() and Finding.THERE not in findings.values():
                another = await self._shows_another(sought)
        if deadline.cancelled_caught and not findings:
            self._say_nothing()
        missing = {number: sought[number].sop_instance_uid for number in findings if findings[number] is Finding.ABSENT}
        if another or Finding.THERE in findings.values():
            return {number: uid for number, uid in missing.items() if self._missed(number, uid)}
        if not deadline.cancelled_caught:
            self._nothing_shown(missing)
        return {}

    async def _look_for(self, sought: Mapping[int, Instance], findings: dict[int, Finding]) -> None:
        """Fill in what is found; ends early when an answer stays out or says nothing."""
        for members in _by_series(sought):
            wanted = [instance.sop_instance_uid for _, instance in members]
            shown = await self._looker.series(*_series(members[0][1]), wanted) if len(members) >= SERIES_FROM else {}
            for number, instance in members:
                data_set = shown.get(instance.sop_instance_uid)
                finding = compare(data_set, instance, Purpose.VERIFY) if data_set else Finding.UNKNOWN
                if finding is Finding.UNKNOWN:
                    finding = await self._looker.look_both_ways(instance)
                findings[number] = finding
                if not self._heard(number, instance, finding):
                    return

    def _heard(self, number: int, instance: Instance, finding: Finding) -> bool:
        """Take note of a finding; return whether the destination says anything at all."""
        now = self._destination.now()
        if finding in {Finding.SILENT, Finding.UNKNOWN}:
            self._untold = UNTOLD if finding is Finding.SILENT else self._untold + 1
            if self._untold >= UNTOLD:
                self._say_nothing()
            return self._untold < UNTOLD
        self._untold = 0
        self._pause = Backoff(LOOK_AGAIN)
        if finding is Finding.DIFFERS:
            self.forget(number)
            self._destination.blame(number, "proof-differs", _DIFFERS)
        if finding is Finding.THERE:
            self._there(number, instance, now)
        return True

    def _say_nothing(self) -> None:
        """Note that no answer was had, or none that says anything: it is left alone for a while."""
        now = self._destination.now()
        self._pause = self._pause.failed(now, retry_after_s=None, random01=random.random())  # noqa: S311 - jitter

    def _there(self, number: int, instance: Instance, now: float) -> None:
        self._shown = instance
        self._unseen.seen()
        self.forget(number)
        self._seen.pop(number, None)
        self._seen[number] = now
        if len(self._seen) > MOST_SEEN:
            self._seen.popitem(last=False)
        self._destination.absolve(number)
        self._destination.box.conditions.clear(f"{CANNOT_REPROVE}:{self._destination.name}")

    async def _shows_another(self, missed: Mapping[int, Instance]) -> bool:
        """Whether the destination shows, now, something else that it committed to."""
        uids = {each.sop_instance_uid for each in missed.values()}
        others = await self._destination.box.store.read(partial(self._others, beyond=max(missed)))
        for each in others if self._shown is None else (self._shown, *others):
            if each.sop_instance_uid in uids:
                continue
            if await self._looker.look_both_ways(each) is Finding.THERE:
                return True
        return False

    def _others(self, txn: Transaction, beyond: int) -> list[Instance]:
        """Some that came later, and some from anywhere."""
        places = u64_key(beyond), somewhere_here(txn, random.random())  # noqa: S311 - any will do
        found = (committed_here(txn, self._destination.number, after=place, limit=OTHERS)[0] for place in places)
        return [instance for each in found for instance in each.values()]

    def _nothing_shown(self, missing: Mapping[int, str]) -> None:
        """It shows nothing: that says something of the destination, and of no instance."""
        destination, now = self._destination, self._destination.now()
        self._unseen.missed(missing, now)
        for number, uid in missing.items():
            self._looks.postpone(number, now)
            if number in self._unseen.numbers:
                self.suspects.setdefault(number, Suspect(uid, doubted=False))
        if self._unseen.is_telling(now, within_s=destination.settings.visible_within_s):
            destination.raise_condition(CANNOT_REPROVE, _SHOWS_NOTHING, lasting=True)

    def _missed(self, number: int, uid: str) -> bool:
        """Note that one was not shown while others were; return whether that was so often and long enough to count."""
        now = self._destination.now()
        self._unseen.seen()
        if number in self.suspects or len(self.suspects) < MOST_NOTES:
            self.suspects[number] = Suspect(uid, doubted=True)
        self._looks.postpone(number, now)
        return self._looks.missed(number, now, within_s=self._destination.settings.visible_within_s)


def _by_series(sought: Mapping[int, Instance]) -> Iterator[list[tuple[int, Instance]]]:
    ordered = sorted(sought.items(), key=lambda each: (_series(each[1]), each[0]))
    return (list(members) for _, members in groupby(ordered, key=lambda each: _series(each[1])))


def _series(instance: Instance) -> tuple[str, str]:
    return instance.study_instance_uid, instance.series_instance_uid
