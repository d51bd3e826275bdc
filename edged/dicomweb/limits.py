"""A limit as it is told to user agents and to people: what it is of, how much, and what happens beyond it.

The numbers belong to whoever keeps them; the composition root gathers them into the one table that stands in the
capabilities description and in docs/limits.md. Nothing here acts on a limit.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_BINARY: Final = (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10))


class Unit(StrEnum):
    """What a limit is counted in; a count has no unit."""

    COUNT = ""
    BYTES = "bytes"
    SECONDS = "s"
    BYTES_PER_SECOND = "bytes/s"


@dataclass(frozen=True, slots=True)
class Limit:
    """`name` says of what, as in the settings or in the program; `beyond` says what happens, in a sentence."""

    name: str
    value: float
    unit: Unit
    beyond: str

    @property
    def shown(self) -> str:
        """The value with its unit, for people: bytes in the largest binary unit that leaves them whole."""
        if self.unit is Unit.BYTES:
            for name, size in _BINARY:
                if self.value >= size and self.value % size == 0:
                    return f"{self.value / size:,.0f} {name}"
        amount = f"{self.value:,.0f}" if self.value == int(self.value) else f"{self.value:g}"
        return f"{amount} {self.unit}".strip()
