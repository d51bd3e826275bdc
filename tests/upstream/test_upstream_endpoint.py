"""URLs of destinations, and what a request may hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.upstream.endpoint import Endpoint, EndpointError
from edged.upstream.message import Answer, BytesBody, Request


@pytest.mark.parametrize(
    ("url", "endpoint", "authority"),
    [
        ("http://host:8042/dicom-web", Endpoint("http", "host", 8042, "/dicom-web"), "host:8042"),
        ("http://host:8042/dicom-web/", Endpoint("http", "host", 8042, "/dicom-web"), "host:8042"),
        ("https://archive.example", Endpoint("https", "archive.example", 443), "archive.example"),
        ("https://archive.example/", Endpoint("https", "archive.example", 443), "archive.example"),
        ("HTTPS://Archive.Example:443/a%20b", Endpoint("https", "archive.example", 443, "/a%20b"), "archive.example"),
        ("http://192.0.2.1:80", Endpoint("http", "192.0.2.1", 80), "192.0.2.1"),
        ("http://[2001:DB8::1]:8080/x", Endpoint("http", "2001:db8::1", 8080, "/x"), "[2001:db8::1]:8080"),
    ],
)
def test_a_url_is_taken_apart(url: str, endpoint: Endpoint, authority: str) -> None:
    assert Endpoint.parse(url) == endpoint
    assert endpoint.authority == authority
    assert Endpoint.parse(str(endpoint)) == endpoint


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "begins with"),
        ("archive.example", "begins with"),
        ("ftp://archive.example", 'this one with "ftp:"'),
        ("http://", "names no host"),
        ("http://:80", "names no host"),
        ("http://host:0", "port 0"),
        ("http://host:65536", "not a URL"),
        ("http://host:http", "not a URL"),
        ("http://[::1", "not a URL"),
        ("http://[::zz]/", "not a"),
        ("http://user:geheim@host/", "auth section"),
        ("http://host/?a=b", "no query"),
        ("http://host/#a", "no query and no fragment"),
        ("http://host/a b", "percent-encoded"),
        ("http://hä.example/", "xn--"),
        ("http://-host/", "not a host name"),
        ("http://" + "a" * 64 + "/", "not a host name"),
    ],
)
def test_a_url_that_cannot_be_used(url: str, reason: str) -> None:
    with pytest.raises(EndpointError, match=reason) as caught:
        Endpoint.parse(url)
    assert "geheim" not in str(caught.value)


@given(st.one_of(st.text(), st.text().map("http://".__add__), st.from_regex(r"https?://[\[\]:.@/?#%a-z0-9]*")))
def test_any_text_is_an_endpoint_or_an_error(url: str) -> None:
    try:
        endpoint = Endpoint.parse(url)
    except EndpointError:
        return
    assert Endpoint.parse(str(endpoint)) == endpoint
    Request("GET", endpoint.base_path + "/studies")


@pytest.mark.parametrize(
    "headers",
    [
        (("Na me", "x"),),
        (("", "x"),),
        (("X", "a\r\nB: c"),),
        (("X", "a\0"),),
        (("X", " a"),),
        (("X", "\u20ac"),),
        (("Host", "elsewhere"),),
        (("Content-Length", "5"),),
        (("Transfer-Encoding", "chunked"),),
        (("Connection", "close"),),
    ],
)
def test_header_fields_that_cannot_be_sent(headers: tuple[tuple[str, str], ...]) -> None:
    with pytest.raises(ValueError, match="header field"):
        Request("GET", "/", headers)


@pytest.mark.parametrize(("method", "target"), [("GE T", "/"), ("", "/"), ("GET", ""), ("GET", "x"), ("GET", "/a b")])
def test_request_lines_that_cannot_be_sent(method: str, target: str) -> None:
    with pytest.raises(ValueError, match="not a"):
        Request(method, target)


def test_content_length_is_said_where_it_belongs() -> None:
    assert Request("GET", "/").content_length is None
    assert Request("POST", "/").content_length == 0
    assert Request("POST", "/", (), BytesBody(b"abc")).content_length == 3


@given(st.lists(st.binary(max_size=20)), st.integers(0, 60))
def test_an_answer_keeps_its_beginning(chunks: list[bytes], limit: int) -> None:
    answer = Answer(limit)
    answer.begin(200, [(b"X-Name", b"v")])
    for chunk in chunks:
        answer.add(chunk)
    response = answer.response("1.1")
    whole = b"".join(chunks)
    assert response.body == whole[:limit]
    assert response.truncated == (len(whole) > limit)
    assert response.headers == (("x-name", "v"),)
