"""The rules that the rows of the status table name: what one kind of answer means for what the body left open.

Each rule takes the case and its row and gives a ruling; it reads nothing else. The rules know batches only as
"one instance" or "several": a refusal of several is never held against one of them.

Invariants: no rule says "sent"; a rule parks only a single instance, only by a permanent answer, and only after
the destination accepted another one; every other refusal holds the destination or waits.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from edged.dicom.reasons import FailureReason
from edged.upstream.redirect import absolute, host_of, same_origin_target
from edged.upstream.verdict_reasons import doubt, judge
from edged.upstream.verdict_values import (
    REPEATS,
    Answer,
    ConditionName,
    Context,
    DestinationVerdict,
    History,
    Kind,
    Ruling,
    Standing,
    Verdict,
)


@dataclass(frozen=True, slots=True)
class Case:
    """An answer whose body leaves instances open; history is the single instance's, or the batch's in sum."""

    answer: Answer
    single: bool
    history: History
    context: Context

    @property
    def others_pass(self) -> bool:
        """Another instance was accepted since this one was last refused."""
        return self.history.others_accepted


@dataclass(frozen=True, slots=True)
class StatusRow:
    """One row of the status table, with the words that are published and the facts its rule needs."""

    statuses: tuple[int, ...]
    rule: "Rule"
    verdict: str
    why: str
    label: str = ""  # where the list of statuses would not read well
    hint: str = ""
    reason: FailureReason | None = None
    condition: ConditionName = ConditionName.MISCONFIGURED


Rule = Callable[[Case, StatusRow], Ruling]


def no_evidence(case: Case, row: StatusRow) -> Ruling:
    """A success that names nobody: look whether it is there."""
    text = f"{case.answer.summary}: the answer does not name the instance"
    return Ruling(Verdict(Kind.VERIFY, text=text), DestinationVerdict(Standing.OK))


def refused(case: Case, row: StatusRow) -> Ruling:
    """A refusal of the request's content: split; alone it is parked once another instance has passed."""
    return _blamed(case, row, Kind.SPLIT)


def too_large(case: Case, row: StatusRow) -> Ruling:
    """A refusal of the request's size: halve; alone it is parked once another instance has passed."""
    return _blamed(case, row, Kind.HALVE)


def later(case: Case, row: StatusRow) -> Ruling:
    """A transient fault: a batch that fails twice is split, one that fails while others pass goes alone."""
    return _failed(case, Kind.SPLIT if case.context.batch_failures else Kind.PENDING)


def timed_out(case: Case, row: StatusRow) -> Ruling:
    """A time-out on the way: as any transient fault, but a batch is halved."""
    return _failed(case, Kind.HALVE)


def not_now(case: Case, row: StatusRow) -> Ruling:
    """The destination speaks of itself: everything waits."""
    return Ruling(_pending(case), _later(case))


def unauthorized(case: Case, row: StatusRow) -> Ruling:
    """A refused credential, refreshed by then (`asking`): an authentication fault that keeps probing."""
    fault = _hold(case, ConditionName.AUTH_FAULT, row.hint, standing=Standing.AUTH_FAULT)
    return Ruling(_pending(case), fault)


def proxy_unauthorized(case: Case, row: StatusRow) -> Ruling:
    """The proxy on the way refuses the credential."""
    fault = _hold(case, ConditionName.PROXY_AUTH_FAULT, row.hint, standing=Standing.PROXY_AUTH_FAULT)
    return Ruling(_pending(case), fault)


def forbidden(case: Case, row: StatusRow) -> Ruling:
    """A refusal that may mean the destination or one body: whether another instance passes decides."""
    probe = _hold(case, ConditionName.REFUSED, row.hint, standing=Standing.PROBE_OTHER)
    fine = DestinationVerdict(Standing.OK, case.answer.retry_after_s)
    if not case.single:
        return Ruling(_said(case, Kind.SPLIT), fine) if case.others_pass else Ruling(_pending(case), probe)
    if case.others_pass or case.context.search_passed:
        doubtful = doubt(_said(case, Kind.DOUBTFUL), case.history)
        return Ruling(doubtful, fine if case.others_pass else probe)
    return Ruling(_pending(case), probe)


def hold(case: Case, row: StatusRow) -> Ruling:
    """An answer that only a change of the settings can cure, or that nobody foresaw."""
    url = absolute(case.context.url, case.answer.location) if row.condition is ConditionName.MOVED else ""
    hint = f"{row.hint}; it names {host_of(url)}" if url else row.hint
    return Ruling(_pending(case), _hold(case, row.condition, hint))


def not_acceptable(case: Case, row: StatusRow) -> Ruling:
    """The form of the answer is refused: once more with the other one, then as any refused setting."""
    if case.context.tried_other_accept:
        return hold(case, row)
    return Ruling(_pending(case), DestinationVerdict(Standing.OTHER_ACCEPT, text=case.answer.summary))


def follow(case: Case, row: StatusRow) -> Ruling:
    """A redirect that keeps the method: followed within the same scheme and host, a few times."""
    target = same_origin_target(case.context.url, case.answer.location)
    if not target or case.context.repeated >= REPEATS:
        return hold(case, row)
    verdict = DestinationVerdict(Standing.FOLLOW, location=target, text=case.answer.summary)
    return Ruling(_pending(case), verdict)


def misdirected(case: Case, row: StatusRow) -> Ruling:
    """The connection is the wrong one for this host: another one, then later."""
    if case.context.repeated >= REPEATS:
        return not_now(case, row)
    return Ruling(_pending(case), DestinationVerdict(Standing.NEW_CONNECTION, text=case.answer.summary))


def _blamed(case: Case, row: StatusRow, several: Kind) -> Ruling:
    if not case.single:
        return Ruling(_said(case, several), DestinationVerdict(Standing.OK, case.answer.retry_after_s))
    verdict = _said(case, Kind.PARK)
    if row.reason is not None:
        verdict = replace(judge(row.reason, case.history, case.context), text=case.answer.summary)
    if verdict.kind is Kind.PARK and not case.others_pass:
        return Ruling(_pending(case), _hold(case, ConditionName.REFUSES_ALL, row.hint))
    return Ruling(verdict, DestinationVerdict(Standing.OK, case.answer.retry_after_s))


def _failed(case: Case, several: Kind) -> Ruling:
    if not case.single:
        return Ruling(_said(case, several), _later(case))
    if case.others_pass and case.answer.retry_after_s is None:
        return Ruling(doubt(_said(case, Kind.DOUBTFUL), case.history), DestinationVerdict(Standing.OK))
    return Ruling(_pending(case), _later(case))


def _pending(case: Case) -> Verdict:
    return _said(case, Kind.PENDING)


def _said(case: Case, kind: Kind) -> Verdict:
    return Verdict(kind, text=case.answer.summary)


def _later(case: Case) -> DestinationVerdict:
    return DestinationVerdict(Standing.LATER, case.answer.retry_after_s, text=case.answer.summary)


def _hold(case: Case, condition: ConditionName, hint: str, *, standing: Standing = Standing.HOLD) -> DestinationVerdict:
    return DestinationVerdict(
        standing, case.answer.retry_after_s, condition=condition, hint=hint, text=case.answer.summary
    )
