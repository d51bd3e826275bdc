"""Retrieve Capabilities and the state of the box for its monitors (PS3.18 8.9, Annexes G and H; DESIGN §6)."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from edged.store.records import DeliveryState
from tests.support.asgi_kit import Asked, call
from tests.support.box_kit import ARCHIVE, Box, opened_box
from tests.support.commitment_kit import moved
from tests.support.stow_kit import made, named

WADL = "application/vnd.sun.wadl+xml"
JSON = {"Accept": "application/json"}
STORE_ONLY = f'[access]\nanonymous = ["store"]\n{ARCHIVE}'
ONE, TWO, THREE = named(1), named(2), named(3)


@pytest.mark.parametrize("accept", [WADL, "*/*", "application/*", f"{WADL}, application/json", "text/html, */*;q=0.1"])
async def test_the_description_is_wadl(box: Box, accept: str) -> None:
    answer = await box.ask("OPTIONS", "/", {"Accept": accept})
    assert answer.status == 200
    assert answer.headers["content-type"] == WADL
    root = ElementTree.fromstring(answer.body)
    base = root.find("{*}resources")
    assert base is not None
    assert base.get("base") == "http://localhost:8080/"
    assert {"studies", "commitment-requests"} <= {each.get("path") for each in base}


@pytest.mark.parametrize("accept", [None, "", "text/html", "application/dicom+json"])
async def test_nothing_acceptable_is_406(box: Box, accept: str | None) -> None:
    answer = await box.ask("OPTIONS", "/", {} if accept is None else {"Accept": accept})
    assert answer.status == 406


async def test_the_state_for_monitors(box: Box) -> None:
    await box.stow(made(ONE), made(TWO), made(THREE))
    await moved(box, TWO, DeliveryState.SENT)
    await moved(box, THREE, DeliveryState.COMMITTED, proof="dicomweb")
    answer = await box.ask("OPTIONS", "/", JSON)
    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-store"
    assert "etag" not in answer.headers
    content = json.loads(answer.body)
    assert set(content) == {"application", "edged"}
    state = content["edged"]
    assert state["store"]["instances"] == {"held": 1, "sent": 1, "committed": 1, "parked": 0, "conflict": 0}
    [archive] = state["destinations"]
    assert (archive["name"], archive["queued"], archive["sent"], archive["committed"]) == ("archive", 1, 1, 1)
    assert state["oldest_unsent_s"] == 0
    assert json.loads((await box.ask("GET", "/admin/status")).body) | {"uptime_s": 0} == state | {"uptime_s": 0}


async def test_no_state_without_the_role(tmp_path: Path) -> None:
    async with opened_box(tmp_path, STORE_ONLY) as box:
        answer = await box.ask("OPTIONS", "/", JSON)
        assert answer.status == 200
        assert set(json.loads(answer.body)) == {"application"}
        assert answer.headers["etag"]
        assert (await box.ask("GET", "/admin/status")).status == 401


async def test_entity_tags_belong_to_the_description(tmp_path: Path) -> None:
    async with opened_box(tmp_path, STORE_ONLY) as box:
        for accept in (WADL, "application/json"):
            answer = await box.ask("OPTIONS", "/", {"Accept": accept})
            condition = {"Accept": accept, "If-None-Match": answer.headers["etag"]}
            await box.stow(made(ONE))
            again = await box.ask("OPTIONS", "/", condition)
            assert (again.status, again.headers["etag"], again.body) == (304, answer.headers["etag"], b"")
            assert (await box.ask("OPTIONS", "/", {**condition, "If-None-Match": '"other"'})).status == 200


async def test_below_a_base_path_and_behind_a_proxy(tmp_path: Path) -> None:
    config = '[origin]\nbind = ["http://127.0.0.1:0"]\nbase_path = "/pacs/rs"\n'
    async with opened_box(tmp_path, config) as box:
        for path in ("/pacs/rs", "/pacs/rs/"):
            answer = await box.ask("OPTIONS", path, {"Accept": WADL})
            assert b'base="http://localhost:8080/pacs/rs/"' in answer.body
        assert (await box.ask("OPTIONS", "/", {"Accept": WADL})).status == 404
    public = config + 'base_url = "https://edge.example/rs"\n'
    async with opened_box(tmp_path / "other", public) as box:
        answer = await box.ask("OPTIONS", "/pacs/rs", {"Accept": WADL, "Host": "localhost:1"})
        assert b'base="https://edge.example/rs/"' in answer.body


@pytest.mark.parametrize(
    ("host", "base"),
    [
        ("localhost", "http://localhost:8080/"),
        ("localhost:9", "http://localhost:9/"),
        ("[::1]", "http://[::1]:8080/"),
        ("[::1]:9", "http://[::1]:9/"),
    ],
)
async def test_the_host_that_was_asked(box: Box, host: str, base: str) -> None:
    answer = await box.ask("OPTIONS", "/", {"Accept": WADL, "Host": host})
    assert f'base="{base}"'.encode() in answer.body


async def test_conditions_stand_in_the_state(box: Box) -> None:
    await box.stow(made(ONE))
    await box.stow(made(TWO, patient=b"P2"))
    state = json.loads((await call(box.application, Asked("OPTIONS", "/", JSON))).body)["edged"]
    [condition] = state["conditions"]
    assert condition["name"] == "study-inconsistent"
    assert "P2" not in json.dumps(state)
