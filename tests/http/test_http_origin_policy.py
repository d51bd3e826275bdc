"""CORS: who may, what a preflight is and what it is not, and what a page may read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.http.origin_policy import EXPOSED, OriginPolicy, Preflight

VIEWER = "https://viewer.example.org"
NAMED = OriginPolicy((VIEWER, "http://localhost:3000/"))
ALL = OriginPolicy(("*",))
OFF = OriginPolicy()
ASKED = {
    "origin": VIEWER,
    "access-control-request-method": "POST",
    "access-control-request-headers": "Authorization, X-A",
}


def test_a_preflight_has_an_origin_and_a_method() -> None:
    assert NAMED.preflight("OPTIONS", ASKED) == Preflight(origin=VIEWER, headers="Authorization, X-A")


@pytest.mark.parametrize("absent", ["origin", "access-control-request-method"])
def test_another_options_request_is_none(absent: str) -> None:
    """Retrieve Capabilities from a page: OPTIONS with an Origin alone (PS3.18 8.9)."""
    assert NAMED.preflight("OPTIONS", {name: value for name, value in ASKED.items() if name != absent}) is None


def test_another_method_is_none_and_without_origins_there_is_none() -> None:
    assert NAMED.preflight("GET", ASKED) is None
    assert OFF.preflight("OPTIONS", ASKED) is None


def test_a_named_origin_is_granted() -> None:
    fields = dict(NAMED.preflight_fields(Preflight(origin=VIEWER, headers="Authorization, X-A"), "GET, HEAD, POST"))
    assert fields == {
        "access-control-allow-origin": VIEWER,
        "access-control-allow-credentials": "true",
        "access-control-allow-methods": "GET, HEAD, POST",
        "access-control-allow-headers": "authorization, x-a",
        "access-control-max-age": "600",
        "vary": "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
    }


@pytest.mark.parametrize("origin", ["https://evil.example", "null", VIEWER + ".evil.example", "https://viewer.example"])
def test_another_origin_is_granted_nothing(origin: str) -> None:
    assert [name for name, _ in NAMED.preflight_fields(Preflight(origin=origin), "GET")] == ["vary"]
    assert NAMED.response_fields(origin) == (("vary", "Origin"),)
    assert not NAMED.origin_allowed(origin)


@pytest.mark.parametrize("headers", ["", "a b", "x\ny", ",".join(["a"] * 65)])
def test_what_is_no_list_of_names_is_not_granted(headers: str) -> None:
    fields = dict(NAMED.preflight_fields(Preflight(origin=VIEWER, headers=headers), "GET"))
    assert "access-control-allow-headers" not in fields


def test_an_answer_to_a_named_origin() -> None:
    fields = dict(NAMED.response_fields(VIEWER))
    assert fields["access-control-allow-origin"] == VIEWER
    assert fields["access-control-allow-credentials"] == "true"
    assert fields["vary"] == "Origin"
    assert fields["access-control-expose-headers"] == ", ".join(EXPOSED)


def test_an_answer_without_an_origin_varies_all_the_same() -> None:
    assert NAMED.response_fields(None) == (("vary", "Origin"),)


def test_all_origins_get_no_credentials() -> None:
    fields = dict(ALL.response_fields("https://any.example"))
    assert fields["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in fields
    assert "vary" not in fields
    assert ALL.response_fields(None) == ALL.response_fields("https://any.example")


def test_without_origins_nothing_is_said() -> None:
    assert OFF.response_fields(VIEWER) == ()


def test_the_origin_of_a_websocket() -> None:
    assert NAMED.origin_allowed(None)
    assert NAMED.origin_allowed("HTTP://LOCALHOST:3000")
    assert OFF.origin_allowed("http://box:8080", own="http://box:8080")
    assert not OFF.origin_allowed(VIEWER, own="http://box:8080")
    assert ALL.origin_allowed(VIEWER)


@given(st.text(), st.text())
def test_only_named_origins_are_echoed(origin: str, headers: str) -> None:
    fields = dict(NAMED.preflight_fields(Preflight(origin=origin, headers=headers), "GET"))
    assert fields.get("access-control-allow-origin", VIEWER).lower().rstrip("/") in {VIEWER, "http://localhost:3000"}
