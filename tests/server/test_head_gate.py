"""The head gate: what passes, what is refused with which status, and that nothing else ever comes out of it."""

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edged.server.head_gate import (
    METHODS,
    PREFACE,
    HeadError,
    Hints,
    Refusal,
    check_head,
    check_method,
    head_length,
    hints_in,
    hints_of,
    is_host,
    origin_form,
)
from edged.server.limits import Limits

LIMIT = 4096
TARGET = 1000
LIMITS = Limits(head_bytes=LIMIT, target_bytes=TARGET)
GOOD = [
    b"GET / HTTP/1.1\r\nHost: box\r\n\r\n",
    b"GET /a?b=c%20d HTTP/1.0\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: box:80\r\n\r\n",
    b"POST /studies HTTP/1.1\r\nhost:\t[::1]:8080 \r\nContent-Length: 10\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: Chunked\r\n\r\n",
    b"GET http://box:80/a HTTP/1.1\r\nHost: box\r\nX:\r\nY: \xe9 \t x\r\n\r\n",
    b'DELETE /"<>{}|^` HTTP/1.1\r\nHost: a_b.c\r\n\r\n',
    b"PATCH / HTTP/1.1\r\nHost: a%20b:65535\r\n\r\n",
    b"PUT /" + b"a" * (TARGET - 1) + b" HTTP/1.1\r\nHost: box\r\n\r\n",
]
BAD = [
    (b"GET /\r\n\r\n", Refusal.REQUEST_LINE),
    (b"GET  / HTTP/1.1\r\nHost: box\r\n\r\n", Refusal.REQUEST_LINE),
    (b"G(T / HTTP/1.1\r\nHost: box\r\n\r\n", Refusal.REQUEST_LINE),
    (b"GET /\xe9 HTTP/1.1\r\nHost: box\r\n\r\n", Refusal.REQUEST_LINE),
    (b"GET / http/1.1\r\nHost: box\r\n\r\n", Refusal.REQUEST_LINE),
    (b"GET / HTTP/1.10\r\nHost: box\r\n\r\n", Refusal.REQUEST_LINE),
    (b"GET / HTTP/9.9\r\nHost: box\r\n\r\n", Refusal.VERSION),
    (b"PRI * HTTP/2.0\r\n\r\n", Refusal.VERSION),
    (b"GET * HTTP/1.1\r\nHost: box\r\n\r\n", Refusal.TARGET),
    (b"get / HTTP/1.1\r\nHost: box\r\n\r\n", Refusal.METHOD),
    (b"M-SEARCH / HTTP/1.1\r\nHost: box\r\n\r\n", Refusal.METHOD),
    (b"GET /a#b HTTP/1.1\r\nHost: box\r\n\r\n", Refusal.TARGET),
    (b"GET box:80 HTTP/1.1\r\nHost: box\r\n\r\n", Refusal.TARGET),
    (b"GET http://box:99999/ HTTP/1.1\r\nHost: box\r\n\r\n", Refusal.TARGET),
    (b"GET /" + b"a" * TARGET + b" HTTP/1.1\r\nHost: box\r\n\r\n", Refusal.TARGET_TOO_LONG),
    (b"GET /" + b"a" * 2 * TARGET + b" HTTP/1.1\r\nHost: box\r\n\r\n", Refusal.TARGET_TOO_LONG),
    (b"GET ftp://box/ HTTP/1.1\r\nHost: box\r\n\r\n", Refusal.TARGET),
    (b"GET http://u@box/ HTTP/1.1\r\nHost: box\r\n\r\n", Refusal.TARGET),
    (b"GET http:/// HTTP/1.1\r\nHost: box\r\n\r\n", Refusal.TARGET),
    (b"CONNECT box:1 HTTP/1.1\r\nHost: box\r\n\r\n", Refusal.CONNECT),
    (b"GET / HTTP/1.1\r\nHost: box\r\nA: b\r\n c\r\n\r\n", Refusal.FOLDING),
    (b"GET / HTTP/1.1\r\n Host: box\r\n\r\n", Refusal.FOLDING),
    (b"GET / HTTP/1.1\r\nHost : box\r\n\r\n", Refusal.FIELD),
    (b"GET / HTTP/1.1\r\nHost: box\r\nA\r\n\r\n", Refusal.FIELD),
    (b"GET / HTTP/1.1\r\nHost: box\r\n: a\r\n\r\n", Refusal.FIELD),
    (b"GET / HTTP/1.1\r\nHost: box\r\nA: b\x00c\r\n\r\n", Refusal.FIELD),
    (b"GET / HTTP/1.1\r\nHost: box\r\nA: b\rc\r\n\r\n", Refusal.LINE_END),
    (b"GET / HTTP/1.1\r\nHost: a\r\r", Refusal.LINE_END),  # and whatever comes then: there is nothing to wait for
    (b"GET / HTTP/1.1\rH", Refusal.LINE_END),
    (b"GET / HTTP/1.1\r\nHost: box\r\nA: \x7f\r\n\r\n", Refusal.FIELD),
    (b"GET / HTTP/1.1\r\n\r\n", Refusal.HOST),
    (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", Refusal.HOST),
    (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", Refusal.HOST),
    (b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", Refusal.HOST),
    (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", Refusal.HOST),
    (b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", Refusal.HOST),
    (b"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", Refusal.HOST),
    (b"GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", Refusal.HOST),
    (b"GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", Refusal.HOST),
    (b"GET / HTTP/1.1\r\nHost: 0.0.0.0=80\r\n\r\n", Refusal.HOST),
    (b"GET / HTTP/1.1\r\nHost: a\r\nContent_Length: 1\r\n\r\n", Refusal.FIELD),
    (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", Refusal.REQUEST_LINE),
    (b"GET / HTTP/1.1\r\nHost: a%2\r\n\r\n", Refusal.HOST),
    (b"GET / HTTP/1.1\r\nHost: [1:::2]\r\n\r\n", Refusal.HOST),
    (b"GET / HTTP/1.0\r\nHost: a/b\r\n\r\n", Refusal.HOST),
    (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", Refusal.CONTENT_LENGTH),
    (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n", Refusal.CONTENT_LENGTH),
    (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", Refusal.CONTENT_LENGTH),
    (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", Refusal.CONTENT_LENGTH),
    (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: " + b"9" * 16 + b"\r\n\r\n", Refusal.CONTENT_LENGTH),
    (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", Refusal.FRAMING),
    (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", Refusal.TRANSFER_ENCODING),
    (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", Refusal.TRANSFER_ENCODING),
    (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n", Refusal.TRANSFER_ENCODING),
    (b"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", Refusal.TRANSFER_ENCODING),
    (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * 100 + b"\r\n", Refusal.FIELDS),
]  # fmt: skip

heads = st.one_of(
    st.binary(max_size=300),
    st.sampled_from([head for head, _ in BAD] + GOOD),
    st.lists(
        st.sampled_from([b"GET ", b"/", b" HTTP/1.1", b"\r\n", b"\n", b"\r", b"Host", b":", b" ", b"box", b"\x00"])
    ).map(b"".join),
)


def outcome(octets: bytes) -> int | Refusal | None:
    """What the gate makes of octets: the length of a good head, None for an incomplete one, or the refusal."""
    try:
        length = head_length(octets, LIMITS)
        if length is not None:
            check_head(octets[:length], LIMITS)
    except HeadError as error:
        return error.refusal
    return length


@pytest.mark.parametrize("head", GOOD)
def test_passes(head: bytes) -> None:
    assert outcome(head) == len(head)


@pytest.mark.parametrize(("head", "refusal"), BAD)
def test_refused(head: bytes, refusal: Refusal) -> None:
    assert outcome(head) is refusal


@given(heads, st.binary(max_size=20))
@example(PREFACE, b"SM\r\n\r\n")
def test_one_octet_at_a_time_and_octets_after_the_end_change_nothing(head: bytes, after: bytes) -> None:
    whole = outcome(head)
    if isinstance(whole, int):
        assert outcome(head[:whole] + after) == whole
        assert all(outcome(head[:size]) is None for size in range(whole))
    elif whole is None:
        assert all(outcome(head[:size]) is None for size in range(len(head)))


@given(heads)
def test_a_refusal_is_final(head: bytes) -> None:
    seen = [outcome(head[:size]) for size in range(len(head) + 1)]
    first = next((it for it in seen if isinstance(it, Refusal)), None)
    assert all(isinstance(it, Refusal) for it in seen[seen.index(first) :]) if first else True


@given(st.sampled_from(GOOD), st.integers(1, 60), st.sampled_from([b"\r", b"\n"]))
def test_half_a_line_end_is_refused_at_the_next_octet(head: bytes, at: int, half: bytes) -> None:
    begun, after = head[:at], head[at : at + 1]
    if begun.endswith(b"\r") or after in {b"", b"\n"} or isinstance(outcome(begun), int):
        return
    assert isinstance(outcome(begun + half + after), Refusal)
    assert (outcome(begun + half) is None) == (half == b"\r")  # which may become a whole one


def test_a_head_without_end_is_refused_at_the_limit() -> None:
    octets = b"GET / HTTP/1.1\r\nA: " + b"a" * LIMIT
    assert outcome(octets[: LIMIT - 1]) is None
    assert outcome(octets) is Refusal.TOO_LARGE


def test_a_target_without_end_is_refused_before_the_limit_of_a_head() -> None:
    octets = b"GET /" + b"a" * LIMIT
    assert outcome(octets[: TARGET + 40]) is None
    assert outcome(octets[: TARGET + 60]) is Refusal.TARGET_TOO_LONG


@given(st.one_of(heads, st.sampled_from([b"\r\nAccept: a, b\t\r\n", b"HEAD / HTTP/1.1\r\naccept:"])))
def test_what_a_refused_head_prefers_can_always_be_asked(head: bytes) -> None:
    hints = hints_in(head)
    assert hints.accept is None or hints.accept.isascii()
    assert hints_in(b"HEAD / HTTP/1.1\r\nAccept: text/plain \r\nX") == Hints(b"text/plain", head_only=True)
    assert hints_in(b"GET / HTTP/1.1\r\nX-Accept: a\r\n\r\nAccept: b") == Hints()


def test_which_page_asks_is_read_where_it_can_be() -> None:
    fields = b"ORIGIN:\thttps://a \r\nAccept: a\r\nBad field\r\nAccept: b\r\n"
    told = Hints(b"a, b", b"https://a")
    assert hints_in(b"GET /\x00 HTTP/1.1\r\n" + fields) == told  # incomplete
    assert hints_in(b"GET / HTTP/1.1\r\n" + fields + b"\r\nOrigin: https://b\r\n") == told  # a body
    assert hints_in(b"GET / HTTP/1.1\r\nOrigin: https://a") == Hints()  # how it goes on nobody knows
    assert hints_in(b"GET / HTTP/1.1\r\n" + 2 * fields).origin is None
    assert hints_of("HEAD", [(b"origin", b"https://a")]) == Hints(origin=b"https://a", head_only=True)


def test_methods_that_nobody_knows() -> None:
    for method in METHODS:
        check_method(method)
    for method, status in ((b"CONNECT", 501), (b"get", 501), (b"PROPFIND", 501), (b"", 501)):
        with pytest.raises(HeadError) as caught:
            check_method(method)
        assert caught.value.refusal.status == status


@pytest.mark.parametrize("octets", [b"\x16\x03\x01", b"\n", b" GET", b"\xff"])
def test_what_cannot_become_a_head_is_refused_at_once(octets: bytes) -> None:
    assert outcome(octets) is Refusal.NOT_HTTP


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        (b"GET", b"/a?b", (b"/a?b", None)),
        (b"OPTIONS", b"/a?b", (b"/a?b", None)),
        (b"OPTIONS", b"*", (b"*", None)),
        (b"GET", b"http://box:1/a?b", (b"/a?b", b"box:1")),
        (b"GET", b"HTTPS://box", (b"/", b"box")),
        (b"GET", b"http://box?q", (b"/?q", b"box")),
        (b"OPTIONS", b"http://box:1", (b"*", b"box:1")),
        (b"OPTIONS", b"http://box/", (b"/", b"box")),
        (b"OPTIONS", b"http://box?q", (b"/?q", b"box")),
    ],
)
def test_origin_form(method: bytes, target: bytes, expected: tuple[bytes, bytes | None]) -> None:
    """RFC 9112 3.2.2, 3.2.4."""
    assert origin_form(method, target) == expected
    head = check_head(method + b" " + target + b" HTTP/1.1\r\nHost: other\r\n\r\n")
    assert (head.target, head.named[b"host"]) == (expected[0], [expected[1] or b"other"])


def test_is_host() -> None:
    assert all(is_host(it) for it in (b"a", b"a.b:1", b"[::1]", b"[::1]:8080", b"127.0.0.1:"))
    assert not any(is_host(it) for it in (b"", b":1", b"a:b", b"a b", b"[", b"a@b", b"a/b", "é".encode()))


def test_a_head_is_read_once_and_as_it_came() -> None:
    head = check_head(
        b"POST http://b:81/x?y HTTP/1.1\r\nA:  1\t\r\nHOST: c\r\nConnection: Upgrade , close\r\na: 2, 3\r\n\r\n"
    )
    assert (head.method, head.target, head.version) == ("POST", b"/x?y", "1.1")
    assert head.fields == [(b"host", b"b:81"), (b"a", b"1"), (b"connection", b"Upgrade , close"), (b"a", b"2, 3")]
    assert head.named[b"host"] == [b"b:81"]
    assert head.tokens(b"connection") == {b"upgrade", b"close"}
    assert head.tokens(b"a") == {b"1", b"2", b"3"}
    assert head.tokens(b"b") == set()


@pytest.mark.parametrize("head", GOOD)
def test_a_head_that_passes_is_one_for_h11(head: bytes) -> None:
    ours, connection = check_head(head), h11.Connection(h11.SERVER)
    connection.receive_data(head)
    theirs = connection.next_event()
    assert isinstance(theirs, h11.Request)
    assert (ours.method.encode(), ours.version.encode()) == (theirs.method, theirs.http_version)
    if not theirs.target.startswith(b"http:"):
        assert [(name, value.lower()) for name, value in ours.fields] == [(n, v.lower()) for n, v in theirs.headers]
