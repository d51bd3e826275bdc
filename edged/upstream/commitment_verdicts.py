"""What to do next after an answer to a storage commitment request or result check (PS3.18 13.4, 13.5).

`next_step` reads two tables, one for each transaction, by status group; `judge_result` reads the per-instance
table of Failure Reasons, which is a closed list (PS3.3 C.14.1.1). The Transaction UID is durable before the first
POST, so that a lost answer is asked for under the same UID.

Invariants: pure and total; only a 200 with a well-formed response commits an instance, and only one that it names
as committed and not as failed; a service that is not offered is a belief to be probed again and weakens no proof.
"""

from collections.abc import Mapping
from enum import StrEnum
from http import HTTPStatus
from types import MappingProxyType

from edged.dicom.reasons import FailureReason
from edged.upstream.commitment_values import (
    Asked,
    Commitment,
    CommitmentAnswer,
    CommitmentReport,
    CommitmentVerdict,
    Lost,
    Next,
    Step,
    Transaction,
    TransactionState,
)
from edged.upstream.verdict_values import ConditionName, Row, one_line

NEW_UIDS = 3  # Transaction UIDs in a row that may be found in use before the requests are paced
REFUSED_CHECKS = 3  # refusals in a row of a result check before the request is made anew


class _Meaning(StrEnum):
    """What a group of status codes means; the words are published."""

    FINISHED = "the result decides each instance; without a readable one: check later, commitment-unreadable"
    ACCEPTED = "check after Retry-After"
    IN_USE = "new Transaction UID; after three in a row later, commitment-refused"
    FORGOTTEN = "request again under the same Transaction UID"
    UNREADABLE = "once in each other form, what works is remembered; then later, commitment-refused"
    TOO_LARGE = "halves under new Transaction UIDs; a single one later, commitment-refused"
    NOT_ACCEPTED = "once accepting each other media type, what works is remembered; then as anything else"
    NOT_OFFERED = "the service is not offered: believed until it is probed again; weakens no proof"
    NOT_NOW = "later, the same again, Retry-After honoured"
    UNKNOWN = "outcome unknown: check later under the same Transaction UID"
    UNAUTHORIZED = "later, the same again, auth-fault"
    REFUSED = "later, the same again, commitment-refused"
    CHECK_REFUSED = (
        "later, the same again, commitment-refused; after three in a row new Transaction UID, ever more rarely"
    )


_UNREADABLE = (HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_ACCEPTABLE, HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
_ANY_SUCCESS = tuple(range(201, 300))
_UNAUTHORIZED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.PROXY_AUTHENTICATION_REQUIRED)
_NOT_NOW = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
_FAULTS = (HTTPStatus.REQUEST_TIMEOUT, *range(500, 600))

_Table = tuple[tuple[tuple[int, ...], str, _Meaning], ...]

_REQUEST_TABLE: _Table = (
    ((HTTPStatus.OK,), "200", _Meaning.FINISHED),
    (_ANY_SUCCESS, "202, other 2xx", _Meaning.ACCEPTED),
    ((HTTPStatus.CONFLICT,), "409", _Meaning.IN_USE),
    (_UNREADABLE, "400, 406, 415", _Meaning.UNREADABLE),
    ((HTTPStatus.REQUEST_ENTITY_TOO_LARGE,), "413", _Meaning.TOO_LARGE),
    (
        (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED),
        "404, 405, 501",
        _Meaning.NOT_OFFERED,
    ),
    (_UNAUTHORIZED, "401, 403, 407", _Meaning.UNAUTHORIZED),
    (_NOT_NOW, "429, 503", _Meaning.NOT_NOW),
    (_FAULTS, "408, other 5xx", _Meaning.UNKNOWN),
)
_CHECK_TABLE: _Table = (
    ((HTTPStatus.OK,), "200", _Meaning.FINISHED),
    (_ANY_SUCCESS, "202, other 2xx", _Meaning.ACCEPTED),
    ((HTTPStatus.NOT_FOUND, HTTPStatus.GONE), "404, 410", _Meaning.FORGOTTEN),
    ((HTTPStatus.NOT_ACCEPTABLE,), "406", _Meaning.NOT_ACCEPTED),
    ((HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED), "405, 501", _Meaning.NOT_OFFERED),
    (_UNAUTHORIZED, "401, 403, 407", _Meaning.UNAUTHORIZED),
    (_NOT_NOW, "429, 503", _Meaning.NOT_NOW),
    (_FAULTS, "408, other 5xx", _Meaning.UNKNOWN),
)
_TABLES = {Asked.REQUEST: _REQUEST_TABLE, Asked.RESULT_CHECK: _CHECK_TABLE}
_ANYTHING_ELSE = {Asked.REQUEST: _Meaning.REFUSED, Asked.RESULT_CHECK: _Meaning.CHECK_REFUSED}

