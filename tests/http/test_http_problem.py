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
    for text in ("503 Store is full", "No &lt;room&gt; is left &amp;", "condition</dt><dd>temporary", "a/b, c/d"):
        assert text in page


def test_plain_text() -> None:
    text = render(FULL, "text/plain").body.decode()
    assert text.startswith("503 Store is full\n\nNo <room> is left & nothing was stored.\n\ncondition: temporary\n")


def test_an_internal_error_tells_nothing_of_itself() -> None:
    report = render(INTERNAL_ERROR, "application/json")
    assert msgspec.json.decode(report.body)["title"] == "Internal Server Error"
    assert header(report, "retry-after") is None


@pytest.mark.parametrize(
    ("problem", "temporary"),
    [
        (Problem(status=HTTPStatus.NOT_FOUND, detail="No."), False),
        (Problem(status=HTTPStatus.NOT_FOUND, detail="Not yet.", temporary=True), True),
        (Problem(status=HTTPStatus.CONFLICT, detail="Busy.", retry_after=3), True),
        (Problem(status=HTTPStatus.SERVICE_UNAVAILABLE, detail="Busy."), True),
        (Problem(status=HTTPStatus.TOO_MANY_REQUESTS, detail="Too many."), True),
        (Problem(status=HTTPStatus.NOT_IMPLEMENTED, detail="No."), False),
        (INTERNAL_ERROR, True),
    ],
)
def test_every_form_says_whether_it_is_temporary_or_permanent(problem: Problem, temporary: bool) -> None:
    """PS3.18 Table 8.5-1, 4xx and 5xx."""
    word = "temporary" if temporary else "permanent"
    assert msgspec.json.decode(render(problem, "application/json").body)["temporary"] is temporary
    assert f"condition: {word}\n".encode() in render(problem, "text/plain").body
    assert f"<dt>condition</dt><dd>{word}</dd>".encode() in render(problem, None).body


def test_the_request_is_named() -> None:
    problem = Problem(status=HTTPStatus.NOT_FOUND, detail="No.", extra={"request_id": "of the extra"})
    assert msgspec.json.decode(render(problem, "application/json", "a1").body)["request_id"] == "a1"
    assert b"request id: a1\n" in render(problem, "text/plain", request_id="a1").body
    assert b"<dt>request id</dt><dd>&lt;a1&gt;</dd>" in render(problem, None, "<a1>").body


def test_a_report_is_neither_kept_nor_sniffed_nor_run() -> None:
    report = render(FULL, None)
    assert header(report, "cache-control") == "no-store"
    assert header(report, "x-content-type-options") == "nosniff"
    assert header(report, "content-security-policy") == "default-src 'none'"


def test_what_is_unknown_is_null_for_programs_and_not_shown_to_people() -> None:
    problem = Problem(status=HTTPStatus.NOT_FOUND, detail="No.", extra={"limit": None})
    assert msgspec.json.decode(render(problem, "application/json").body)["limit"] is None
    assert b"limit" not in render(problem, "text/plain").body


def test_a_long_text_is_cut() -> None:
    assert len(render(Problem(status=HTTPStatus.BAD_REQUEST, detail="x" * 1_000_000), "application/json").body) < 4000


@given(
    st.sampled_from(list(HTTPStatus)),
    st.text(st.characters()),
    st.none() | st.text(),
    st.none() | st.text(st.characters()),
)
def test_every_problem_is_rendered(status: HTTPStatus, detail: str, accept: str | None, request_id: str | None) -> None:
    for wanted in (accept, "application/json", "text/plain", None):
        report = render(Problem(status=status, detail=detail), wanted, request_id)
        assert report.body.decode()
