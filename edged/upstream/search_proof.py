"""Proof by search: what the destination shows of an instance is compared with what was sent (DICOM.md §6).

Each instance is looked for by WADO-RS metadata first, then QIDO-RS. Of a series of which several wait one search comes
before that: what it shows as it was sent is proven, what it does not show, or shows too little of, is looked for. A
destination that answers neither search nor retrieve for some instances in a row is believed to offer none of it for a
while; that no answer is had at all is another thing and says nothing of the service.
"""

from collections.abc import Sequence
from functools import partial
from itertools import groupby

from edged.config.choices import Proof
from edged.store.queue import read_instance
from edged.store.records import Instance
from edged.store.standings import read_delivery
from edged.store.transaction import Transaction
from edged.upstream.comparing import Finding, Purpose, compare
from edged.upstream.destination import Destination
from edged.upstream.leaving import as_it_left
from edged.upstream.leftovers import Leftovers
from edged.upstream.look import SERIES_FROM, Looker
from edged.upstream.looks import Looks
from edged.upstream.proofs import commit

BELIEVED_S = 600.0
"""How long "answers neither" is believed before it is asked again."""

UNTOLD = 3
"""Instances in a row that neither retrieve nor search says anything of: it answers neither."""

_Series = tuple[str, str]
_Sought = tuple[Instance, Purpose]


class SearchProof:
    """Proves by search what one destination has taken; `until_s` is until when it is believed not to answer."""

    def __init__(self, destination: Destination, looker: Looker, looks: Looks, *, leftovers: Leftovers) -> None:
        self.until_s = 0.0
        self._destination = destination
        self._looker = looker
        self._looks = looks
        self._leftovers = leftovers
        self._untold = 0

    def offered(self) -> bool:
        """Whether the destination is worth asking: it answers as far as is known."""
        return self._destination.now() >= self.until_s

    async def prove(self, numbers: Sequence[int]) -> bool:
        """Prove what is to be seen; return False when an answer stayed out, and nothing more was asked then."""
        instances = await self._destination.box.store.read(
            partial(_instances, numbers=numbers, destination=self._destination)
        )
        ordered = sorted(instances.items(), key=lambda each: _series(each[1][0]))
        for series, members in groupby(ordered, key=lambda each: _series(each[1][0])):
            if not await self._prove_series(series, list(members)):
                return False
            if not self.offered():
                break
        return True

    async def _prove_series(self, series: _Series, members: Sequence[tuple[int, _Sought]]) -> bool:
        wanted = [instance.sop_instance_uid for _, (instance, _) in members]
        shown = await self._looker.series(*series, wanted) if len(members) >= SERIES_FROM else {}
        proven: list[int] = []
        answered = True
        for number, (instance, purpose) in members:
            found = shown.get(instance.sop_instance_uid)
            finding = compare(found, instance, purpose) if found else Finding.UNKNOWN
            if finding is Finding.UNKNOWN:
                finding = await self._looker.look(instance, purpose)
            if finding is Finding.SILENT:
                answered = False
                break
            if finding is Finding.THERE:
                proven.append(number)
            else:
                await self._leftovers.unproven(number, finding)
            if self._gives_up(finding):
                break
        await self._commit(proven)
        return answered

    def _gives_up(self, finding: Finding) -> bool:
        self._untold = self._untold + 1 if finding is Finding.UNKNOWN else 0
        if self._untold < UNTOLD:
            return False
        self._untold = UNTOLD - 1  # the next time one is enough
        self.until_s = self._destination.now() + BELIEVED_S
        return True

    async def _commit(self, proven: Sequence[int]) -> None:
        if not proven:
            return
        await commit(self._destination, proven, Proof.SEARCH)
        for number in proven:
            self._looks.forget(number)


def _instances(txn: Transaction, numbers: Sequence[int], *, destination: Destination) -> dict[int, _Sought]:
    """Each as the destination was given it."""
    found = {number: read_instance(txn, number) for number in numbers}
    return {
        number: as_it_left(instance, read_delivery(txn, number, destination.number), destination.settings)
        for number, instance in found.items()
        if instance is not None
    }


def _series(instance: Instance) -> _Series:
    return instance.study_instance_uid, instance.series_instance_uid
