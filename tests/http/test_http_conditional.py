"""Preconditions: each field, what outranks what, weak and strong, and If-Range."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.http.conditional import (
    Header,
    Precondition,
    Validators,
    evaluate,
    range_to_honour,
    strong_etag,
)
from edged.http.dates import http_date

ETAG = strong_etag(bytes.fromhex("00ff"))
MODIFIED = 1_700_000_000.25
NOW = MODIFIED + 3600
CURRENT = Validators(ETAG, MODIFIED)
BEFORE, SAME, AFTER = (http_date(MODIFIED + seconds) for seconds in (-1, 0, 1))

PROCEED, NOT_MODIFIED, FAILED = Precondition.PROCEED, Precondition.NOT_MODIFIED, Precondition.PRECONDITION_FAILED


def fields(**values: str) -> Header:
    return {name.replace("_", "-"): value for name, value in values.items()}.get


def judged(method: str = "GET", current: Validators | None = CURRENT, **values: str) -> Precondition:
    return evaluate(method, fields(**values), current, now=NOW)


def test_an_entity_tag_is_strong_and_quoted() -> None:
    assert ETAG == '"00ff"'


def test_what_an_answer_says_of_its_state() -> None:
    assert CURRENT.fields(NOW) == (("etag", ETAG), ("last-modified", "Tue, 14 Nov 2023 22:13:20 GMT"))
    assert Validators().fields(NOW) == ()


def test_no_modification_lies_ahead_of_its_answer() -> None:
    assert Validators(modified=MODIFIED).fields(10.0) == (("last-modified", "Thu, 01 Jan 1970 00:00:10 GMT"),)


TAG_LISTS = [
    ('"00ff"', "strong"),
    ('W/"00ff"', "weak"),
    ('"x", "00ff"', "strong"),
    (' ,, "x" ,W/"00ff",', "weak"),
    ('W/"00ff","00ff"', "strong"),
    ("*", "strong"),
    (" * ", "strong"),
    (r'"a\", "00ff"', "strong"),  # a backslash is an ordinary character of a tag
    ("", "none"),
    ("00ff", "none"),
    ('"x,00ff"', "none"),
    ('"*"', "none"),
    ('*, "00ff"', "none"),
    ('w/"00ff"', "none"),
    ('"00ff" "00ff"', "none"),
    ('"00ff", x', "none"),
    ('"00ff', "none"),
    ('"00FF"', "none"),
]


@pytest.mark.parametrize(("header", "matches"), TAG_LISTS)
def test_if_match_compares_strongly(header: str, matches: str) -> None:
    assert judged(if_match=header) is (PROCEED if matches == "strong" else FAILED)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
@pytest.mark.parametrize(("header", "matches"), TAG_LISTS)
def test_if_none_match_compares_weakly(header: str, matches: str, method: str) -> None:
    assert judged(method, if_none_match=header) is (PROCEED if matches == "none" else NOT_MODIFIED)


def test_without_a_condition() -> None:
    assert judged() is PROCEED


def test_a_weak_tag_of_ours_never_matches_strongly() -> None:
    weak = Validators('W/"1"')
    assert judged(current=weak, if_match='W/"1"') is FAILED
    assert judged(current=weak, if_none_match='"1"') is NOT_MODIFIED


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE"])
def test_a_change_is_refused_where_a_retrieve_is_not_modified(method: str) -> None:
    assert judged(method, if_none_match="*") is FAILED
    assert judged(method, if_none_match='"other"') is PROCEED
    assert judged(method, if_match='"other"') is FAILED
    assert judged(method, if_match=ETAG) is PROCEED


def test_what_is_not_there() -> None:
    assert judged("PUT", None, if_match="*") is FAILED
    assert judged("PUT", None, if_none_match="*") is PROCEED
    assert judged("PUT", None, if_none_match=ETAG) is PROCEED
    assert judged("PUT", None, if_unmodified_since=BEFORE) is PROCEED
    assert judged("GET", None, if_modified_since=AFTER) is PROCEED


def test_a_representation_without_a_tag() -> None:
    dated = Validators(modified=MODIFIED)
    assert judged(current=dated, if_match=ETAG) is FAILED
    assert judged(current=dated, if_match="*") is PROCEED
    assert judged(current=dated, if_none_match=ETAG) is PROCEED
    assert judged(current=dated, if_none_match="*") is NOT_MODIFIED


@pytest.mark.parametrize(
    ("date", "modified_since", "unmodified_since"),
    [
        (BEFORE, PROCEED, FAILED),
        (SAME, NOT_MODIFIED, PROCEED),
        (AFTER, NOT_MODIFIED, PROCEED),
        (f" {SAME}\t", NOT_MODIFIED, PROCEED),
        ("yesterday", PROCEED, PROCEED),
        (f"{BEFORE}, {AFTER}", PROCEED, PROCEED),
        ("", PROCEED, PROCEED),
    ],
)
def test_dates(date: str, modified_since: Precondition, unmodified_since: Precondition) -> None:
    assert judged("GET", if_modified_since=date) is modified_since
    assert judged("HEAD", if_modified_since=date) is modified_since
    assert judged("GET", if_unmodified_since=date) is unmodified_since
    assert judged("PUT", if_unmodified_since=date) is unmodified_since


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_if_modified_since_is_for_retrieves(method: str) -> None:
    assert judged(method, if_modified_since=AFTER) is PROCEED


def test_a_representation_without_a_date() -> None:
    assert judged(current=Validators(ETAG), if_modified_since=AFTER) is PROCEED
    assert judged(current=Validators(ETAG), if_unmodified_since=BEFORE) is PROCEED


@pytest.mark.parametrize("method", ["CONNECT", "TRACE"])
def test_methods_without_a_representation(method: str) -> None:
    assert judged(method, if_match='"other"', if_none_match="*", if_unmodified_since=BEFORE) is PROCEED


MATCH = {None: True, ETAG: True, '"other"': False}
NONE_MATCH = {None: False, ETAG: True, '"other"': False}
UNMODIFIED = {None: True, AFTER: True, BEFORE: False}
MODIFIED_SINCE = {None: False, AFTER: True, BEFORE: False}


@pytest.mark.parametrize(
    ("match", "unmodified", "none_match", "modified"),
    list(product(MATCH, UNMODIFIED, NONE_MATCH, MODIFIED_SINCE)),
)
def test_the_order_of_precedence(
    match: str | None, unmodified: str | None, none_match: str | None, modified: str | None
) -> None:
    """RFC 9110 13.2.2, step by step."""
    names = ("if-match", "if-unmodified-since", "if-none-match", "if-modified-since")
    header = dict(zip(names, (match, unmodified, none_match, modified), strict=True)).get
    allowed = UNMODIFIED[unmodified] if match is None else MATCH[match]
    unchanged = MODIFIED_SINCE[modified] if none_match is None else NONE_MATCH[none_match]
    expected = FAILED if not allowed else NOT_MODIFIED if unchanged else PROCEED
    assert evaluate("GET", header, CURRENT, now=NOW) is expected


@pytest.mark.parametrize(
    ("condition", "applies"),
    [
        (ETAG, True),
        (f" {ETAG} ", True),
        ('"other"', False),
        ('W/"00ff"', False),
        (f'{ETAG}, "other"', False),
        ("*", False),
        ("00ff", False),
        ("", False),
        (SAME, True),
        ("Tuesday, 14-Nov-23 22:13:20 GMT", True),
        (BEFORE, False),
        (AFTER, False),
    ],
)
def test_if_range(condition: str, applies: bool) -> None:
    asked = range_to_honour("GET", fields(range="bytes=0-1", if_range=condition), CURRENT, now=NOW)
    assert asked == ("bytes=0-1" if applies else None)


def test_a_range_without_a_condition_is_honoured_for_get_alone() -> None:
    for method, asked in (("GET", "bytes=0-1"), ("HEAD", None), ("POST", None), ("OPTIONS", None)):
        assert range_to_honour(method, fields(range="bytes=0-1"), CURRENT, now=NOW) == asked


def test_a_condition_without_a_range_is_nothing() -> None:
    assert range_to_honour("GET", fields(if_range=ETAG), CURRENT, now=NOW) is None


@pytest.mark.parametrize(("age", "strong"), [(0.0, False), (0.74, False), (0.75, True), (60.0, True)])
def test_a_date_is_strong_once_its_second_is_over(age: float, strong: bool) -> None:
    asked = range_to_honour("GET", fields(range="bytes=0-1", if_range=SAME), CURRENT, now=MODIFIED + age)
    assert (asked is not None) is strong


def test_a_representation_without_validators_has_no_if_range() -> None:
    for condition in (ETAG, SAME):
        header = fields(range="bytes=0-1", if_range=condition)
        assert range_to_honour("GET", header, Validators(), now=NOW) is None


def test_reading_a_list_of_tags_takes_linear_time() -> None:
    for hostile in ('"' * 200_000, '"a",' * 50_000 + "x", "," * 200_000 + "x", 'W/"' * 60_000):
        assert judged(if_none_match=hostile) is PROCEED


LIKELY = st.lists(st.sampled_from([ETAG, "W/", '"', ",", "*", " ", "\\", "00ff", SAME, BEFORE, AFTER])).map("".join)


@given(
    st.sampled_from(["GET", "HEAD", "OPTIONS", "PUT", "TRACE", "X"]),
    st.dictionaries(
        st.sampled_from(["if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range", "range"]),
        st.text() | LIKELY,
    ),
    st.builds(Validators, st.none() | st.just(ETAG), st.none() | st.floats(0, 4e9)) | st.none(),
    st.floats(0, 4e9),
)
def test_any_condition_is_answered(method: str, values: dict[str, str], current: Validators | None, now: float) -> None:
    result = evaluate(method, values.get, current, now=now)
    assert isinstance(result, Precondition)
    assert result is not NOT_MODIFIED or method in ("GET", "HEAD", "OPTIONS")
    if current is not None:
        assert range_to_honour(method, values.get, current, now=now) in (None, values.get("range"))
