"""What holds for the verdict table whatever a peer answers and whatever happened before."""

from collections.abc import Sequence
from dataclasses import replace
from http import HTTPStatus

from hypothesis import given
from hypothesis import strategies as st

from edged.upstream.redirect import absolute, same_origin_target
from edged.upstream.verdict_reasons import judge
from edged.upstream.verdict_values import (
    HELD,
    OVERRIDES,
    Answer,
    Break,
    Context,
    Decision,
    History,
    Kind,
    Report,
    Silence,
    Standing,
)
from edged.upstream.verdicts import decide

MAY_PARK = {
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.CONFLICT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.NOT_IMPLEMENTED,
}

UIDS = st.sampled_from([f"1.2.{number}" for number in range(6)])
BATCHES = st.lists(UIDS, min_size=1, max_size=6, unique=True)
CODES = st.none() | st.integers(0, 0xFFFF) | st.integers()
SECONDS = st.floats(0, 1e9)
HISTORIES = st.builds(
    History,
    others_accepted=st.booleans(),
    doubtful=st.integers(0, 9),
    breaks=st.lists(st.builds(Break, st.integers(0, 10**10), SECONDS), max_size=4).map(tuple),
    transcoded=st.booleans(),
)
URLS = st.sampled_from(["", "http://a/b", "https://a:8443/b", "https://[", "x"]) | st.text(max_size=30)
CONTEXTS = st.builds(
    Context,
    histories=st.dictionaries(UIDS, HISTORIES),
    overrides=st.dictionaries(st.integers(0, 0xFFFF), st.sampled_from(sorted(OVERRIDES)), max_size=3),
    url=URLS,
    may_transcode=st.booleans(),
    search_passed=st.booleans(),
    tried_other_accept=st.booleans(),
    repeated=st.integers(0, 5),
    batch_failures=st.integers(0, 5),
    unsent=st.frozensets(UIDS),
)
REPORTS = st.builds(Report, st.dictionaries(UIDS, CODES), st.dictionaries(UIDS, CODES))
ANSWERS = st.builds(
    Answer,
    status=st.integers(100, 999),
    report=st.none() | REPORTS,
    location=URLS,
    retry_after_s=st.none() | SECONDS,
    text=st.text(max_size=40),
)
SILENCES = st.builds(
    Silence,
    phase=st.sampled_from(["dns", "tcp", "tls", "auth", "http", "body", "verdict", "?"]),
    sent_bytes=st.integers(0, 10**10),
    elapsed_s=SECONDS,
    not_processed=st.booleans(),
    http2=st.booleans(),
    text=st.text(max_size=40),
)


def of_kind(decision: Decision, kind: Kind) -> set[str]:
    return {uid for uid, verdict in decision.instances.items() if verdict.kind is kind}


@given(ANSWERS | SILENCES, BATCHES, CONTEXTS)
def test_every_instance_gets_exactly_one_verdict(
    heard: Answer | Silence, batch: Sequence[str], context: Context
) -> None:
    decision = decide(heard, batch, context)
    assert sorted(decision.instances) == sorted(batch)
    assert decide(heard, batch, context) == decision


@given(ANSWERS, BATCHES, CONTEXTS)
def test_sent_exactly_when_a_report_accepts_what_had_left(
    answer: Answer, batch: Sequence[str], context: Context
) -> None:
    report = answer.report or Report()
    decision = decide(answer, batch, context)
    stored = {uid for uid in batch if uid in report.accepted and uid not in report.failed}
    assert of_kind(decision, Kind.SENT) == stored - context.unsent


@given(SILENCES, BATCHES, CONTEXTS)
def test_silence_neither_sends_nor_parks(silence: Silence, batch: Sequence[str], context: Context) -> None:
    decision = decide(silence, batch, context)
    assert not of_kind(decision, Kind.SENT) | of_kind(decision, Kind.PARK)


