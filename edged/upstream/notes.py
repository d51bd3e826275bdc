"""What is known in memory of single instances at one destination: when each may be tried again, and what it did before.

None of it is on disk: after a crash everything that is not proven is simply pending again (DESIGN §1.2). The notebook
is bounded; the oldest notes go first, and an instance without a note is merely tried sooner.
"""

from collections import OrderedDict
from dataclasses import dataclass, field, replace

from edged.store.records import Delivery
from edged.upstream.retry import Backoff, SlowLane
from edged.upstream.verdict_values import Break, History

MOST_NOTES = 10_000
BREAKS_KEPT = 3


@dataclass(frozen=True, slots=True)
class Note:
    """One instance: `alone` means never in a batch; times are seconds of the monotonic clock.

    `failures` counts requests that failed with it for reasons that may be its own. With `verify_until_s` set it is
    looked for and not uploaded: until then its absence says nothing. `asked`: it was looked for because it may be there
    from before, and was not. `answered`: what it becomes by an answer once its data set was compared. `transcode`:
    its transfer syntax was refused, so it leaves in another. `may_be_there`: its answer was lost, so it is looked for
    once before it is sent again. `as_it_is`: it cannot be decompressed, and was not refused itself yet.
    """

    alone: bool = False
    due_s: float = 0.0
    backoff: Backoff = field(default_factory=Backoff)
    slow: SlowLane | None = None
    breaks: tuple[Break, ...] = ()
    failures: int = 0
    accepted_before: int = 0
    verify_until_s: float | None = None
    asked: bool = False
    answered: Delivery | None = None
    transcode: bool = False
    may_be_there: bool = False
    as_it_is: bool = False


class Notebook:
    """The notes of one destination, and how many instances it accepted and committed since the start."""

    def __init__(self) -> None:
        self._notes: OrderedDict[int, Note] = OrderedDict()
        self.accepted = 0
        self.committed = 0

    def of(self, number: int) -> Note:
        """Return what is known of an instance."""
        return self._notes.get(number) or Note(accepted_before=self.accepted)

    def keep(self, number: int, note: Note) -> None:
        """Remember what is known of an instance."""
        self._notes[number] = note
        self._notes.move_to_end(number)
        if len(self._notes) > MOST_NOTES:
            self._notes.popitem(last=False)

    def forget(self, number: int) -> None:
        """It moved on: nothing needs to be remembered."""
        self._notes.pop(number, None)

    def waiting(self, now: float) -> set[int]:
        """Return the instances that must not be tried yet."""
        return {number for number, note in self._notes.items() if note.due_s > now}

    def next_due_s(self, now: float) -> float | None:
        """Return the time at which the next instance may be tried again."""
        return min((note.due_s for note in self._notes.values() if note.due_s > now), default=None)

    def history(self, number: int) -> History:
        """Return what the verdict table needs to know of an instance."""
        note = self.of(number)
        return History(
            others_accepted=self.accepted > note.accepted_before,
            doubtful=note.slow.doubtful if note.slow else 0,
            breaks=note.breaks,
            transcoded=note.transcode,
        )

    def failed(self, number: int) -> None:
        """Note that a request with this instance failed, and that it may or may not be the instance's fault."""
        self.refused(number, failures=self.of(number).failures + 1)

    def look_first(self, number: int) -> None:
        """Note that its answer was lost: it may be there."""
        self.keep(number, replace(self.of(number), may_be_there=True))

    def release_undoubted(self) -> None:
        """Try at once what was doubted while nothing else passed either: it was the destination after all."""
        for number, note in self._notes.items():
            if note.slow is not None and not note.slow.doubtful:
                self._notes[number] = replace(note, slow=None, due_s=0.0)

    def refused(self, number: int, **changes: object) -> Note:
        """Note that an instance was refused or broke: what is accepted from now on tells about it."""
        note = replace(self.of(number), accepted_before=self.accepted, **changes)  # type: ignore[arg-type]
        self.keep(number, note)
        return note
