"""Query parameters: the syntax of PS3.18 8.3.1, what real user agents send, and one error for all else."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.http.query import MAX_LENGTH, MAX_PARAMETERS, Parameter, Query, QueryError, parse_query

VALUES = st.text(st.characters(exclude_categories=("Cs", "Cc")))


def pairs(raw: bytes) -> list[tuple[str, tuple[str, ...]]]:
    return [(each.name, each.values) for each in parse_query(raw).parameters]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"", []),
        (b"limit=10", [("limit", ("10",))]),
        (b"a=1&b=2&a=3", [("a", ("1",)), ("b", ("2",)), ("a", ("3",))]),
        (b"StudyInstanceUID=1.2,1.3", [("StudyInstanceUID", ("1.2", "1.3"))]),
        (b"00101002.00100020=x", [("00101002.00100020", ("x",))]),
        (b"name", [("name", ())]),
        (b"PatientID=", [("PatientID", ("",))]),
        (b"a=1,,2", [("a", ("1", "", "2"))]),
        (b"&&a=1&", [("a", ("1",))]),
    ],
)
def test_names_and_lists(raw: bytes, expected: list[tuple[str, tuple[str, ...]]]) -> None:
    assert pairs(raw) == expected


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"v=DOE%5EJOHN*", "DOE^JOHN*"),
        (b"v=M%C3%BCller", "Müller"),
        (b"v=M\xc3\xbcller", "Müller"),
        (b"v=a%2Cb", "a,b"),
        (b"v=a%26b%3Dc%23%5B%5D", "a&b=c#[]"),
        (b"v=application/dicom+json", "application/dicom+json"),
        (b"v=20240101120000.0+0100", "20240101120000.0+0100"),
        (b"v=DOE+JOHN", "DOE+JOHN"),
        (b"v=DOE%20JOHN", "DOE JOHN"),
        (b'v=multipart/related;type="application/dicom"', 'multipart/related;type="application/dicom"'),
        (b"v=%2525", "%25"),
    ],
)
def test_decoding(raw: bytes, value: str) -> None:
    assert parse_query(raw).values("v") == (value,)


@pytest.mark.parametrize(
    "raw",
    [
        b"a=%",
        b"a=%4",
        b"a=%zz",
        b"a=%+1",
        b"a=%FF",
        b"a=\xff",
        b"a=%C3",
        b"a=%ED%A0%80",
        b"a=%00",
        b"a=x%0D%0ASet-Cookie",
        b"a%0A=1",
        b"=1",
        b"=",
        b"a=" + b"x" * MAX_LENGTH,
        b"a=1&" * (MAX_PARAMETERS + 1),
    ],
)
def test_what_is_refused(raw: bytes) -> None:
    with pytest.raises(QueryError):
        parse_query(raw)


def test_an_error_repeats_nothing_of_the_query() -> None:
    with pytest.raises(QueryError) as caught:
        parse_query(b"PatientName=SECRET%FF")
    assert "SECRET" not in str(caught.value)


def test_names_are_case_sensitive() -> None:
    query = parse_query(b"Limit=3")
    assert "Limit" in query
    assert "limit" not in query
    assert query.values("limit") == ()


def test_repetitions_are_one_list() -> None:
    assert parse_query(b"includefield=a,b&x&includefield=c").values("includefield") == ("a", "b", "c")


def test_a_single_value() -> None:
    query = parse_query(b"limit=5&many=1,2&twice=1&twice=2&empty=&none")
    assert query.single("limit") == "5"
    assert query.single("absent") is None
    for name in ("many", "twice", "empty", "none"):
        with pytest.raises(QueryError):
            query.single(name)


def test_unsupported_names_are_told_once() -> None:
    assert parse_query(b"_=1&limit=2&x-foo&_=3").unsupported({"limit"}) == ("_", "x-foo")


@given(st.lists(st.tuples(VALUES.filter(bool), st.lists(VALUES, min_size=1, max_size=4)), max_size=6))
def test_what_is_written_by_the_rules_is_read_back(parameters: list[tuple[str, list[str]]]) -> None:
    raw = "&".join(
        f"{quote(name, safe='')}={','.join(quote(v, safe='') for v in values)}" for name, values in parameters
    )
    assert parse_query(raw.encode()) == Query(tuple(Parameter(name, tuple(values)) for name, values in parameters))


@given(st.binary() | st.text(alphabet="%&=,+a0Fé").map(str.encode))
def test_any_bytes_are_a_query_or_a_query_error(raw: bytes) -> None:
    try:
        query = parse_query(raw)
    except QueryError:
        return
    assert all(parameter.name for parameter in query.parameters)
