"""What `edged demo` prints: a line for each thing that happens to an instance, a summary, and where to look further.

The lines are made from the box's event log, with the event's own time. On a terminal the kinds of events differ in
colour; elsewhere the text is plain.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click
from pydicom.uid import UID

from edged.app.demo import Demo
from edged.app.samples import Sample
from edged.cli.figures import clock_text, counted, size_text, span_text
from edged.dicomweb.event_report import EventKind
from edged.store.records import Event
from edged.upstream.send_values import FileResult, Outcome, Stop

_WORDS = {
    EventKind.RECEIVED: ("held", "yellow"),
    EventKind.SENT: ("sent", "cyan"),
    EventKind.COMMITTED: ("committed", "green"),
    EventKind.PARKED: ("parked", "red"),
}
_OF_THE_BOX = {
    EventKind.CONDITION_RAISED: ("condition", "red"),
    EventKind.CONDITION_CLEARED: ("cleared", "green"),
    EventKind.DESTINATION_DOWN: ("down", "red"),
    EventKind.DESTINATION_UP: ("up", "green"),
}


class DemoReport:
    """Tells what happens; a Watcher of the sender."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._demo: Demo | None = None
        self._samples: dict[str, Sample] = {}
        self._committed: set[str] = set()
        self._first_s: float | None = None
        self._last_s = 0.0

    @property
    def all_committed(self) -> bool:
        """Whether every sample is committed."""
        return bool(self._samples) and self._committed == self._samples.keys()

    def begin(self, demo: Demo, samples: Sequence[Sample]) -> None:
        """Say who is there and what is going to be sent."""
        self._demo = demo
        self._samples = {sample.sop_instance_uid: sample for sample in samples}
        click.echo(f"archive  {demo.archive.urls[0]}")
        click.echo(f"box      {demo.box.urls[0]}  forwards to the archive and asks it to commit")
        size = size_text(sum(sample.size for sample in samples))
        click.echo(f"sending  {counted(len(samples), 'real instance')} ({size}) to the box by STOW-RS\n")

    def happened(self, event: Event) -> None:
        """Tell an event of the box."""
        kind = EventKind(event.kind)
        sample = self._samples.get(event.sop_instance_uid)
        if kind in _OF_THE_BOX:
            self._line(event.time, _OF_THE_BOX[kind], f"{event.destination} {event.text}".rstrip())
        elif kind in _WORDS and sample is None:
            self._line(event.time, _WORDS[kind], event.sop_instance_uid)
        elif kind in _WORDS and sample is not None:
            what = f"{sample.modality:<8} {_syntax(sample):<34} {size_text(sample.size):>8}  {sample.path.name}"
            self._line(event.time, _WORDS[kind], what)
            self._first_s = event.time if self._first_s is None else self._first_s
            self._last_s = event.time
        if kind is EventKind.COMMITTED and sample is not None:
            self._committed.add(event.sop_instance_uid)

    def moved(self, size: int) -> None:
        """Take note of bytes on their way."""

    def paused(self, seconds: float, text: str) -> None:
        """Say that the sender waits."""
        click.echo(f"the sender waits {span_text(seconds)}: {text}")

    def told(self, result: FileResult) -> None:
        """Say what the box did not take."""
        if result.outcome is not Outcome.STORED:
            click.echo(f"{result.outcome} {result.path.name}: {result.text}")

    def sent(self, stop: Stop | None) -> None:
        """Say why not everything was sent."""
        if stop is not None:
            click.echo(f"the sender stopped: {stop.text}")

    def finish(self) -> None:
        """Sum up."""
        took = span_text(self._last_s - (self._first_s or self._last_s))
        done = [sample for uid, sample in self._samples.items() if uid in self._committed]
        click.echo(f"\n{len(done)} of {counted(len(self._samples), 'instance')} committed by the archive in {took}")
        modalities = Counter(sample.modality.replace("-", "without modality") for sample in done)
        click.echo("  " + ", ".join(f"{count} {name}" for name, count in modalities.most_common()))
        for name, count in Counter(map(_syntax, done)).most_common():
            click.echo(f"  {count:>3} {name}")
        missing = [sample.path.name for uid, sample in self._samples.items() if uid not in self._committed]
        if missing:
            click.echo(f"not committed in time: {', '.join(missing)}; `edged status` below says what holds them up")

    def invite(self) -> None:
        """Say where to look further."""
        if self._demo is None:
            return
        box, archive = self._demo.box, self._demo.archive
        uid = next(iter(self._samples.values())).sop_instance_uid
        click.echo("\nBoth go on running. In another terminal:")
        click.echo(f"  edged status --socket {box.settings.box.control}")
        click.echo(f"  edged send FILE_OR_FOLDER --to {box.urls[0]}")
        click.echo(f"  curl -X OPTIONS -H 'Accept: application/vnd.sun.wadl+xml' {box.urls[0]}/   # capabilities")
        click.echo(f"  curl -X OPTIONS -H 'Accept: application/json' {box.urls[0]}/   # with the box's state")
        click.echo(f"  curl -o file.dcm {archive.urls[0]}/admin/instances/{uid}/file   # one, from the archive")
        click.echo("Ctrl-C ends both and removes their stores.")

    def _line(self, wall_s: float, word: tuple[str, str], what: str) -> None:
        name, colour = word
        click.echo(f"{clock_text(wall_s)}  {click.style(f'{name:<9}', fg=colour)}  {what}")


def _syntax(sample: Sample) -> str:
    """The transfer syntax by its name, without what makes the names of PS3.6 long."""
    name = UID(sample.transfer_syntax_uid).name.replace(" Image Compression", "").replace("(Lossless Only)", "Lossless")
    return name.partition(" (")[0].partition(",")[0]
