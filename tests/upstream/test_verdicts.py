"""How the parts of the verdict table work together: body before status, redirects, texts, overrides."""

import pytest

from edged.upstream.verdict_silence import alike
from edged.upstream.verdict_values import (
    OVERRIDES,
    REPEATS,
    TEXT_LIMIT,
    Answer,
    Break,
    ConditionName,
    Context,
    History,
    Kind,
    Report,
    Silence,
    Standing,
    Verdict,
)
from edged.upstream.verdicts import decide

BATCH = ("1", "2", "3")
URL = "https://archive.example/dicom-web/studies"


def kinds(answer: Answer, context: Context | None = None) -> list[Kind]:
    decision = decide(answer, BATCH, context or Context())
    return [decision.instances[uid].kind for uid in BATCH]


def test_stored_is_no_evidence_for_what_had_not_left_and_failed_is() -> None:
    report = Report(accepted={"1": None, "2": None}, failed={"3": 0xC000})
    decision = decide(Answer(202, report=report), BATCH, Context(unsent=frozenset({"2", "3"})))
    assert [decision.instances[uid].kind for uid in BATCH] == [Kind.SENT, Kind.DOUBTFUL, Kind.PARK]


def test_a_destination_that_says_stored_to_nothing_but_what_had_not_left_has_to_wait() -> None:
    report = Report(accepted=dict.fromkeys(BATCH))
    decision = decide(Answer(200, report=report), BATCH, Context(unsent=frozenset(BATCH)))
    assert {each.kind for each in decision.instances.values()} == {Kind.DOUBTFUL}
    assert decision.destination.standing is Standing.LATER


def test_the_body_decides_for_whom_it_names_and_the_status_for_the_rest() -> None:
    report = Report(accepted={"1": 0xB007, "9": None}, failed={"2": 0x0122})
    decision = decide(Answer(409, report=report), BATCH, Context())
    assert decision.instances["1"] == Verdict(Kind.SENT, warning=0xB007, text="stored")
    assert decision.instances["2"].reason == 0x0122
    assert [decision.instances[uid].kind for uid in BATCH] == [Kind.SENT, Kind.PARK, Kind.SPLIT]
    assert list(decision.instances) == list(BATCH)
    assert decision.destination.standing is Standing.OK


def test_named_both_ways_is_failed() -> None:
    report = Report(accepted=dict.fromkeys(BATCH), failed={"2": 0xA700})
    assert kinds(Answer(200, report=report)) == [Kind.SENT, Kind.LATER, Kind.SENT]


@pytest.mark.parametrize("status", [300, 401, 403, 404, 405, 407, 418])
def test_a_destination_that_just_accepted_an_instance_is_not_held(status: int) -> None:
    decision = decide(Answer(status, report=Report(accepted={"2": None})), BATCH, Context())
    assert decision.destination.standing is Standing.OK
    assert [verdict.kind for verdict in decision.instances.values()] == [Kind.LATER, Kind.SENT, Kind.LATER]


def test_the_unnamed_rest_of_an_accepted_batch_is_looked_for() -> None:
    decision = decide(Answer(200, report=Report({"1": None})), BATCH, Context())
    assert decision.instances["2"].kind is Kind.VERIFY
    assert decision.destination.standing is Standing.OK


def test_server_error_with_a_partial_body_still_opens_the_breaker() -> None:
    decision = decide(Answer(503, report=Report({"1": None}), retry_after_s=7), BATCH, Context())
    assert decision.destination.standing is Standing.LATER
    assert decision.destination.retry_after_s == 7


@pytest.mark.parametrize(
    ("status", "retry_after_s", "standing"),
    [(503, None, Standing.LATER), (429, None, Standing.LATER), (409, 30.0, Standing.LATER), (409, None, Standing.OK)],
)
def test_a_full_destination_is_left_alone_even_if_it_took_others_before(
    status: int, retry_after_s: float | None, standing: Standing
) -> None:
    context = Context({"1": History(others_accepted=True)})
    report = Report(failed=dict.fromkeys(BATCH, 0xA700))
    decision = decide(Answer(status, report=report, retry_after_s=retry_after_s), BATCH, context)
    assert decision.destination.standing is standing
    assert {verdict.after_s for verdict in decision.instances.values()} == {retry_after_s}


def test_one_permanent_refusal_does_not_slow_the_destination() -> None:
    report = Report(failed={"1": 0x0122, "2": 0xA700, "3": 0x0110})
    decision = decide(Answer(409, report=report), BATCH, Context())
    assert decision.destination.standing is Standing.OK


def test_being_created_is_asked_about_after_ten_minutes() -> None:
    decision = decide(Answer(409, report=Report(failed={"1": 0xB00F})), ("1",), Context())
    assert decision.instances["1"].after_s == 600