REASON_TABLE: Mapping[int, Commitment] = MappingProxyType(
    {
        FailureReason.NO_SUCH_OBJECT_INSTANCE: Commitment.RESEND,
        FailureReason.PROCESSING_FAILURE: Commitment.LATER,
        FailureReason.RESOURCE_LIMITATION: Commitment.LATER,
        FailureReason.CLASS_INSTANCE_CONFLICT: Commitment.PARK,
        FailureReason.SOP_CLASS_NOT_SUPPORTED: Commitment.PARK,
        FailureReason.DUPLICATE_TRANSACTION_UID: Commitment.NEW_UID,
    }
)


_WHY: Mapping[_Meaning, str] = MappingProxyType(
    {
        _Meaning.FINISHED: "only a readable result commits an instance",
        _Meaning.ACCEPTED: "the destination is still at it",
        _Meaning.IN_USE: "somebody else's, or ours with an outcome that is gone",
        _Meaning.FORGOTTEN: "nothing is known of it, or no longer",
        _Meaning.UNREADABLE: "archives read not all of the forms that the Standard has",
        _Meaning.TOO_LARGE: "the list is too long",
        _Meaning.NOT_ACCEPTED: "archives write not all of the forms that the Standard has",
        _Meaning.NOT_OFFERED: "a proxy's passing answer looks the same",
        _Meaning.NOT_NOW: "the destination speaks of itself",
        _Meaning.UNKNOWN: "it may have been acted upon",
        _Meaning.UNAUTHORIZED: "the credential lacks this right or has expired",
        _Meaning.REFUSED: "the request or the settings must change",
        _Meaning.CHECK_REFUSED: "what it remembers of this UID may be what is wrong: it may answer another request",
    }
)


def next_step(asked: Asked, answer: CommitmentAnswer | Lost, transaction: Transaction) -> Step:
    """The next step of a transaction (DICOM.md 6; PS3.2 Tables N.7.3.3.6.2-1 and N.7.3.3.6.4-1)."""
    if isinstance(answer, Lost):
        return _after_loss(asked, answer, transaction.state)
    meaning = _meaning(asked, answer.status)
    if meaning is _Meaning.FINISHED and answer.report is not None:
        instances = judge_result(answer.report, transaction)
        return Step(Next.RESULT, transaction.state, paced=False, instances=instances)
    match meaning:
        case _Meaning.FINISHED | _Meaning.ACCEPTED:
            return _to_be_checked(answer, finished=meaning is _Meaning.FINISHED)
        case _Meaning.IN_USE:
            return _another_uid(answer, transaction)
        case _Meaning.FORGOTTEN:
            paced = transaction.requests > 1
            return Step(Next.REQUEST, paced=paced, after_s=answer.retry_after_s, text=answer.summary)
        case _Meaning.UNREADABLE | _Meaning.NOT_ACCEPTED if transaction.forms:
            return Step(Next.REFORM, paced=False, text=answer.summary)
        case _Meaning.TOO_LARGE if len(transaction.instances) > 1:
            return Step(Next.SMALLER, paced=False, text=answer.summary)
        case _Meaning.NOT_OFFERED:
            return Step(Next.NOT_OFFERED, after_s=answer.retry_after_s, text=answer.summary)
        case _Meaning.UNKNOWN:
            after_s = answer.retry_after_s
            return Step(Next.CHECK, transaction.state, after_s=after_s, text=answer.summary)
        case _Meaning.NOT_ACCEPTED | _Meaning.CHECK_REFUSED if transaction.refusals + 1 >= REFUSED_CHECKS:
            condition = ConditionName.COMMITMENT_REFUSED
            return Step(Next.NEW_UID, condition=condition, text=answer.summary)
        case _:
            return _the_same_again(asked, answer, transaction.state)


