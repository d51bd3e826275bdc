"""Query parameters: what is not known is ignored and told, what cannot be read is 400 (PS3.18 8.3)."""

import json
from pathlib import Path

import pytest

from tests.support.box_kit import Box, opened_box
from tests.support.commitment_kit import JSON, sop_form
from tests.support.http_client import connected
from tests.support.server_kit import serving
from tests.support.stow_kit import MULTIPART, made, multipart, named

ONE = named(1)
RESULT = "/commitment-requests/1.2.3"
ANY = {"Accept": "*/*"}


async def test_what_is_not_known_is_ignored_and_told(box: Box) -> None:
    await box.stow(made(ONE))
    plain = await box.ask("GET", ONE.path, ANY)
    answer = await box.ask("GET", f"{ONE.path}?viewport=10,10&Accept=a/b&annotation=patient", ANY)
    warning = answer.headers.pop("warning")
    assert (answer.status, answer.body) == (200, plain.body)
    assert warning.startswith("299 http://localhost:8080: ")
    assert warning.endswith(" viewport Accept annotation")
    assert answer.headers == plain.headers


async def test_every_service_tells(box: Box) -> None:
    body = multipart([made(ONE)])
    for method, path, headers, content, status in (
        ("OPTIONS", "/?x=1", ANY, b"", 200),
        ("GET", "/healthz?x", {}, b"", 200),
        ("GET", "/admin/status?x=1", {}, b"", 200),
        ("POST", "/studies?x=1&accept=image/png", {"Content-Type": MULTIPART}, body, 200),
        ("POST", f"{RESULT}?x=1", JSON, sop_form([ONE]), 202),
        ("GET", f"{RESULT}?x=1", ANY, b"", 202),
        ("GET", "/commitment-requests/1.2.4?x=1", ANY, b"", 404),
        ("GET", "/?x=1", {}, b"", 426),
    ):
        answer = await box.ask(method, path, headers, content)
        assert answer.status == status, path
        assert " x" in answer.headers["warning"]
        assert "warning" not in (await box.ask(method, path.partition("?")[0], headers, content)).headers


async def test_a_commitment_request_has_no_parameters(box: Box) -> None:
    """13.4.1.2: whatever the value is, the parameter is not known there."""
    for number, query in enumerate(("accept=*/*", "accept=application/dicom%2Bxml", "charset=x")):
        path = f"/commitment-requests/1.2.{number}"
        answer = await box.ask("POST", f"{path}?{query}", JSON, sop_form([ONE]))
        assert answer.status == 202
        assert answer.headers["warning"].endswith(" " + query.partition("=")[0])


async def test_a_name_cannot_leave_its_field(box: Box) -> None:
    answer = await box.ask("GET", "/healthz?%22,%20299%20evil%C3%BC=1", {})
    assert answer.status == 200
    assert answer.headers["warning"].isascii()
    assert (
        len((await box.ask("GET", "/healthz?" + "&".join(f"x{n}" * 10 for n in range(150)))).headers["warning"]) < 2000
    )


@pytest.mark.parametrize(
    "query", ["accept=%zz", "x=%", "=1", "x=%ff", "x=%00", "x=%0d%0aevil:1", "&".join(["x"] * 300)]
)
async def test_what_cannot_be_read_is_400(box: Box, query: str) -> None:
    for method, path in (("OPTIONS", "/"), ("GET", ONE.path), ("POST", "/studies"), ("GET", "/healthz")):
        answer = await box.ask(method, f"{path}?{query}", {"Accept": "application/json", "Content-Type": MULTIPART})
        assert answer.status == 400
        report = json.loads(answer.body)
        assert report["temporary"] is False
        assert "warning" not in answer.headers


async def test_an_unreadable_query_of_a_store_stores_nothing(box: Box) -> None:
    answer = await box.ask("POST", "/studies?%", {"Content-Type": MULTIPART}, multipart([made(ONE)]))
    assert answer.status == 400
    assert (await box.ask("GET", ONE.path, ANY)).status == 404


async def test_the_accept_parameter(box: Box) -> None:
    await box.ask("POST", RESULT, JSON, sop_form([ONE]))
    await box.stow(made(ONE))
    for accept, parameter, status in (
        ("*/*", "application/dicom%2Bxml", 202),
        ("*/*", "application/dicom+xml", 202),
        ("*/*", "*/*", 400),
        ("*/*", "application/*", 400),
        ("*/*", "dicom", 400),
        ("*/*", "", 400),
        ("application/dicom+json", "application/dicom+xml", 400),
        ("*/*", "application/pdf,application/dicom+xml", 400),
        (None, "application/dicom+xml", 406),
    ):
        headers = {} if accept is None else {"Accept": accept}
        answer = await box.ask("GET", f"{RESULT}?accept={parameter}", headers)
        assert answer.status == status, parameter
        single = await box.ask("GET", f"{ONE.path}?accept=application/dicom", headers)
        assert single.status == {None: 406, "*/*": 200}.get(accept, 400)


async def test_the_charset_parameter_alone_refuses_nothing(box: Box) -> None:
    await box.ask("POST", RESULT, JSON, sop_form([ONE]))
    for query in ("charset=iso-8859-1", "charset=utf-8", "charset=*", "charset"):
        answer = await box.ask("GET", f"{RESULT}?{query}", {**ANY, "Accept-Charset": "iso-8859-5"})
        assert answer.status == 202
        assert "warning" not in answer.headers


async def test_credentials_are_asked_for_before_a_query_is_read(tmp_path: Path) -> None:
    async with opened_box(tmp_path, "[access]\nanonymous = []\n") as box:
        assert (await box.ask("GET", f"{ONE.path}?%zz", ANY)).status == 401


async def test_over_a_socket(box: Box) -> None:
    async with serving(box.application) as server, connected(f"http://127.0.0.1:{server.port}") as connection:
        answer = await connection.ask("GET", "/healthz?deep=1")
        assert (answer.status, answer.headers["warning"].split(": ")[0]) == (200, f"299 http://127.0.0.1:{server.port}")
        assert (await connection.ask("GET", "/healthz?%")).status == 400
        assert (await connection.ask("GET", "/healthz")).status == 200
