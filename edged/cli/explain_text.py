"""What is known of an instance or a study, as a person reads it: how it stands and what comes next, then what happened.

Pure: what the daemon explains in, renderables out. Times of the past are local, with the date; what comes is a span.
"""

import time
from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from edged.cli.figures import counted, size_text, span_text
from edged.services.explain_values import At, Evicted, Explained, Explanation, Life, Moment, StudyExplained, Uncommitted
from edged.store.records import Happened

_STATES = ("committed", "sent", "pending", "on_hold", "stuck", "parked")


def explanation(found: Explanation) -> Iterator[RenderableType]:
    """Yield what is known."""
    if isinstance(found, StudyExplained):
        yield from _study(found)
        return
    for life in found.instances:
        yield from _life(life, found.time)
        yield Text()
    if found.untold:
        yield Text(f"and {counted(found.untold, 'conflict')} more under this UID\n")
    if found.evicted is not None:
        yield from _evicted(found, found.evicted)
        yield Text()
    yield Text("what happened", "bold")
    yield _moments(found)


def _life(life: Life, now: float) -> Iterator[RenderableType]:
    kind = f"{life.conflict}, another data set under" if life.conflict else "instance"
    yield Text.assemble((f"{kind} {life.sop_instance_uid}", "bold"), f"  {life.standing}")
    table = Table.grid(padding=(0, 2))
    table.add_row("  study", life.study_instance_uid)
    table.add_row("  series", life.series_instance_uid)
    table.add_row("  class", f"{life.sop_class_uid}, {size_text(life.size_bytes)} in {life.transfer_syntax_uid}")
    table.add_row("  received", Text(_origin(life)))
    for at in life.destinations:
        table.add_row(Text(f"  {at.destination}", "bold"), Text("\n".join(_at(at, now))))
    if life.requests:
        table.add_row("  asked of us", Text("\n".join(life.requests)))
    yield table
    if life.may_go:
        yield Text("  everything required is proven: it may be let go when its time or the room runs out")


def _origin(life: Life) -> str:
    sender = " ".join(filter(None, (life.sender, f"({life.address})" if life.address else "")))
    by_rule = f", rule {life.rule}" if life.rule else ""
    return f"{_date(life.received)} by {life.intake}" + (f" from {sender}" if sender else "") + by_rule


def _at(at: At, now: float) -> Iterator[str]:
    yield _standing(at, now)
    if at.sent is not None:
        batch = f", batch {at.batch}" if at.batch else ""
        yield f"sent {_date(at.sent)} ({at.evidence or 'stored'}){batch}"
    if at.transaction_uid:
        yield f"committed under Transaction UID {at.transaction_uid}"
    if at.doubted_since is not None:
        yield f"the commitment is doubted for {span_text(max(0.0, now - at.doubted_since))}"
    if why := ", ".join(filter(None, (at.reason, at.text, at.decided))):
        yield why
    if at.resends:
        yield f"sent again {counted(at.resends, 'time')}: it was not to be seen there"
    for asked in at.asked:
        since = span_text(max(0.0, now - asked.created))
        yield f"asked for {since} ago under Transaction UID {asked.transaction_uid}"
    if at.waits_for:
        soon = "" if at.next_try_s is None else f", next try in {span_text(at.next_try_s)}"
        yield f"waits for {at.waits_for}{soon}"


def _standing(at: At, now: float) -> str:
    words = ["committed" if at.committed else at.state.value if at.state else "not begun"]
    if at.proof and at.committed:
        words.append(f"by {at.proof}")
    if at.since is not None:
        words.append(f"for {span_text(max(0.0, now - at.since))}")
    notes = [*(["urgent"] if at.urgent else []), *([] if at.required else ["not required"])]
    notes += [] if at.configured else ["not in the settings"]
    return " ".join(words) + (f" ({', '.join(notes)})" if notes else "")


def _evicted(found: Explained, evicted: Evicted) -> Iterator[RenderableType]:
    """What is not here any more, and why it could go: proven, or discarded by a person."""
    discarded = not evicted.proofs and any(each.what == Happened.DISCARDED for each in found.moments)
    how = "discarded" if discarded else "let go"
    yield Text.assemble((f"instance {found.uid}", "bold"), f"  not here any more, {how} {_date(evicted.evicted)}")
    if evicted.committed is not None:
        proofs = ", ".join(f"{name} by {proof}" for name, proof in evicted.proofs.items())
        yield Text(
            f"  committed {_date(evicted.committed)}: {proofs}" if proofs else "  no destination had committed to it"
        )
    if evicted.lost:
        yield Text("  a destination was found not to have it any more", "bold red")


def _moments(found: Explained) -> Table:
    table = Table.grid(padding=(0, 2))
    for moment in found.moments:
        table.add_row(_date(moment.time), moment.what, Text(moment.destination or ""), Text(_said(moment)))
    return table


def _said(moment: Moment) -> str:
    status = f"HTTP {moment.status}" if moment.status else ""
    often = ""
    if moment.times > 1 and moment.until is not None:
        often = f"{moment.times} times until {_date(moment.until)}"
    batch = f"batch {moment.batch}" if moment.batch else ""
    return ", ".join(filter(None, (status, moment.reason, moment.text, batch, often)))


def _study(found: StudyExplained) -> Iterator[RenderableType]:
    kind = "study" if found.series_instance_uid is None else "series"
    yield Text.assemble((f"{kind} {found.uid}", "bold"))
    yield Text(f"  {counted(found.instances, 'instance')}, {size_text(found.size_bytes)}")
    if found.first_received is not None and found.last_received is not None:
        yield Text(f"  received from {_date(found.first_received)} to {_date(found.last_received)}")
    yield Text()
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("destination")
    for state in _STATES:
        table.add_column(state.replace("_", " "), justify="right")
    for each in found.destinations:
        table.add_row(Text(each.destination), *(f"{getattr(each, state):,}" for state in _STATES))
    yield table
    yield Text()
    yield from _uncommitted(found)


def _uncommitted(found: StudyExplained) -> Iterator[RenderableType]:
    if not found.uncommitted_total:
        yield Text("everything is committed", "green")
        return
    for each in found.uncommitted:
        yield _exception(each, found.time)
    shown = found.offset + len(found.uncommitted)
    if shown < found.uncommitted_total:
        yield Text(f"{found.uncommitted_total - shown:,} more: --offset {shown}", "dim")


def _exception(each: Uncommitted, now: float) -> Text:
    return Text("\n    ".join((f"{each.sop_instance_uid}  {each.at.destination}", *_at(each.at, now))))


def _date(wall_s: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(wall_s))
