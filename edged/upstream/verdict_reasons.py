"""The verdict on one instance that a Store Instances Response names as failed.

A table of Failure Reason ranges, read from the top; the first row that holds the code decides, an override of
the settings before all. `judge` then fits the row's verdict to what is known of the instance (five doubtful
answers make it stuck, what may not be transcoded is parked, what cannot be verified is held).

Invariants: total over every integer and None; never "sent"; a code that the Standard counts among warnings or
transient refusals never parks.
"""

from dataclasses import dataclass

from edged.dicom.reasons import FailureReason
from edged.upstream.retry import STUCK_AFTER
from edged.upstream.verdict_values import (
    BEING_CREATED_WAIT_S,
    ConditionName,
    Context,
    History,
    Kind,
    Row,
    Verdict,
)


@dataclass(frozen=True, slots=True)
class ReasonRow:
    """The verdict on the Failure Reasons first to last; a row without codes is for a missing reason."""

    codes: range
    kind: Kind
    why: str

    @property
    def label(self) -> str:
        """The codes as the docs write them."""
        if not self.codes:
            return "no reason, or none that is a code"
        if self is REASON_ROWS[-1]:
            return "any other code"
        first, last = self.codes[0], self.codes[-1]
        return f"{first:04X}H" if first == last else f"{first:04X}H to {last:04X}H"


def _one(code: int) -> range:
    return range(code, code + 1)


_NO_REASON = ReasonRow(range(0), Kind.DOUBTFUL, "it failed, and nothing says whether for good")

REASON_ROWS = (
    ReasonRow(range(0xA700, 0xA710), Kind.LATER, "out of resources, as C-STORE defines it"),
    ReasonRow(range(0xA710, 0xA800), Kind.DOUBTFUL, "archives use it for a full disk and for what they dislike"),
    ReasonRow(_one(FailureReason.PROCESSING_FAILURE), Kind.DOUBTFUL, "archives use it for every kind of fault"),
    ReasonRow(_one(FailureReason.RESOURCE_LIMITATION), Kind.LATER, "a lack of room passes"),
    ReasonRow(_one(FailureReason.DUPLICATE_SOP_INSTANCE), Kind.VERIFY, "already there, or another under its UID"),
    ReasonRow(_one(FailureReason.ALREADY_EXISTS), Kind.VERIFY, "already there, as some archives say it"),
    ReasonRow(_one(FailureReason.BEING_CREATED), Kind.VERIFY_LATER, "being created; in ten minutes it is known"),
    ReasonRow(range(0xB000, 0xC000), Kind.VERIFY, "a warning among the failures: it may well be stored"),
    ReasonRow(
        _one(FailureReason.TRANSFER_SYNTAX_NOT_SUPPORTED),
        Kind.TRANSCODE,
        "this transfer syntax is not taken; another may be",
    ),
    ReasonRow(_one(FailureReason.SOP_CLASS_NOT_SUPPORTED), Kind.PARK, "this class is never taken"),
    ReasonRow(_one(FailureReason.NOT_AUTHORIZED), Kind.PARK, "this instance may not be stored there"),
    ReasonRow(range(0xA900, 0xAA00), Kind.PARK, "the data set does not match its SOP Class"),
    ReasonRow(range(0xC000, 0xD000), Kind.PARK, "the destination cannot understand the data set"),
    ReasonRow(range(1, 0x10000), Kind.PARK, "any other code is a refusal of this instance"),
)

_WORDS = {
    Kind.LATER: "later, with back-off",
    Kind.DOUBTFUL: "doubtful: alone, ever more rarely; after five such answers while others pass stuck",
    Kind.VERIFY: "verify; where that is impossible, hold under cannot-prove",
    Kind.VERIFY_LATER: "verify in ten minutes; where that is impossible, hold under cannot-prove",
    Kind.TRANSCODE: "transcode once where the destination allows it, else park",
    Kind.PARK: "park with the reason",
}


def judge(reason: int | None, history: History, context: Context) -> Verdict:
    """The verdict on an instance that failed with this reason (DICOM.md 4; PS3.18 Table I.2-2)."""
    row = _row(reason)
    kind = row.kind if reason is None else context.overrides.get(reason, row.kind)
    return _fitted(Verdict(kind, reason=reason, text=_text(reason, row)), history, context)


def doubt(verdict: Verdict, history: History) -> Verdict:
    """The verdict as doubtful, or as stuck when this is the fifth such answer while others pass."""
    if history.others_accepted and history.doubtful + 1 >= STUCK_AFTER:
        return Verdict(Kind.STUCK, verdict.reason, text=verdict.text, condition=ConditionName.STUCK)
    return Verdict(Kind.DOUBTFUL, verdict.reason, text=verdict.text, condition=verdict.condition)


def reason_rows() -> list[Row]:
    """The rows for an instance that the response names, as published."""
    return [
        Row(row.label, _WORDS.get(row.kind, row.kind), row.why)
        for row in (*REASON_ROWS[:-1], _NO_REASON, REASON_ROWS[-1])
    ]


def _row(reason: int | None) -> ReasonRow:
    if reason is None:
        return _NO_REASON
    return next((row for row in REASON_ROWS if reason in row.codes), _NO_REASON)


def _text(reason: int | None, row: ReasonRow) -> str:
    return row.why if reason is None else f"failure reason {reason:04X}H: {row.why}"


def _fitted(verdict: Verdict, history: History, context: Context) -> Verdict:
    kind = verdict.kind
    if kind is Kind.DOUBTFUL:
        return doubt(verdict, history)
    if kind is Kind.TRANSCODE and (history.transcoded or not context.may_transcode):
        return Verdict(Kind.PARK, verdict.reason, text=verdict.text)
    if kind is Kind.VERIFY_LATER:
        return Verdict(kind, verdict.reason, text=verdict.text, after_s=BEING_CREATED_WAIT_S)
    return verdict