def test_415_and_501_are_parked_by_their_reasons_and_others_by_the_status() -> None:
    context = Context({"1": History(others_accepted=True)})
    verdicts = {
        status: decide(Answer(status, text="no\r\nway"), ("1",), context).instances["1"] for status in (400, 415, 501)
    }
    assert [verdicts[status].reason for status in (400, 415, 501)] == [None, 0xC122, 0x0122]
    assert [verdicts[status].text for status in (400, 415, 501)] == [f"HTTP {status}" for status in (400, 415, 501)]


def test_a_peers_text_is_one_short_line() -> None:
    said = Answer(400, text="\x1b[31m\n" + "x" * 10_000, location="/moved?signature=1").said
    assert len(said) == TEXT_LIMIT
    assert said.isprintable()
    assert Answer(301, text="gone", location="http://u:p@a/b?c=d").said == "gone Location: http://a/b"
    assert Silence("http", peer_text="no\nway").said == "no way"


def test_silence_is_named_by_its_phase() -> None:
    assert decide(Silence("tcp", text="refused"), BATCH, Context()).destination.text == "tcp: refused"
    assert decide(Silence("tls"), BATCH, Context()).destination.text == "tls: no answer"


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/other/studies", "/other/studies"),
        ("https://archive.example/x?y=1#z", "/x?y=1"),
        ("https://ARCHIVE.example:443", "/"),
        ("elsewhere", "/dicom-web/elsewhere"),
        ("?token=1", "/dicom-web/studies?token=1"),
        ("//archive.example/q", "/q"),
    ],
)
def test_redirects_within_the_origin_are_followed(location: str, target: str) -> None:
    decision = decide(Answer(308, location=location), BATCH, Context(url=URL))
    assert decision.destination.standing is Standing.FOLLOW
    assert decision.destination.location == target


@pytest.mark.parametrize(
    "location",
    [
        "",
        "http://archive.example/x",
        "https://archive.example:8443/x",
        "https://other.example/x",
        "https://user:word@archive.example/x",
        "https://[::1/x",
        "https://archive.example:99999/x",
        "file:///etc/passwd",
        "/x\r\nEvil: 1",
        "/a b",
        "/é",
    ],
)
def test_redirects_out_of_the_origin_hold(location: str) -> None:
    decision = decide(Answer(307, location=location), BATCH, Context(url=URL))
    assert decision.destination.standing is Standing.HOLD
    assert decision.destination.condition is ConditionName.MOVED


def test_redirects_end() -> None:
    answer = Answer(307, location="/x")
    assert decide(answer, BATCH, Context(url=URL, repeated=REPEATS)).destination.standing is Standing.HOLD


def test_the_condition_names_the_host_where_it_moved_to_and_no_more() -> None:
    answer = Answer(301, location="http://new.example:81/DOE%5EJANE")
    assert decide(answer, BATCH, Context(url=URL)).destination.hint.endswith("it names http://new.example:81")


def test_an_answer_as_received() -> None:
    headers = (("content-type", "text/html"), ("retry-after", " 120"), ("location", " /x "), ("location", "/y"))
    report = Report({"1": None})
    assert Answer.received(503, headers, report=report, text="busy", now=0.0) == Answer(
        503, report, "/x", 120.0, "busy"
    )
    assert Answer.received(200, (), report=None, text="", now=0.0) == Answer(200)


@pytest.mark.parametrize("name", sorted(OVERRIDES))
def test_settings_override_any_reason(name: Kind) -> None:
    context = Context(overrides={0xA700: name, 0x0122: name}, may_transcode=True)
    report = Report(failed={"1": 0xA700, "2": 0x0122, "3": None})
    assert kinds(Answer(409, report=report), context) == [name, name, Kind.DOUBTFUL]


@pytest.mark.parametrize("name", sorted(set(Kind) - OVERRIDES))
def test_settings_cannot_invent_evidence(name: Kind) -> None:
    with pytest.raises(ValueError, match="C122H"):
        Context(overrides={0xC122: name})


@pytest.mark.parametrize("batch", [(), ("1", "1")])
def test_a_batch_names_each_instance_once(batch: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="only once"):
        decide(Answer(200), batch, Context())


@pytest.mark.parametrize(
    ("one", "other", "like"),
    [
        (Break(10**9, 10), Break(10**9 + 4 * 10**7, 90), True),
        (Break(10**9, 10), Break(11 * 10**8, 90), False),
        (Break(1, 60.0), Break(10**9, 60.9), True),
        (Break(1, 600.0), Break(10**9, 625.0), True),
        (Break(1, 60.0), Break(10**9, 70.0), False),
    ],
)
def test_alike(one: Break, other: Break, like: bool) -> None:
    assert alike(one, other) is like
    assert alike(other, one) is like
