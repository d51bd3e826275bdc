"""Answers in octets: their framing for every kind of request, and what is no answer. h11 reads them back."""

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.server.http1_answer import Answer, AnswerError, Fields, head


def parsed(method: str, octets: bytes) -> tuple[int, dict[bytes, bytes], bytes, bool]:
    """Status, fields and body of an answer as h11 reads it, and whether it was whole before the connection ended."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("Host", "box")]))
    client.send(h11.EndOfMessage())
    client.receive_data(octets)
    start = client.next_event()
    assert isinstance(start, h11.Response)
    body = b""
    while isinstance(event := client.next_event(), h11.Data):
        body += event.data
    return start.status_code, dict(start.headers), body, isinstance(event, h11.EndOfMessage)


def made(answer: Answer, fields: Fields = (), *bodies: bytes, status: int = 200, close: bool = False) -> bytes:
    """The octets of an answer with this body in pieces."""
    answer.start(status, fields, close=close)
    octets = b"".join(b"".join(answer.body(body, more=True)) for body in bodies)
    return octets + b"".join(answer.body(b"", more=False))


def test_with_a_length() -> None:
    answer = Answer("GET", "1.1")
    octets = made(answer, [(b"Content-Length", b" 5 "), (b"X", b"y")], b"abc", b"", b"de")
    status, fields, body, whole = parsed("GET", octets)
    assert (status, body, whole, answer.close) == (200, b"abcde", True, False)
    assert (fields[b"content-length"], fields[b"x"]) == (b"5", b"y")
    assert b"date" in fields
    assert not fields.keys() & {b"connection", b"transfer-encoding"}


@given(st.lists(st.binary(max_size=50), max_size=5))
def test_in_chunks(bodies: list[bytes]) -> None:
    octets = made(Answer("GET", "1.1"), [(b"transfer-encoding", b"gzip")], *bodies)
    _, fields, body, whole = parsed("GET", octets)
    assert (fields[b"transfer-encoding"], body, whole) == (b"chunked", b"".join(bodies), True)


def test_until_the_end_for_the_old() -> None:
    answer = Answer("GET", "1.0")
    octets = made(answer, (), b"abc", b"de")
    _, fields, body, whole = parsed("GET", octets)
    assert (body, whole, answer.close, fields[b"connection"]) == (b"abcde", False, True, b"close")
    assert b"transfer-encoding" not in fields


@pytest.mark.parametrize(
    ("method", "status", "given", "framing"),
    [
        ("HEAD", 200, [(b"content-length", b"5")], {b"content-length": b"5"}),
        ("HEAD", 200, [], {b"transfer-encoding": b"chunked"}),
        ("GET", 204, [(b"content-length", b"0")], {}),
        ("GET", 304, [(b"content-length", b"5")], {b"content-length": b"5"}),
        ("GET", 304, [], {}),
    ],
)
def test_without_body(method: str, status: int, given: Fields, framing: dict[bytes, bytes]) -> None:
    answer = Answer(method, "1.1")
    octets = made(answer, given, b"dropped", status=status)
    assert octets.endswith(b"\r\n\r\n")
    found, fields, body, _ = parsed(method, octets)
    assert (found, body, answer.close) == (status, b"", False)
    assert {name: fields[name] for name in (b"content-length", b"transfer-encoding") if name in fields} == framing


@pytest.mark.parametrize("value", [b"close", b"Close", b"x, close"])
def test_the_application_may_end_the_connection(value: bytes) -> None:
    answer = Answer("GET", "1.1")
    octets = made(answer, [(b"Connection", value)], close=True)
    assert answer.close
    assert b"connection: " + value + b"\r\n" in octets
    assert octets.count(b"connection: ") == 1


def test_the_server_may_end_the_connection() -> None:
    answer = Answer("GET", "1.1")
    octets = made(answer, [(b"connection", b"upgrade")], close=True)
    assert answer.close
    assert b"connection: upgrade\r\n" in octets
    assert b"connection: close\r\n" in octets


def test_an_own_date_is_kept() -> None:
    assert made(Answer("GET", "1.1"), [(b"Date", b"never")]).count(b"date: ") == 1


@pytest.mark.parametrize(
    "fields",
    [
        [(b"content-length", b"5"), (b"content-length", b"5")],
        [(b"content-length", b"+5")],
        [(b"content-length", b"")],
        [(b"a", b"b\r\nc: d")],
        [(b"a\r\nc", b"d")],
        [(b"a", b"b\nc")],
        [(b"a", b"\x00")],
        [(b"a b", b"c")],
        [(b"", b"c")],
        [(b":status", b"200")],
    ],
)
def test_fields_that_make_no_head(fields: Fields) -> None:
    answer = Answer("GET", "1.1")
    with pytest.raises(AnswerError):
        answer.start(200, fields, close=False)
    assert not answer.begun


@given(st.lists(st.tuples(st.binary(max_size=8), st.binary(max_size=8)), max_size=4))
def test_a_head_has_as_many_fields_as_were_given(fields: list[tuple[bytes, bytes]]) -> None:
    try:
        octets = head(200, fields)
    except AnswerError:
        return
    assert octets.count(b"\n") == octets.count(b"\r\n") == len(fields) + 2


def test_the_order_of_an_answer() -> None:
    answer = Answer("GET", "1.1")
    with pytest.raises(AnswerError):
        answer.body(b"", more=False)
    for status in (100, 101, 199, 1000):
        with pytest.raises(AnswerError):
            answer.start(status, (), close=False)
    answer.start(200, (), close=False)
    seen = [(answer.begun, answer.complete)]
    with pytest.raises(AnswerError):
        answer.start(200, (), close=False)
    for more in (True, False):
        answer.body(b"", more=more)
        seen.append((answer.begun, answer.complete))
    assert seen == [(False, False), (True, False), (True, True)]
    with pytest.raises(AnswerError):
        answer.body(b"", more=False)


@pytest.mark.parametrize(("body", "more"), [(b"abcd", False), (b"abcd", True), (b"ab", False)])
def test_a_body_of_another_length_gives_nothing(body: bytes, more: bool) -> None:
    answer = Answer("GET", "1.1")
    answer.start(200, [(b"content-length", b"3")], close=False)
    with pytest.raises(AnswerError):
        answer.body(body, more=more)
    assert not answer.begun
