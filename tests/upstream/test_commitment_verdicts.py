"""The commitment tables row by row, the result per instance, and what never counts as committed."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.upstream.commitment_values import (
    Asked,
    Commitment,
    CommitmentAnswer,
    CommitmentReport,
    Lost,
    Next,
    Transaction,
    TransactionState,
)
from edged.upstream.commitment_verdicts import NEW_UIDS, REFUSED_CHECKS, commitment_rows, judge_result, next_step
from edged.upstream.verdict_values import ConditionName

POST, GET = Asked.REQUEST, Asked.RESULT_CHECK
REFUSED = ConditionName.COMMITMENT_REFUSED
FIRST = Transaction(("1", "2"))
WAITING = Transaction(("1", "2"), TransactionState.WAITING)

ROWS: dict[str, list[tuple[Asked, int, Next, ConditionName | None]]] = {
    "POST 200": [(POST, 200, Next.CHECK, ConditionName.COMMITMENT_UNREADABLE)],
    "POST 202, other 2xx": [(POST, status, Next.CHECK, None) for status in (201, 202, 204)],
    "POST 409": [(POST, 409, Next.NEW_UID, None)],
    "POST 400, 406, 415": [(POST, status, Next.REQUEST, REFUSED) for status in (400, 406, 415)],
    "POST 413": [(POST, 413, Next.SMALLER, None)],
    "POST 404, 405, 501": [(POST, status, Next.NOT_OFFERED, None) for status in (404, 405, 501)],
    "POST 401, 403, 407": [
        (POST, 401, Next.REQUEST, ConditionName.AUTH_FAULT),
        (POST, 403, Next.REQUEST, ConditionName.AUTH_FAULT),
        (POST, 407, Next.REQUEST, ConditionName.PROXY_AUTH_FAULT),
    ],
    "POST 429, 503": [(POST, status, Next.REQUEST, None) for status in (429, 503)],
    "POST 408, other 5xx": [(POST, status, Next.CHECK, None) for status in (408, 500, 502, 504, 599)],
    "POST anything else": [(POST, status, Next.REQUEST, REFUSED) for status in (100, 302, 410, 422, 999)],
    "GET 200": [(GET, 200, Next.CHECK, ConditionName.COMMITMENT_UNREADABLE)],
    "GET 202, other 2xx": [(GET, status, Next.CHECK, None) for status in (202, 204)],
    "GET 404, 410": [(GET, status, Next.REQUEST, None) for status in (404, 410)],
    "GET 406": [(GET, 406, Next.CHECK, REFUSED)],
    "GET 405, 501": [(GET, status, Next.NOT_OFFERED, None) for status in (405, 501)],
    "GET 401, 403, 407": [(GET, 403, Next.CHECK, ConditionName.AUTH_FAULT)],
    "GET 429, 503": [(GET, status, Next.CHECK, None) for status in (429, 503)],
    "GET 408, other 5xx": [(GET, status, Next.CHECK, None) for status in (408, 500)],
    "GET anything else": [(GET, status, Next.CHECK, REFUSED) for status in (304, 400, 409, 413, 415, 600)],
}

REASONS: dict[int | None, Commitment] = {
    0x0112: Commitment.RESEND,
    0x0110: Commitment.LATER,
    0x0213: Commitment.LATER,
    0x0119: Commitment.PARK,
    0x0122: Commitment.PARK,
    0x0131: Commitment.NEW_UID,
    0xC000: Commitment.LATER,
    0: Commitment.LATER,
    None: Commitment.LATER,
}


def test_every_published_row_by_status_has_its_cases() -> None:
    published = {row.condition for row in commitment_rows() if row.condition.startswith(("POST", "GET"))}
    assert set(ROWS) == published
    assert all(row.verdict and row.why for row in commitment_rows())


@pytest.mark.parametrize(("asked", "status", "following", "condition"), [case for row in ROWS.values() for case in row])
def test_row(asked: Asked, status: int, following: Next, condition: ConditionName | None) -> None:
    step = next_step(asked, CommitmentAnswer(status, retry_after_s=9.0, text="so\nit is"), FIRST)
    assert step.next is following
    assert step.condition is condition
    assert step.text == f"HTTP {status}"  # never in the words of the destination
    if step.paced:
        assert step.after_s == 9.0
    assert not step.instances


@pytest.mark.parametrize(("reason", "kind"), REASONS.items())
def test_failure_reason(reason: int | None, kind: Commitment) -> None:
    verdict = judge_result(CommitmentReport(failed={"1": reason}), Transaction(("1",)))["1"]
    assert (verdict.kind, verdict.reason) == (kind, reason)


@pytest.mark.parametrize("asked", Asked)
def test_a_result_decides_every_instance(asked: Asked) -> None:
    report = CommitmentReport(frozenset({"1", "2", "9"}), {"2": 0x0110})
    step = next_step(asked, CommitmentAnswer(200, report), Transaction(("1", "2", "3")))
    assert step.next is Next.RESULT
    assert [verdict.kind for verdict in step.instances.values()] == [
        Commitment.COMMITTED,
        Commitment.LATER,  # in both lists
        Commitment.PENDING,  # in neither
    ]


def test_accepted_is_waited_for_and_stays_so() -> None:
    step = next_step(POST, CommitmentAnswer(202, retry_after_s=30.0), FIRST)
    assert (step.state, step.after_s) == (TransactionState.WAITING, 30.0)
    assert next_step(GET, CommitmentAnswer(500), WAITING).state is TransactionState.WAITING
    assert next_step(GET, Lost(), WAITING).state is TransactionState.WAITING


def test_a_lost_request_is_asked_for_under_the_same_uid() -> None:
    assert next_step(POST, Lost(text="reset"), FIRST).next is Next.CHECK
    assert next_step(POST, Lost(not_processed=True), FIRST).next is Next.REQUEST
    assert next_step(GET, Lost(not_processed=True), FIRST).next is Next.CHECK


@pytest.mark.parametrize("status", [404, 410])
def test_forgotten_is_requested_again_and_a_conflict_then_means_a_new_uid(status: int) -> None:
    again = next_step(GET, CommitmentAnswer(status), FIRST)
    assert (again.next, again.state, again.paced) == (Next.REQUEST, TransactionState.POSTING, False)
    second = Transaction(FIRST.instances, requests=2)
    assert next_step(POST, CommitmentAnswer(409), second).next is Next.NEW_UID
    assert next_step(GET, CommitmentAnswer(status), second).paced


def test_conflicts_without_end_are_paced_under_a_condition() -> None:
    step = next_step(POST, CommitmentAnswer(409), Transaction(("1",), new_uids=NEW_UIDS - 1))
    assert (step.next, step.paced, step.condition) == (Next.NEW_UID, False, None)
    step = next_step(POST, CommitmentAnswer(409), Transaction(("1",), new_uids=NEW_UIDS))
    assert (step.next, step.paced, step.condition) == (Next.NEW_UID, True, REFUSED)


@pytest.mark.parametrize("status", [302, 400, 406, 409, 415])
def test_a_check_that_is_refused_for_ever_ends_in_a_new_request(status: int) -> None:
    for refusals in range(5):
        step = next_step(GET, CommitmentAnswer(status), Transaction(("1",), refusals=refusals))
        again = Next.CHECK if refusals + 1 < REFUSED_CHECKS else Next.NEW_UID
        assert (step.next, step.paced, step.condition) == (again, True, REFUSED)
    first = next_step(GET, CommitmentAnswer(status), Transaction(("1",), forms=3, refusals=5))
    assert (first.next is Next.REFORM) is (status == 406)


def test_a_list_of_one_that_is_too_large_waits() -> None:
    step = next_step(POST, CommitmentAnswer(413), Transaction(("1",)))
    assert (step.next, step.paced, step.condition) == (Next.REQUEST, True, REFUSED)


UIDS = st.sampled_from("123456")
CODES = st.none() | st.integers(0, 0xFFFF) | st.integers()
ANSWERS = st.builds(Lost, st.booleans(), st.text(max_size=20)) | st.builds(
    CommitmentAnswer,
    st.integers(100, 999),
    st.none() | st.builds(CommitmentReport, st.frozensets(UIDS), st.dictionaries(UIDS, CODES)),
    st.none() | st.floats(0, 1e9),
    st.text(max_size=20),
)
TRANSACTIONS = st.builds(
    Transaction,
    st.lists(UIDS, min_size=1, unique=True),
    st.sampled_from(TransactionState),
    st.integers(1, 5),
    st.integers(0, 5),
)


@given(st.sampled_from(Asked), ANSWERS, TRANSACTIONS)
def test_committed_only_by_a_result_that_says_so(
    asked: Asked, answer: CommitmentAnswer | Lost, transaction: Transaction
) -> None:
    step = next_step(asked, answer, transaction)
    if step.next is not Next.RESULT:
        assert not step.instances
        return
    assert isinstance(answer, CommitmentAnswer)
    assert answer.status == 200
    assert answer.report is not None
    assert set(step.instances) == set(transaction.instances)
    for uid, verdict in step.instances.items():
        assert (verdict.kind is Commitment.COMMITTED) is (
            uid in answer.report.committed and uid not in answer.report.failed
        )
        assert verdict.kind is not Commitment.PARK or answer.report.failed[uid] in {0x0119, 0x0122}


@given(st.lists(st.tuples(st.sampled_from(Asked), ANSWERS), max_size=8))
def test_a_service_not_offered_is_never_a_verdict_on_an_instance(
    heard: Sequence[tuple[Asked, CommitmentAnswer | Lost]],
) -> None:
    for asked, answer in heard:
        step = next_step(asked, answer, FIRST)
        assert step.next is not Next.NOT_OFFERED or (step.paced and not step.instances and step.condition is None)
