"""The figures of a run as a table: rows with both sides, medians of the repetitions, ratios, verdicts.

A row is one load in one unit. A target is judged on the medians; one that needs a side that was not run is left open.
The table is Markdown, so that it can stand in docs/performance.md as it was printed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from tests.bench.sides import Side

_HEADS = ("load", "unit", "edged", "Orthanc", "ratio", "CPU s/GB", "of Orthanc", "peak MiB", "of Orthanc", "target")
_TEXTS = {"load", "unit", "target"}


@dataclass(frozen=True, slots=True)
class Figure:
    """What one repetition gave: the value in the row's unit, CPU seconds per GB, peak anonymous MiB."""

    value: float
    cpu_s_per_gb: float | None = None
    peak_mib: float | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """What a row must reach: `measure` gives the figure, None when it was not measured."""

    name: str
    measure: Callable[["Row"], float | None]
    limit: float
    at_least: bool = True

    def judge(self, row: "Row") -> bool | None:
        """Whether the row reaches it; None when it cannot be said."""
        found = self.measure(row)
        if found is None:
            return None
        return found >= self.limit if self.at_least else found <= self.limit


@dataclass(frozen=True, slots=True)
class Row:
    """One load: what each repetition gave on each side."""

    name: str
    unit: str
    figures: Mapping[Side, Sequence[Figure]]
    targets: Sequence[Target] = ()

    def median(self, side: Side) -> Figure | None:
        """The medians of one side, each figure by itself."""
        figures = self.figures.get(side)
        if not figures:
            return None
        return Figure(
            median(each.value for each in figures),
            _median_of([each.cpu_s_per_gb for each in figures]),
            _median_of([each.peak_mib for each in figures]),
        )

    @property
    def is_missed(self) -> bool:
        """Whether a target was missed."""
        return any(target.judge(self) is False for target in self.targets)

    def verdict(self) -> str:
        """`met`, or what was missed; nothing when there is no target that can be judged."""
        judged = [(target, target.judge(self)) for target in self.targets]
        missed = [target for target, reached in judged if reached is False]
        if missed:
            return "NOT MET: " + ", ".join(f"{each.name} {_number(each.measure(self))}" for each in missed)
        return "met" if any(reached for _, reached in judged) else ""


def value_ratio(row: Row) -> float | None:
    """How many times Orthanc's value edged's is."""
    ours, theirs = row.median(Side.EDGED), row.median(Side.ORTHANC)
    return ours.value / theirs.value if ours and theirs and theirs.value else None


def cpu_ratio(row: Row) -> float | None:
    """The part of Orthanc's CPU seconds per GB that edged needs."""
    ours, theirs = row.median(Side.EDGED), row.median(Side.ORTHANC)
    if not ours or not theirs or ours.cpu_s_per_gb is None or not theirs.cpu_s_per_gb:
        return None
    return ours.cpu_s_per_gb / theirs.cpu_s_per_gb


def peak_mib(row: Row) -> float | None:
    """edged's peak anonymous memory, in MiB."""
    ours = row.median(Side.EDGED)
    return ours.peak_mib if ours else None


def value(row: Row) -> float | None:
    """edged's own value."""
    ours = row.median(Side.EDGED)
    return ours.value if ours else None


def table(rows: Sequence[Row]) -> str:
    """Write rows as a Markdown table, without the columns that are empty in every row."""
    written = [_cells(row) for row in rows]
    kept = [number for number in range(len(_HEADS)) if any(cells[number] for cells in written)]
    rule = tuple("---" if head in _TEXTS else "--:" for head in _HEADS)
    return "\n".join(f"| {' | '.join(cells[number] for number in kept)} |" for cells in (_HEADS, rule, *written))


def to_json(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Every repetition of every row, for a program."""
    return [
        {
            "load": row.name,
            "unit": row.unit,
            "verdict": row.verdict(),
            "figures": {
                side.value: [
                    {"value": each.value, "cpu_s_per_gb": each.cpu_s_per_gb, "peak_mib": each.peak_mib}
                    for each in figures
                ]
                for side, figures in row.figures.items()
            },
        }
        for row in rows
    ]


def _cells(row: Row) -> tuple[str, ...]:
    ours, theirs = row.median(Side.EDGED) or Figure(-1), row.median(Side.ORTHANC) or Figure(-1)
    pairs = [(ours.value, theirs.value), (ours.cpu_s_per_gb, theirs.cpu_s_per_gb), (ours.peak_mib, theirs.peak_mib)]
    (value_a, value_b), (cpu_a, cpu_b), (peak_a, peak_b) = [(_number(a), _number(b)) for a, b in pairs]
    return (
        row.name,
        row.unit,
        value_a,
        value_b,
        _number(value_ratio(row)),
        cpu_a,
        cpu_b,
        peak_a,
        peak_b,
        row.verdict(),
    )


def _median_of(values: Sequence[float | None]) -> float | None:
    known = [each for each in values if each is not None]
    return median(known) if known else None


def _number(found: float | None) -> str:
    if found is None or found < 0:
        return ""
    return f"{found:.0f}" if found >= 100 else f"{found:.1f}" if found >= 10 else f"{found:.2f}"
