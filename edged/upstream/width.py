"""How many workers send to a destination at once: from few up to the most, learned from what more of them bring.

Pure. What a worker's batches take tells what all together get through: as many times their bytes a second as there are
workers. One more stays only if it brings a measurable part of what it would bring were it as fast as the others, so
that a long round trip gets more and a full link does not. When the same number gets clearly less through, the peer has
slowed, and fewer are tried; they stay if nothing is lost by it. A peer that asks for peace (429, 503) gets half.

Invariants: at least one, never more than `most`; only batches that began at the present number count.
"""

from dataclasses import dataclass, replace

FEW = 2
"""To begin with: two keep a link busy while an answer is on its way."""
ROUNDS = 2
"""Batches of each worker that one measurement takes."""
LEAST_S = 1.0
"""Seconds of each worker that it takes at least: what is shorter is noise."""
HELPS = 0.3
"""The part of its share that one more has to bring to stay."""
KEEPS = 0.1
"""The part of its share that may be lost with one less."""
SLOWER = 0.3
"""A peer that lets so much less through has slowed."""
PATIENCE = 8
"""Measurements between two attempts at more that did not help."""
_STEADY = 4
"""What is expected follows what is measured by this part."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What was measured so far at the present number."""

    batches: int = 0
    size: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Width:
    """The learned number of workers, `value`; `age` counts how often it changed.

    While another number is on trial, `before` is the one it is beside and the bytes per second that it got through;
    else `expected` is what the present one usually gets through, and `slowed` says that it got clearly less the last
    time: a second time tells that the peer has slowed, and how far.
    """

    most: int
    value: int
    age: int = 0
    sample: Sample = Sample()
    before: tuple[int, float] | None = None
    expected: float | None = None
    slowed: bool = False
    patience: int = 0

    @classmethod
    def first(cls, most: int) -> "Width":
        """Before anything was measured."""
        return cls(most, min(FEW, most))

    def finished(self, size: int, seconds: float, *, age: int) -> "Width":
        """After a batch was taken by the destination; `age` is that of the width when the batch began."""
        if age != self.age:
            return self
        had = self.sample
        sample = Sample(had.batches + 1, had.size + size, had.seconds + seconds)
        if sample.batches < ROUNDS * self.value or sample.seconds < LEAST_S * self.value:
            return replace(self, sample=sample)
        return replace(self, sample=Sample())._judged(self.value * sample.size / sample.seconds)

    def starved(self) -> "Width":
        """A worker found nothing to do: what was measured says nothing of the link."""
        return replace(self, sample=Sample())

    def pushed_back(self, *, age: int) -> "Width":
        """After the peer asked for less; answers to what began before the last change tell nothing new."""
        if age != self.age:
            return self
        return self._settled(max(1, self.value // 2), None)

    def _judged(self, goodput: float) -> "Width":
        if self.before is not None:
            return self._tried(goodput, *self.before)
        if self.expected is not None and goodput < self.expected * (1 - SLOWER) and self.value > 1:
            return self._try(self._fewer(), goodput) if self.slowed else replace(self, slowed=True)
        if self.patience == 0 and self.value < self.most:
            return self._try(self._more(), goodput)
        expected = goodput if self.expected is None else self.expected + (goodput - self.expected) / _STEADY
        return replace(self, expected=expected, patience=max(0, self.patience - 1), slowed=False)

    def _tried(self, goodput: float, other: int, others: float) -> "Width":
        """Keep the number that was on trial and go on, or go back to the other."""
        share = (self.value - other) / other
        if goodput < others * (1 + share * (HELPS if share > 0 else KEEPS)):
            return self._settled(other, others)
        following = self._more() if share > 0 else self._fewer()
        if following == self.value:
            return self._settled(self.value, goodput)
        return self._try(following, goodput)

    def _try(self, value: int, goodput: float) -> "Width":
        return Width(self.most, value, self.age + 1, before=(self.value, goodput))

    def _settled(self, value: int, expected: float | None) -> "Width":
        age = self.age + (value != self.value)
        return Width(self.most, value, age, expected=expected, patience=PATIENCE)

    def _more(self) -> int:
        return min(self.most, self.value + self._step)

    def _fewer(self) -> int:
        return max(1, self.value - self._step)

    @property
    def _step(self) -> int:
        """One, or of many a quarter: less would not be seen."""
        return max(1, self.value // 4)