@given(ANSWERS, BATCHES, CONTEXTS)
def test_parked_only_by_a_permanent_verdict_on_that_very_instance(
    answer: Answer, batch: Sequence[str], context: Context
) -> None:
    report = answer.report or Report()
    for uid in of_kind(decide(answer, batch, context), Kind.PARK):
        history = context.history(uid)
        if uid in report.failed:
            assert judge(report.failed[uid], history, context).kind is Kind.PARK
        else:
            assert len(batch) == 1
            assert history.others_accepted
            assert answer.status in MAY_PARK


@given(st.integers(0, 0xFFFF), HISTORIES)
def test_no_reason_that_may_pass_ever_parks(reason: int, history: History) -> None:
    transient = reason in range(0xA700, 0xA800) or reason in range(0xB000, 0xC000)
    may_pass = transient or reason in {0, 0x0110, 0x0111, 0x0213}
    assert (judge(reason, history, Context()).kind is Kind.PARK) is not may_pass


@given(ANSWERS, BATCHES, CONTEXTS)
def test_held_only_with_a_remedy_and_never_after_accepting(
    answer: Answer, batch: Sequence[str], context: Context
) -> None:
    decision = decide(answer, batch, context)
    held = decision.destination.standing in HELD
    assert held is (decision.destination.condition is not None) is (decision.destination.hint != "")
    assert not (held and of_kind(decision, Kind.SENT))


@given(ANSWERS | SILENCES, BATCHES, CONTEXTS)
def test_nothing_is_tried_again_at_once_without_end(
    heard: Answer | Silence, batch: Sequence[str], context: Context
) -> None:
    """With the destination free to go on, each verdict must change what is sent, wait, or be counted."""
    decision = decide(heard, batch, context)
    if decision.destination.standing is Standing.OK:
        assert not of_kind(decision, Kind.PENDING)
    if of_kind(decision, Kind.AGAIN):
        assert context.repeated < 3
    if of_kind(decision, Kind.SPLIT) | of_kind(decision, Kind.HALVE):
        assert len(batch) > 1


@given(ANSWERS | SILENCES, BATCHES, CONTEXTS)
def test_texts_and_hints_are_single_lines(heard: Answer | Silence, batch: Sequence[str], context: Context) -> None:
    decision = decide(heard, batch, context)
    for text in (decision.destination.text, decision.destination.hint):
        assert text.isprintable()
    assert all(verdict.text.isprintable() for verdict in decision.instances.values())


@given(ANSWERS, SILENCES, BATCHES, CONTEXTS)
def test_no_word_of_a_peer_is_in_a_verdict(
    answer: Answer, silence: Silence, batch: Sequence[str], context: Context
) -> None:
    said = "DOE^JANE"
    for heard in (
        replace(answer, text=said, location=f"http://other/{said}"),
        replace(silence, text="", peer_text=said),
    ):
        assert said in heard.said
        assert said not in repr(replace_target(decide(heard, batch, context)))


def replace_target(decision: Decision) -> Decision:
    """Without what only the next request sees."""
    return replace(decision, destination=replace(decision.destination, location=""))


@given(st.text(), st.text())
def test_redirect_targets_are_origin_form_or_nothing(base: str, location: str) -> None:
    target = same_origin_target(base, location)
    assert target == "" or (target.startswith("/") and target.isascii() and target.isprintable())
    assert absolute(base, location).isprintable()


@given(st.lists(st.tuples(ANSWERS | SILENCES, CONTEXTS), max_size=8), BATCHES)
def test_no_sequence_of_answers_sends_without_evidence(
    heard: Sequence[tuple[Answer | Silence, Context]], batch: Sequence[str]
) -> None:
    """Whatever order answers come in, what ends as sent was accepted by one of the reports."""
    pending, proven = list(batch), set[str]()
    for answer, context in heard:
        if not pending:
            break
        decision = decide(answer, pending, context)
        proven |= of_kind(decision, Kind.SENT)
        pending = [uid for uid in pending if uid not in proven]
    accepted = {
        uid for answer, _ in heard if isinstance(answer, Answer) and answer.report for uid in answer.report.accepted
    }
    assert proven <= accepted
