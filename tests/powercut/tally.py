"""What was looked at and what was wrong: states, tallies of them, and how a tally is told."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class State:
    """A place in the log, and the number that decides what the cut keeps."""

    place: int
    number: int


@dataclass(frozen=True, slots=True)
class Failure:
    """What was wrong with one state."""

    state: State
    cut: str
    problems: tuple[str, ...]


@dataclass(slots=True)
class Tally:
    """What was looked at; `signatures` are those of the one recording that is not yet finished.

    Of the `states`, `distinct` leave different disks; `snapshots` were read from beginning to end, and the others were
    opened and proven to hold one of these.
    """

    states: int = 0
    distinct: int = 0
    snapshots: int = 0
    restarted: int = 0
    signatures: set[bytes] = field(default_factory=set)
    styles: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """Take another tally in, of the same recording if both have signatures."""
        self.states += other.states
        self.distinct += other.distinct
        self.snapshots += other.snapshots
        self.restarted += other.restarted
        self.signatures |= other.signatures
        self.styles += other.styles
        self.failures += other.failures

    def finish_recording(self) -> None:
        """Count the signatures and let go of them: no other recording has the same."""
        self.distinct += len(self.signatures)
        self.signatures.clear()

    def told(self, seconds: float) -> str:
        """Return a line that says it all but for the styles."""
        return (
            f"{self.states} states, {self.distinct + len(self.signatures)} distinct, {self.snapshots} snapshots, "
            f"{self.restarted} restarted, {len(self.failures)} bad, {seconds:.0f} s, "
            f"{self.states / seconds:.0f} states/s"
        )

    def styles_told(self) -> str:
        """Return how many states each style has."""
        return ", ".join(f"{count} {style}" for style, count in sorted(self.styles.items()))
