"""Asking destinations what they have, for what the box itself can no longer say: a port, implemented upstream.

An answer is worth what its kind of proof is worth by the settings of today (DICOM.md §6).
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Protocol

from edged.config import Proof
from edged.store.records import Reference


class Unproven(StrEnum):
    """What a destination said instead of a proof.

    `absent`: it has no such instance. `untold`: it answered, and that neither proves nor denies it. `later`: it is at
    it. `unanswered`: nothing, now.
    """

    ABSENT = "absent"
    UNTOLD = "untold"
    LATER = "later"
    UNANSWERED = "unanswered"


class Witness(Protocol):
    """One destination that can be asked."""

    async def ask(self, references: Sequence[Reference]) -> Mapping[Reference, Proof | Unproven]:
        """Return for each instance the kind of proof that the destination gives; raises nothing that the peer did."""
