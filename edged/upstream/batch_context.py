"""What the verdict table needs to know of a batch before the answer comes: settings, and what earlier tries told.

Pure: notes and settings in, a context out. A credential that was refused has been renewed by then, where that was
possible (`asking`), so that a 401 is what it says.
"""

from edged.upstream.batch import Batch
from edged.upstream.destination import Destination
from edged.upstream.verdict_values import Context, Kind


def context_of(batch: Batch, destination: Destination, *, url: str) -> Context:
    """Return the context of a batch at a destination whose service is at `url`."""
    notebook, settings = destination.notebook, destination.settings
    return Context(
        histories={uid: notebook.history(number) for uid, number in batch.numbers.items()},
        overrides={code: Kind(verdict.value) for code, verdict in settings.reasons.items()},
        url=url,
        refreshed=True,
        batch_failures=max(notebook.of(number).failures for number in batch.numbers.values()),
    )
