"""Choosing what goes into one request: oldest first, one study a request, urgent alone, never a note's hermit.

Pure: rows of the queue and the notebook in, a batch out.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from edged.store.waiting import Waiting
from edged.upstream.batch_size import BatchSize
from edged.upstream.notes import Notebook
from edged.upstream.stow import Form

F = TypeVar("F", bound=Form)

PART_BYTES = 128
"""What a part takes beside its instance: delimiter, head, line ends; more than it really is."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one request carries."""

    forms: tuple[Form, ...]
    urgent: bool = False

    @property
    def numbers(self) -> dict[str, int]:
        """The instance numbers by SOP Instance UID."""
        return {form.instance.sop_instance_uid: form.number for form in self.forms}

    @property
    def size(self) -> int:
        """Bytes of all instances."""
        return sum(form.length for form in self.forms)


def choose_batch(rows: Sequence[Waiting], notebook: Notebook, size: BatchSize) -> list[Waiting]:
    """Return the batch that begins with the first of the rows that may be tried now; empty when there are none.

    What is urgent does not wait for what is not, so the two never share a request.
    """
    if not rows or _alone(rows[0], notebook):
        return list(rows[:1])
    first = rows[0]
    batch, total = [first], first.size + PART_BYTES
    for row in rows[1:]:
        if (row.study, row.urgent) != (first.study, first.urgent) or _alone(row, notebook):
            continue
        total += row.size + PART_BYTES
        if not size.fits(len(batch) + 1, total):
            break
        batch.append(row)
    return batch


def first_of_each(forms: Iterable[F]) -> list[F]:
    """Return the forms without those whose SOP Instance UID goes already: an answer could not tell the two apart."""
    uids: dict[str, F] = {}
    for form in forms:
        uids.setdefault(form.instance.sop_instance_uid, form)
    return list(uids.values())


def _alone(row: Waiting, notebook: Notebook) -> bool:
    """Whether an instance goes by itself: a note says so, or it has to be asked for first."""
    note = notebook.of(row.number)
    return note.alone or (row.ask_first and not note.asked)


def choose_probe(rows: Sequence[Waiting], last_probed: int) -> list[Waiting]:
    """Return one instance to try a held destination with: the next number after the last one tried, in turn.

    By numbers alone: an urgent one that is refused must not be all that is ever tried.
    """
    return sorted(rows, key=lambda row: (row.number <= last_probed, row.number))[:1]