def judge_result(report: CommitmentReport, transaction: Transaction) -> dict[str, CommitmentVerdict]:
    """The verdict on every instance that was asked about; others that the report names are ignored."""
    return {uid: _judge(uid, report) for uid in transaction.instances}


def commitment_rows() -> list[Row]:
    """Both tables and the reasons, as published."""
    return [
        *(
            Row(f"{asked} {label}", meaning, _WHY[meaning])
            for asked, table in _TABLES.items()
            for _, label, meaning in (*table, ((), "anything else", _ANYTHING_ELSE[asked]))
        ),
        Row("no answer to POST or GET", _Meaning.UNKNOWN, _WHY[_Meaning.UNKNOWN]),
        *(Row(f"{code:04X}H", kind, "PS3.3 C.14.1.1") for code, kind in REASON_TABLE.items()),
        Row("any other reason, or none", Commitment.LATER, "the list is closed: it says nothing for good"),
        Row("in neither list", Commitment.PENDING, "nothing was said of it"),
        Row("in both lists", "as the reason says", "only positive evidence counts"),
    ]


def _meaning(asked: Asked, status: int) -> _Meaning:
    rows = _TABLES[asked]
    return next((meaning for statuses, _, meaning in rows if status in statuses), _ANYTHING_ELSE[asked])


def _judge(uid: str, report: CommitmentReport) -> CommitmentVerdict:
    if uid in report.failed:
        reason = report.failed[uid]
        kind = Commitment.LATER if reason is None else REASON_TABLE.get(reason, Commitment.LATER)
        return CommitmentVerdict(kind, reason)
    return CommitmentVerdict(Commitment.COMMITTED if uid in report.committed else Commitment.PENDING)


def _after_loss(asked: Asked, lost: Lost, state: TransactionState) -> Step:
    if asked is Asked.REQUEST and lost.not_processed:
        return Step(Next.REQUEST, state, text=one_line(lost.text))
    return Step(Next.CHECK, state, text=one_line(lost.text))


def _to_be_checked(answer: CommitmentAnswer, *, finished: bool) -> Step:
    condition = ConditionName.COMMITMENT_UNREADABLE if finished else None
    return Step(
        Next.CHECK,
        TransactionState.WAITING,
        after_s=answer.retry_after_s,
        condition=condition,
        text=answer.summary,
    )


def _another_uid(answer: CommitmentAnswer, transaction: Transaction) -> Step:
    again = transaction.new_uids >= NEW_UIDS
    condition = ConditionName.COMMITMENT_REFUSED if again else None
    return Step(Next.NEW_UID, paced=again, after_s=None, condition=condition, text=answer.summary)


def _the_same_again(asked: Asked, answer: CommitmentAnswer, state: TransactionState) -> Step:
    step = Next.REQUEST if asked is Asked.REQUEST else Next.CHECK
    return Step(
        step,
        state,
        after_s=answer.retry_after_s,
        condition=_condition(asked, answer.status),
        text=answer.summary,
    )


def _condition(asked: Asked, status: int) -> ConditionName | None:
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return ConditionName.PROXY_AUTH_FAULT
    meaning = _meaning(asked, status)
    if meaning is _Meaning.NOT_NOW:
        return None
    return ConditionName.AUTH_FAULT if meaning is _Meaning.UNAUTHORIZED else ConditionName.COMMITMENT_REFUSED
