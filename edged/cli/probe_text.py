"""What a probe found, as a person reads it: one line for each step, what to do below the one that failed.

Pure: what a probe reports in, renderables out. What stands in a report is shown as it is: it holds no secret.
"""

from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from edged.services.probing import Outcome, Probed, Report, Step

_SHOWN = {
    Outcome.OK: ("ok", "green"),
    Outcome.NOTED: ("note", "yellow"),
    Outcome.FAILED: ("FAILED", "bold red"),
    Outcome.NOT_TRIED: ("not tried", "dim"),
}


def report_of(report: Report) -> Iterator[RenderableType]:
    """Yield what was found, destination by destination."""
    if not report.probes:
        yield Text("there is no destination in the settings", "yellow")
    for number, probed in enumerate(report.probes):
        if number:
            yield Text()
        yield Text.assemble((probed.destination, "bold"), f"  {probed.url}")
        yield _steps(probed)


def _steps(probed: Probed) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column()
    table.add_column(justify="right")
    table.add_column()
    for step in probed.steps:
        shown, style = _SHOWN[step.outcome]
        table.add_row(Text(shown, style), step.name.value, _time(step), Text("\n".join(_lines(step))))
    return table


def _lines(step: Step) -> Iterator[str]:
    phase = f" ({step.phase})" if step.phase is not None and step.phase != step.name.value else ""
    yield step.text + phase
    yield from (f"  {each}" for each in step.details)
    if step.remedy is not None:
        yield f"  what to do: {step.remedy}"


def _time(step: Step) -> str:
    return "" if step.seconds is None else f"{step.seconds * 1000:,.0f} ms"
