"""What each status leads to where the box is a user agent, as tables for docs/conformance.md.

The rows of the store and of the storage commitment are the program's; for a look, a search and a repair every status is
tried out. In each table every status of the template is named.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache

import trio

from edged.upstream.commitment_values import Commitment
from edged.upstream.commitment_verdicts import REASON_TABLE, commitment_rows
from edged.upstream.verdict_status import status_rows
from tests.support.tried_answers import Tried, try_all

TEMPLATE = (
    *(200, 201, 202, 203, 204, 205, 206, 301, 303, 304, 400, 401, 403, 404, 405, 406, 409, 410, 411, 413, 414, 415),
    *(500, 501, 503, 505),
)
"""The status codes that the template has rows for. Source: PS3.2 Table N.7-89."""

_OF_A_REASON = {
    Commitment.RESEND: "Looked for; sent again if it is not to be seen (Visibility).",
    Commitment.LATER: "Asked again later.",
    Commitment.PARK: "Set aside for a person, while others are committed to; otherwise asked again later.",
    Commitment.NEW_UID: "Asked again under a new Transaction UID, first at once; three in a row: `commitment-refused`.",
}


@lru_cache(maxsize=1)
def _tried() -> dict[int, Tried]:
    return trio.run(try_all)


def store() -> str:
    """What the answers to a store request lead to."""
    return _table("Status", "Behaviour", rows=_with_the_others((row.condition, row.verdict) for row in status_rows()))


def retrieve() -> str:
    """What the answers to a retrieve lead to: of metadata, of an instance."""
    cells = {status: (each.metadata, each.instance) for status, each in _tried().items()}
    return _table("Status", "Instance Metadata", "Instance", rows=_grouped(cells))


def search() -> str:
    """What the answers to a search lead to: for an instance, for a series, for nothing."""
    cells = {status: (each.search, each.series, each.probe) for status, each in _tried().items()}
    return _table("Status", "For an instance", "For those of a series", "Probe", rows=_grouped(cells))


def request() -> str:
    """What the answers to a storage commitment request lead to."""
    return _commitment("POST")


def result_check() -> str:
    """What the answers to a check for the result of one lead to."""
    return _commitment("GET")


def reasons() -> str:
    """What each Failure Reason of a storage commitment result leads to."""
    rows = [(f"{int(code):04X}H ({int(code)})", _OF_A_REASON[kind]) for code, kind in REASON_TABLE.items()]
    return _table("Failure Reason", "Behaviour", rows=[*rows, ("any other, or none", _OF_A_REASON[Commitment.LATER])])


def _commitment(method: str) -> str:
    told = [(row.condition, row.verdict) for row in commitment_rows()]
    rows = [(label.removeprefix(f"{method} "), verdict) for label, verdict in told if label.startswith(f"{method} ")]
    [silence] = [verdict for label, verdict in told if label.startswith("no answer")]
    return _table("Status", "Behaviour", rows=[*_with_the_others(rows), ("no answer", silence)])


def _grouped(cells: Mapping[int, tuple[str, ...]]) -> list[tuple[str, ...]]:
    """A row for each group of statuses that lead to the same; the largest one are "any other"."""
    groups: dict[tuple[str, ...], list[int]] = {}
    for status, cell in cells.items():
        if status:
            groups.setdefault(cell, []).append(status)
    largest = max(groups, key=lambda cell: len(groups[cell]))
    named = [(_listed(statuses), *cell) for cell, statuses in groups.items() if cell != largest]
    others = [status for status in groups[largest] if status in TEMPLATE]
    return [*named, (f"{_listed(others)}, any other", *largest), ("no answer", *cells[0])]


def _with_the_others(rows: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The rows of a table, in whose last one the template's statuses are named that stand in no other."""
    *named, (label, verdict) = rows
    heads = " ".join(head for head, _ in named)
    others = [status for status in TEMPLATE if str(status) not in heads and f"{status // 100}xx" not in heads]
    return [*named, (", ".join([*map(str, others), label]), verdict)]


def _listed(statuses: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(statuses)))


def _table(*columns: str, rows: Iterable[Sequence[str]]) -> str:
    lines = [" | ".join(columns), "|".join(["---"] * len(columns)), *(" | ".join(row) for row in rows)]
    return "".join(f"|{line}|\n" if line.startswith("---") else f"| {line} |\n" for line in lines)


TABLES: dict[str, Callable[[], str]] = {
    "Retrieve, user agent": retrieve,
    "Store, user agent": store,
    "Search, user agent": search,
    "Request, user agent": request,
    "Result check, user agent": result_check,
    "Failure Reasons of a result, user agent": reasons,
}
"""Heading, without its number, and table."""
