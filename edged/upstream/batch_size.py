"""How much to send in one request: the size that takes batch_seconds, learned from what was measured.

Two limits, instances and bytes, because an uplink counts bytes and an archive counts instances. Both follow the
measured seconds: quickly down, at most doubling up. A refusal for size (413, a proxy's time-out) halves both and
is remembered: growth goes in small steps below the refused size, which is tried again only after PATIENCE batches.

Invariants: limits stay between one and the greatest; one instance alone always fits, however large.
"""

from dataclasses import dataclass, replace

PATIENCE = 64  # full batches that must pass before a refused size is tried again
_SLOWLY = 8  # growth below a refused size is by an eighth
_INSTANTLY_S = 1e-3  # a shorter measurement says nothing more


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """What the settings say: the seconds to aim at and the greatest batch."""

    seconds: float = 5.0
    max_instances: int = 500
    max_bytes: int = 512 * 1024 * 1024

    def __post_init__(self) -> None:
        if not (self.seconds > 0 and self.max_instances >= 1 and self.max_bytes >= 1):
            raise ValueError("a batch takes some time and holds at least one instance and one byte")


@dataclass(frozen=True, slots=True)
class Limit:
    """One learned limit, in instances or bytes; below is the size that was refused, if one is remembered."""

    value: int
    greatest: int
    below: int | None = None
    passed: int = 0

    def measured(self, used: int, ratio: float) -> "Limit":
        """After a batch of this size that took 1/ratio of the time to aim at."""
        fitting = int(used * ratio)
        if ratio < 1:
            return self._at(min(self.value, max(fitting, self.value // 2)))
        if used * 2 <= self.value:
            return self  # too small a batch to tell
        step = self.value if self.below is None else max(self.value // _SLOWLY, 1)
        return self._at(max(self.value, min(fitting, self.value + step)))._passed()

    def refused(self, used: int) -> "Limit":
        """After a refusal of a batch of this size: half of it, and below it for a long while."""
        below = used if self.below is None else min(used, self.below)
        return replace(self, value=max(min(used, self.value) // 2, 1), below=below, passed=0)

    def _at(self, value: int) -> "Limit":
        top = self.greatest if self.below is None else min(self.greatest, self.below - 1)
        return replace(self, value=max(min(value, top), 1))

    def _passed(self) -> "Limit":
        if self.below is None:
            return self
        if self.passed + 1 >= PATIENCE:
            return replace(self, below=None, passed=0)
        return replace(self, passed=self.passed + 1)


@dataclass(frozen=True, slots=True)
class BatchSize:
    """The learned size of a destination's batches."""

    seconds: float
    instances: Limit
    size_bytes: Limit

    @classmethod
    def first(cls, limits: BatchLimits) -> "BatchSize":
        """Before anything was measured: small, so that the first answer comes soon."""
        return cls(
            limits.seconds,
            Limit(min(8, limits.max_instances), limits.max_instances),
            Limit(min(8 * 1024 * 1024, limits.max_bytes), limits.max_bytes),
        )

    def fits(self, instances: int, size_bytes: int) -> bool:
        """Whether one request may hold so much; a single instance always may."""
        return instances <= 1 or (instances <= self.instances.value and size_bytes <= self.size_bytes.value)

    def measured(self, instances: int, size_bytes: int, seconds: float) -> "BatchSize":
        """After a batch was answered in so many seconds."""
        ratio = self.seconds / max(seconds, _INSTANTLY_S)
        return replace(
            self,
            instances=self.instances.measured(instances, ratio),
            size_bytes=self.size_bytes.measured(size_bytes, ratio),
        )

    def refused(self, instances: int, size_bytes: int) -> "BatchSize":
        """After 413 or a time-out on the way; one instance alone teaches nothing about batches."""
        if instances <= 1:
            return self
        return replace(
            self,
            instances=self.instances.refused(instances),
            size_bytes=self.size_bytes.refused(size_bytes),
        )
