"""Status Reports: one content in three forms, nothing unescaped."""

from http import HTTPStatus

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.http.problem import INTERNAL_ERROR, Problem, StatusReport, render

FULL = Problem(
    status=HTTPStatus.SERVICE_UNAVAILABLE,
    detail="No <room> is left & nothing was stored.",
    title="Store is full",
    temporary=True,
    retry_after=30,
    extra={"free_bytes": 0, "media_types": ["a/b", "c/d"], "status": 999},
)


def header(report: StatusReport, name: str) -> str | None:
    return dict(report.headers).get(name)


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (None, "text/html; charset=utf-8"),
        ("image/jpeg", "text/html; charset=utf-8"),
        ("*/*", "text/html; charset=utf-8"),
        ("text/html, application/json;q=0.5", "text/html; charset=utf-8"),
        ("text/plain", "text/plain; charset=utf-8"),
        ("application/problem+json", "application/problem+json"),
        ("application/dicom+json", "application/problem+json"),
        ("application/dicom+json, application/json", "application/problem+json"),
        ("application/json, */*;q=0.1", "application/problem+json"),
    ],
)
def test_the_form_follows_accept(accept: str | None, content_type: str) -> None:
    report = render(FULL, accept)
    assert header(report, "content-type") == content_type
    assert header(report, "content-length") == str(len(report.body))
    assert header(report, "retry-after") == "30"
    assert report.status is HTTPStatus.SERVICE_UNAVAILABLE


def test_json_members() -> None:
    assert msgspec.json.decode(render(FULL, "application/json").body) == {
        "title": "Store is full",
        "status": 503,
        "detail": "No <room> is left & nothing was stored.",
        "temporary": True,
        "retry_after": 30,
        "free_bytes": 0,
        "media_types": ["a/b", "c/d"],
    }


def test_html_is_escaped_and_says_the_same() -> None:
    page = render(FULL, "text/html").body.decode()
    assert "<room>" not in page
    for text in ("503 Store is full", "No &lt;room&gt; is left &amp;", "temporary</dt><dd>yes", "a/b, c/d"):
        assert text in page


def test_plain_text() -> None:
    text = render(FULL, "text/plain").body.decode()
    assert text.startswith("503 Store is full\n\nNo <room> is left & nothing was stored.\n\ntemporary: yes\n")


def test_an_internal_error_tells_nothing_of_itself() -> None:
    report = render(INTERNAL_ERROR, "application/json")
    assert msgspec.json.decode(report.body)["title"] == "Internal Server Error"
    assert header(report, "retry-after") is None


@given(st.sampled_from(list(HTTPStatus)), st.text(), st.none() | st.text())
def test_every_problem_is_rendered(status: HTTPStatus, detail: str, accept: str | None) -> None:
    assert render(Problem(status=status, detail=detail), accept).body
