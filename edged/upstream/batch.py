"""Choosing what goes into one request: oldest first, one study a request, studies in turn, never a note's hermit.

Pure: rows of the queue and the notebook in, a batch out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from edged.store.waiting import Waiting
from edged.upstream.batch_size import BatchSize
from edged.upstream.notes import Notebook
from edged.upstream.stow import Form

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


def choose_batch(
    rows: Sequence[Waiting], notebook: Notebook, size: BatchSize, *, last_study: str | None
) -> list[Waiting]:
    """Return the next batch from rows that may be tried now, in queue order; empty when there are none.

    A study does not go twice in a row while another one waits, so that a long one holds no other up.
    """
    first = next((row for row in rows if row.study != last_study), rows[0] if rows else None)
    if first is None:
        return []
    if _alone(first, notebook):
        return [first]
    batch, total = [first], first.size + PART_BYTES
    for row in rows:
        if row.study != first.study or row.number == first.number or _alone(row, notebook):
            continue
        total += row.size + PART_BYTES
        if not size.fits(len(batch) + 1, total):
            break
        batch.append(row)
    return batch


def _alone(row: Waiting, notebook: Notebook) -> bool:
    """Whether an instance goes by itself: a note says so, or it has to be asked for first."""
    note = notebook.of(row.number)
    return note.alone or (row.ask_first and not note.asked)


def choose_probe(rows: Sequence[Waiting], last_probed: int) -> list[Waiting]:
    """Return one instance to try a held destination with: the next after the last one tried, in turn."""
    later = [row for row in rows if row.number > last_probed]
    return (later or list(rows))[:1]
