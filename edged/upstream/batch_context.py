"""What the verdict table needs to know of a batch before the answer comes: settings, and what earlier tries told.

Pure: notes and settings in, a context out. A credential that was refused has been renewed by then, where that was
possible (`asking`), so that a 401 is what it says.
"""

from dataclasses import replace

from edged.config.choices import Transcode
from edged.upstream.batch import Batch
from edged.upstream.destination import Destination
from edged.upstream.leaving import may_transcode
from edged.upstream.notes import Notebook
from edged.upstream.stow import Form
from edged.upstream.verdict_values import Context, History, Kind


def context_of(batch: Batch, destination: Destination) -> Context:
    """Return the context of a batch at a destination."""
    notebook, settings = destination.notebook, destination.settings
    return Context(
        histories={form.instance.sop_instance_uid: _history(form, notebook) for form in batch.forms},
        overrides={code: Kind(verdict.value) for code, verdict in settings.reasons.items()},
        may_transcode=settings.transcode is Transcode.EXPLICIT,
        batch_failures=max(notebook.of(number).failures for number in batch.numbers.values()),
    )


def _history(form: Form, notebook: Notebook) -> History:
    known = notebook.history(form.number)
    return known if may_transcode(form.instance) else replace(known, transcoded=True)
