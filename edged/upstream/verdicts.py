"""The verdict table: what one answer to a store request means for each instance and for the destination.

`decide` is the only way in. A well-formed Store Instances Response decides for every instance that it names,
whatever the HTTP status (verdict_reasons); the status decides only what the body leaves open (verdict_status);
no answer at all has rows of its own (verdict_silence). `rows` is the same table as published in the docs.

Invariants: a pure, total function; every instance of the batch gets exactly one verdict; only a report that
accepts an instance, all of which had left, makes it "sent"; a destination that has just accepted one is never held.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from edged.upstream.retry import retry_floor_s
from edged.upstream.verdict_reasons import doubt, judge, reason_rows
from edged.upstream.verdict_rules import Case
from edged.upstream.verdict_silence import SilentCase, rule_silence, silence_rows
from edged.upstream.verdict_status import NOT_NOW, rule_status, status_rows
from edged.upstream.verdict_values import (
    HELD,
    Answer,
    Context,
    Decision,
    DestinationVerdict,
    History,
    Kind,
    Report,
    Row,
    Ruling,
    Silence,
    Standing,
    Verdict,
)

_TRANSIENT = frozenset({Kind.LATER, Kind.DOUBTFUL})

_TOO_SOON = "it said stored before the last byte had left"

ACCEPTED_ROW = Row("in Referenced SOP Sequence", Kind.SENT, "the destination says that it stored this instance")

UNSENT_ROW = Row(
    "in Referenced SOP Sequence before its last byte had left",
    "doubtful: alone, ever more rarely; after five such answers while others pass stuck",
    "nobody can have stored what had not come",
)


def decide(heard: Answer | Silence, batch: Sequence[str], context: Context) -> Decision:
    """The verdicts on a batch of SOP Instance UIDs (DICOM.md 4).

    Raises ValueError for a batch that is empty or names an instance twice: a request never does.
    """
    if not batch or len(set(batch)) != len(batch):
        raise ValueError("a batch names at least one instance, and each only once")
    single = len(batch) == 1
    history = _history_of(batch, context)
    if isinstance(heard, Silence):
        ruling = rule_silence(SilentCase(heard, single, history, context))
        return Decision(dict.fromkeys(batch, ruling.instance), ruling.destination)
    named = _named(heard, batch, context)
    if len(named) == len(batch):
        return Decision(named, _standing(heard, named, context))
    ruling = rule_status(Case(heard, single, history, context))
    if _sent(named.values()):
        ruling = _softened(ruling)
    return Decision({uid: named.get(uid, ruling.instance) for uid in batch}, ruling.destination)


def rows() -> list[Row]:
    """The whole table as published: what the body names, what the status decides, what silence means."""
    return [ACCEPTED_ROW, UNSENT_ROW, *reason_rows(), *status_rows(), *silence_rows()]


def _named(answer: Answer, batch: Iterable[str], context: Context) -> dict[str, Verdict]:
    report = answer.report or Report()
    named: dict[str, Verdict] = {}
    for uid in batch:
        if uid in report.failed:
            verdict = judge(report.failed[uid], context.history(uid), context)
            named[uid] = _not_before(verdict, answer.retry_after_s)
        elif uid in report.accepted and uid in context.unsent:
            verdict = doubt(Verdict(Kind.DOUBTFUL, text=_TOO_SOON), context.history(uid))
            named[uid] = _not_before(verdict, answer.retry_after_s)
        elif uid in report.accepted:
            named[uid] = Verdict(Kind.SENT, warning=report.accepted[uid], text="stored")
    return named


def _not_before(verdict: Verdict, retry_after_s: float | None) -> Verdict:
    if retry_after_s is None or verdict.kind not in _TRANSIENT:
        return verdict
    return replace(verdict, after_s=retry_floor_s(retry_after_s))


def _standing(answer: Answer, named: Mapping[str, Verdict], context: Context) -> DestinationVerdict:
    """The destination's part when the body decides every instance: it waits when nothing but waiting helps."""
    transient = [verdict.kind in _TRANSIENT for verdict in named.values()]
    if _sent(named.values()) or not any(transient):
        return DestinationVerdict(Standing.OK)
    says_so = answer.retry_after_s is not None or answer.status in NOT_NOW
    others_pass = any(context.history(uid).others_accepted for uid in named)
    if says_so or (all(transient) and not others_pass):
        return DestinationVerdict(Standing.LATER, answer.retry_after_s, text=answer.summary)
    return DestinationVerdict(Standing.OK)


def _softened(ruling: Ruling) -> Ruling:
    """The ruling in an answer that also accepted an instance: it is not the destination's fault."""
    if ruling.destination.standing not in HELD:
        return ruling
    verdict = ruling.instance
    if verdict.kind is Kind.PENDING:
        verdict = replace(verdict, kind=Kind.LATER)
    return Ruling(verdict, DestinationVerdict(Standing.OK))


def _sent(verdicts: Iterable[Verdict]) -> bool:
    return any(verdict.kind is Kind.SENT for verdict in verdicts)


def _history_of(batch: Sequence[str], context: Context) -> History:
    if len(batch) == 1:
        return context.history(batch[0])
    return History(others_accepted=any(context.history(uid).others_accepted for uid in batch))
