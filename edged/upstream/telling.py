"""What an instance's history gets of a destination: every answer that moved it nowhere, and every look in vain.

The peer's own words stand here and nowhere else, without secrets and cut to one line: they may hold a patient's name.
What goes well costs nothing. What is said again and again is written at the first, second, fourth, eighth time and so
on, and counted in one entry, so that an outage of days neither floods a history nor wears a disk out.
"""

from collections import OrderedDict
from collections.abc import Mapping

from msgspec import structs

from edged.store.history import note_again
from edged.store.records import Happened, HistoryEntry
from edged.store.transaction import Transaction
from edged.upstream.comparing import Finding
from edged.upstream.destination import Destination
from edged.upstream.exchange import Exchanged
from edged.upstream.notes import MOST_NOTES
from edged.upstream.verdict_values import Answer, Kind, one_line

_SILENT_ON = frozenset({Kind.SENT, Kind.AGAIN})
_LOOKED = {
    Finding.THERE: "it is there",
    Finding.DIFFERS: "another instance is there under its UID",
    Finding.ABSENT: "it is not there",
    Finding.UNKNOWN: "what it answers says nothing of the instance",
    Finding.SILENT: "no answer was had",
    Finding.RECODED: "it is given back compressed in another way, which cannot be compared",
}


class Telling:
    """Writes the histories of one destination's instances."""

    def __init__(self, destination: Destination) -> None:
        self._destination = destination
        self._told: OrderedDict[int, tuple[HistoryEntry, int]] = OrderedDict()

    async def heard(self, numbers: Mapping[str, int], exchanged: Exchanged) -> None:
        """Tell what was heard of a batch; of a connection that was never made there is nothing to tell."""
        heard, decided = exchanged.heard, exchanged.decision.instances
        if isinstance(heard, Answer):
            status, text = heard.status, exchanged.said
        elif heard.sent_bytes or exchanged.said:
            status, text = 0, one_line(" ".join(filter(None, (heard.summary, exchanged.said))))
        else:
            return
        base = self._entry(Happened.ANSWERED, batch=exchanged.batch, status=status, text=text)
        await self._tell(
            {
                numbers[uid]: structs.replace(base, reason=verdict.reason)
                for uid, verdict in decided.items()
                if verdict.kind not in _SILENT_ON
            }
        )

    async def looked(self, number: int, finding: Finding) -> None:
        """Tell what a look for an instance found."""
        await self._tell({number: self._entry(Happened.LOOKED, text=_LOOKED[finding])})

    async def transcoded(self, number: int, text: str, batch: str) -> None:
        """Tell in which form an instance left."""
        await self._tell({number: self._entry(Happened.TRANSCODED, text=text, batch=batch)})

    async def not_committed(self, said: Mapping[int, tuple[str, int | None]]) -> None:
        """Tell that a commitment was asked for and not given: what that means, and the reason."""
        base = self._entry(Happened.ASKED)
        await self._tell({number: structs.replace(base, text=text, reason=why) for number, (text, why) in said.items()})

    def _entry(self, what: Happened, *, batch: str = "", status: int = 0, text: str = "") -> HistoryEntry:
        destination, now = self._destination.number, self._destination.box.clock.wall()
        return HistoryEntry(what=what, time=now, destination=destination, batch=batch, status=status, text=text)

    async def _tell(self, entries: Mapping[int, HistoryEntry]) -> None:
        due = {number: counted for number, entry in entries.items() if (counted := self._counted(number, entry))}

        def written(txn: Transaction) -> None:
            for number, entry in due.items():
                note_again(txn, number, entry)

        if due:
            await self._destination.box.store.write(written)

    def _counted(self, number: int, entry: HistoryEntry) -> HistoryEntry | None:
        """What is to be written now of what was said: None, or how often since it was last written."""
        same = structs.replace(entry, time=0.0, batch="")
        before, times = self._told.get(number, (same, 0))
        times = times + 1 if before == same else 1
        self._told[number] = (same, times)
        self._told.move_to_end(number)
        if len(self._told) > MOST_NOTES:
            self._told.popitem(last=False)
        if times & (times - 1):
            return None
        return structs.replace(entry, times=max(1, times // 2))
