"""Events as `edged watch` writes them: a line for a person, or an object for a program.

Pure. The time is that of the report's first event; where it does not say so, that of its arrival here. What a server
says in words is shown without control characters, for it goes to a terminal.
"""

from collections.abc import Sequence

from msgspec import Struct, field

from edged.cli.figures import clock_text, counted
from edged.dicom.reasons import reason_text
from edged.dicomweb.commitment_report import CommitmentResult, read_commitment_result
from edged.dicomweb.event_reading import EventReport, ReportedInstance
from edged.dicomweb.event_report import EventKind
from edged.upstream.following_values import Followed
from edged.upstream.verdict_values import one_line

_WIDTH = max(map(len, EventKind))
_AT = {EventKind.SENT: "to", EventKind.COMMITTED: "by"}


class InstanceLine(Struct, frozen=True, kw_only=True):
    """An instance that an event is about."""

    series: str
    sop_class: str
    instance: str
    availability: str
    retrieve_url: str


class CommitmentLine(Struct, frozen=True, kw_only=True):
    """An instance of a storage commitment result; `reason` of one that is not committed, null where none is given."""

    sop_class: str
    instance: str
    reason: int | None = None


class EventLine(Struct, frozen=True, kw_only=True):
    """One line of `--json`; what a report does not say is null or empty.

    `time` in seconds since 1970-01-01 UTC, of the first event, else of the arrival here. `missing`: the numbers before
    it, first and last, that no report has told.
    """

    time: float
    kind: str | None
    first: int | None
    last: int | None
    resume: int | None
    subject: str
    text: str
    study: str
    transaction: str
    instances: list[InstanceLine]
    committed: list[CommitmentLine] = field(default_factory=list)
    failed: list[CommitmentLine] = field(default_factory=list)
    missing: tuple[int, int] | None = None


def lines_of(followed: Followed, wall: float) -> list[str]:
    """Return what a person reads of a report that came at `wall`, in seconds of the epoch."""
    report = followed.report
    lines = [] if followed.missing is None else [_line(wall, EventKind.GAP, f"never came: {_range(*followed.missing)}")]
    return [*lines, _line(_moment(report, wall), report.kind, _what(followed))]


def object_of(followed: Followed, wall: float) -> EventLine:
    """Return what a program reads of it."""
    report, result = followed.report, _result(followed)
    return EventLine(
        time=_moment(report, wall),
        kind=report.kind,
        first=report.first,
        last=report.last,
        resume=report.resume,
        subject=report.subject,
        text=report.text,
        study=report.study_instance_uid,
        transaction=report.transaction_uid,
        instances=[_instance(each) for each in report.instances],
        committed=[CommitmentLine(sop_class=pair[0], instance=pair[1]) for pair in sorted(result.committed)],
        failed=[
            CommitmentLine(sop_class=pair[0], instance=pair[1], reason=reason)
            for pair, reason in sorted(result.failed.items())
        ],
        missing=followed.missing,
    )


def _moment(report: EventReport, wall: float) -> float:
    return wall if report.time is None else report.time


def _line(wall: float, kind: EventKind | None, what: str) -> str:
    return f"{clock_text(wall)}  {kind or 'unknown':<{_WIDTH}}  {what}"


def _what(followed: Followed) -> str:
    report = followed.report
    match report.kind:
        case None:
            return "an event that this version does not know"
        case EventKind.COMMITMENT_RESULT:
            return _commitment(report, _result(followed))
        case EventKind.GAP:
            return f"not kept any more: {_range(report.first or 0, report.last or 0)}"
        case _:
            return one_line(" ".join(filter(None, (_about(report), _where(report)))) + _because(report))


def _about(report: EventReport) -> str:
    instances = report.instances
    if not report.study_instance_uid:
        return ""
    if not instances:
        return f"study {report.study_instance_uid}"
    return f"{_instances(instances)} of study {report.study_instance_uid}"


def _instances(instances: Sequence[ReportedInstance]) -> str:
    if len(instances) == 1:
        return f"instance {instances[0].sop_instance_uid}"
    series = len({each.series_instance_uid for each in instances})
    return f"{len(instances):,} instances in {series:,} series" if series > 1 else f"{len(instances):,} instances"


def _where(report: EventReport) -> str:
    if not report.subject or not report.study_instance_uid:
        return report.subject
    return f"{_AT.get(report.kind, 'at') if report.kind else 'at'} {report.subject}"


def _because(report: EventReport) -> str:
    """Of what was received the text says by which way it came."""
    colon = " by" if report.kind is EventKind.RECEIVED else ":"
    return f"{colon} {report.text}" if report.text else ""


def _commitment(report: EventReport, result: CommitmentResult) -> str:
    reasons: dict[int | None, int] = {}
    for reason in result.failed.values():
        reasons[reason] = reasons.get(reason, 0) + 1
    parts = [f"{len(result.committed):,} committed"] if result.committed else []
    parts += [f"{count:,} not ({_reason(reason)})" for reason, count in reasons.items()]
    return one_line(f"transaction {report.transaction_uid}: {', '.join(parts) or counted(0, 'instance')}")


def _reason(reason: int | None) -> str:
    return "without a reason" if reason is None else reason_text(reason)


def _result(followed: Followed) -> CommitmentResult:
    nothing = CommitmentResult(frozenset(), {})
    if followed.report.kind is not EventKind.COMMITMENT_RESULT:
        return nothing
    message = followed.message
    return read_commitment_result(message.encode() if isinstance(message, str) else message, None) or nothing


def _instance(each: ReportedInstance) -> InstanceLine:
    return InstanceLine(
        series=each.series_instance_uid,
        sop_class=each.sop_class_uid,
        instance=each.sop_instance_uid,
        availability=each.availability,
        retrieve_url=each.retrieve_url,
    )


def _range(first: int, last: int) -> str:
    return f"event {first}" if first == last else f"events {first} to {last}"
