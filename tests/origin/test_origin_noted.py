"""What of requests comes to stand in the audit log: who, what, which UIDs, what came of it (issue: Access)."""

import json
from base64 import b64encode
from collections.abc import AsyncGenerator
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
import trio

from edged.app.box import Parts
from edged.config import PasswordHash
from edged.origin.exchange import Reply, Request
from tests.conftest import ExpectedLogs
from tests.support.asgi_kit import Asked, call
from tests.support.box_kit import Box, opened_box, served_box
from tests.support.commitment_kit import JSON, sop_form
from tests.support.http_client import connected, connected_locally
from tests.support.stow_kit import MULTIPART, STUDY, made, multipart, named

ONE, TWO, THREE = named(1), named(2), named(3)
ANY = {"Accept": "*/*"}
PROXIES = '[origin]\nbind = ["http://127.0.0.1:0"]\ntrusted_proxies = ["192.0.2.5"]\n'


async def noted(box: Box) -> list[dict[str, Any]]:
    """The lines that the box's log has by now; what every line has is left out."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(box.parts.audit.keep)
        nursery.cancel_scope.cancel()
    path = box.settings.box.data_dir / "audit.log"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [
        {name: line[name] for name in line if name not in {"time", "request", "proof", "address"}} for line in lines
    ]


async def test_a_store_request(box: Box) -> None:
    await box.stow(made(ONE))
    await box.stow(made(ONE), made(ONE, fill=b"\x11"), made(TWO), b"no DICOM", path=f"/studies/{STUDY}")
    whose = {"who": "anonymous", "method": "POST"}
    assert await noted(box) == [
        {
            **whose,
            "resource": "storeInstances",
            "status": 200,
            "instances": [{"instance": ONE.instance, "outcome": "stored"}],
        },
        {
            **whose,
            "resource": "storeStudyInstances",
            "status": 202,
            "study": STUDY,
            "instances": [
                {"instance": ONE.instance, "outcome": "stored already"},
                {"instance": ONE.instance, "outcome": "0111H"},
                {"instance": TWO.instance, "outcome": "stored"},
                {"instance": "not a UID", "outcome": "C001H"},
            ],
        },
    ]


async def test_what_was_stored_of_a_request_that_broke_off(box: Box) -> None:
    body = multipart([made(ONE), made(TWO, size=100_000)])
    headers = {"Content-Type": MULTIPART, "Content-Length": str(len(body))}
    await call(box.application, Asked("POST", "/studies", headers, body[:60_000], gone=True))
    [line] = await noted(box)
    assert "status" not in line
    assert line["instances"] == [
        {"instance": ONE.instance, "outcome": "stored"},
        {"instance": TWO.instance, "outcome": "C002H"},
    ]


async def test_other_services(box: Box) -> None:
    await box.stow(made(ONE))
    await box.ask("GET", ONE.path, ANY)
    await box.ask("HEAD", THREE.path, ANY)
    await box.ask("GET", f"/admin/instances/{ONE.instance}/file")
    await box.ask("POST", "/commitment-requests/1.2.3", JSON, sop_form([ONE]))
    await box.ask("GET", "/commitment-requests/1.2.3?%", JSON)
    lines = (await noted(box))[1:]
    where = {"study": ONE.study, "series": ONE.series}
    assert [{name: line[name] for name in line if name != "who"} for line in lines] == [
        {"method": "GET", "resource": "retrieveInstance", "status": 200, **where, "instance": ONE.instance},
        {"method": "HEAD", "resource": "retrieveInstance", "status": 404, **where, "instance": THREE.instance},
        {"method": "GET", "resource": "adminInstanceFile", "status": 200, "instance": ONE.instance},
        {"method": "POST", "resource": "requestStorageCommitment", "status": 202, "transaction": "1.2.3"},
        {"method": "GET", "resource": "checkStorageCommitmentResult", "status": 400, "transaction": "1.2.3"},
    ]


async def test_mere_monitoring_is_not_noted(box: Box) -> None:
    for method, path in (("OPTIONS", "/"), ("GET", "/healthz"), ("GET", "/admin/status"), ("GET", "/nothing")):
        await box.ask(method, path, ANY)
    await box.ask("DELETE", "/studies")
    assert await noted(box) == []


async def test_who_was_refused(tmp_path: Path) -> None:
    async with opened_box(tmp_path, "[access]\nanonymous = []\n") as box:
        await box.ask("GET", "/admin/status", {"Authorization": "Bearer secret"})
        await box.ask("POST", "/studies")
        lines = await noted(box)
    assert [(line["resource"], line["status"]) for line in lines] == [("adminStatus", 401), ("storeInstances", 401)]
    assert "secret" not in json.dumps(lines)


TOKEN, PASSWORD, CERTIFICATE = "of ct-1", "of ct-2", b"of ct-3"
KNOWN = (
    f'[[access.token]]\nname = "ct-1"\nsha256 = "{sha256(TOKEN.encode()).hexdigest()}"\nroles = ["store"]\n'
    f'[[access.password]]\nname = "ct-2"\nscrypt = "{PasswordHash.of(PASSWORD, bytes(16), parallel=1)}"\n'
    'roles = ["store"]\n'
    f'[[access.certificate]]\nname = "ct-3"\nsha256 = "{sha256(CERTIFICATE).hexdigest()}"\nroles = ["store"]\n'
)
TLS = '[origin]\nbind = ["https://127.0.0.1:0"]\ncertificate = "/c"\nprivate_key = "/k"\nclient_ca = "/ca"\n'
BASIC = "Basic " + b64encode(f"ct-2:{PASSWORD}".encode()).decode()


@pytest.mark.parametrize(
    ("credential", "shown", "who"),
    [
        ({"Authorization": f"Bearer {TOKEN}"}, None, ("ct-1", "token")),
        ({"Authorization": BASIC}, None, ("ct-2", "password")),
        ({}, CERTIFICATE, ("ct-3", "certificate")),
        ({"Authorization": "Bearer unknown"}, CERTIFICATE, ("anonymous", "none")),
    ],
)
async def test_who_was_refused_is_named_if_he_is_known(
    tmp_path: Path, credential: dict[str, str], shown: bytes | None, who: tuple[str, str]
) -> None:
    async with opened_box(tmp_path, TLS + KNOWN) as box:
        tls = {"edged.tls": {"client_certificate": shown, "client_names": ()}}
        reading = Asked("GET", ONE.path, {**ANY, **credential}, extensions=tls)
        page = {"Origin": "https://page.example"}
        storing = Asked("POST", "/studies", {**credential, **page}, client=("192.0.2.7", 1), extensions=tls)
        statuses = [(await call(box.application, asked)).status for asked in (reading, storing)]
        await noted(box)
        text = (box.settings.box.data_dir / "audit.log").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert [(line["who"], line["proof"]) for line in lines] == [who, who]
    assert [line["status"] for line in lines] == statuses
    assert statuses[0] == (403 if who[0] != "anonymous" else 401)


@pytest.mark.parametrize(("wanted", "patient"), [("true", "P1"), ("false", None)])
async def test_the_patient_only_if_it_is_wanted(tmp_path: Path, wanted: str, patient: str | None) -> None:
    async with opened_box(tmp_path, f"[access]\naudit_patient = {wanted}\n") as box:
        await box.stow(made(ONE))
        [line] = await noted(box)
    assert line["instances"][0].get("patient") == patient


async def test_the_address_that_a_trusted_proxy_tells(tmp_path: Path) -> None:
    async with opened_box(tmp_path, PROXIES + '[access]\nanonymous = ["read"]\n') as box:
        for client in (("192.0.2.5", 1), ("192.0.2.6", 1)):
            headers = {**ANY, "X-Forwarded-For": "203.0.113.9"}
            await call(box.application, Asked("GET", ONE.path, headers, client=client))
        await noted(box)
        text = (box.settings.box.data_dir / "audit.log").read_text()
    assert [json.loads(line)["address"] for line in text.splitlines()] == ["203.0.113.9", "192.0.2.6"]


async def test_what_a_trusted_proxy_tells_malformed_is_marked(tmp_path: Path) -> None:
    async with opened_box(tmp_path, PROXIES + '[access]\nanonymous = ["read"]\n') as box:
        headers = {**ANY, "X-Forwarded-For": "203.0.113.9", "Forwarded": "for=198.51.100.1"}
        await call(box.application, Asked("GET", ONE.path, headers, client=("192.0.2.5", 1)))
        await noted(box)
        [line] = (box.settings.box.data_dir / "audit.log").read_text().splitlines()
    assert (json.loads(line)["address"], json.loads(line)["forwarded"]) == ("192.0.2.5", "malformed")


async def broken(_: Request) -> Reply:
    async def pieces() -> AsyncGenerator[bytes | memoryview, None]:
        yield b"x" * 5000
        raise RuntimeError("in the middle")

    return Reply(HTTPStatus.OK, (("content-length", "10000"),), pieces)


async def test_an_answer_that_did_not_go_out_whole_has_no_status(tmp_path: Path) -> None:
    async with opened_box(tmp_path, handlers={"retrieveInstance": broken}) as box:
        with pytest.raises(RuntimeError):
            await box.ask("GET", ONE.path, ANY)
        [line] = await noted(box)
    assert "status" not in line


async def fails(_: Request) -> Reply:
    raise RuntimeError("something")


async def test_what_failed(tmp_path: Path, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("a request failed")
    async with opened_box(tmp_path, handlers={"retrieveInstance": fails}) as box:
        assert (await box.ask("GET", ONE.path, ANY)).status == 500
        [line] = await noted(box)
    assert line["status"] == 500


async def test_a_whole_box_keeps_its_log(tmp_path: Path) -> None:
    kept = tmp_path / "kept.log"

    async def use(parts: Parts) -> str:
        async with connected(parts.urls[0]) as connection:
            answer = await connection.ask("POST", "/studies", {"Content-Type": MULTIPART}, multipart([made(ONE)]))
        async with connected_locally(str(parts.settings.box.control)) as connection:
            assert (await connection.ask("GET", ONE.path, ANY)).status == 200
        return answer.headers["x-request-id"]

    async with served_box(tmp_path) as parts:
        request_id = await use(parts)
        log = parts.settings.box.data_dir / "audit.log"
        while not log.exists() or log.read_bytes().count(b"\n") < 2:
            await trio.lowlevel.checkpoint()
        kept.write_bytes(log.read_bytes())
    stored, read = (json.loads(line) for line in kept.read_text().splitlines())
    assert (stored["request"], stored["address"]) == (request_id, "127.0.0.1")
    assert (read["proof"], read["address"]) == ("peer", "local")
