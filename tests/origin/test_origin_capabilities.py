"""Retrieve Capabilities and the state of the box for its monitors (PS3.18 8.9, Annexes G and H; DESIGN §6)."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

import pytest
import trio

from edged.app.box import application_of
from edged.app.limits import limits_of
from edged.dicomweb.resources import ROUTES
from edged.dicomweb.routing import resources_of
from edged.origin.exchange import Reply, Request
from edged.origin.monitoring import DESCRIPTIONS, RetrieveCapabilities
from edged.store.records import DeliveryState
from edged.store.space import OVERHEAD_BYTES
from edged.telemetry.live import DestinationLive, DestinationState, LastError, Phase
from tests.support.asgi_kit import Asked, call
from tests.support.box_kit import ARCHIVE, Box, opened_box
from tests.support.commitment_kit import moved
from tests.support.http_client import connected
from tests.support.server_kit import serving
from tests.support.stow_kit import made, named
from tests.support.wadl_schema import breaches

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
    assert breaches(answer.body) == []
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS"
    assert {"accept", "authorization"} <= set(answer.headers["vary"].lower().split(", "))


@pytest.mark.parametrize("accept", [None, "", "text/html", "application/dicom+json"])
async def test_nothing_acceptable_is_406(box: Box, accept: str | None) -> None:
    answer = await box.ask("OPTIONS", "/", {} if accept is None else {"Accept": accept})
    assert answer.status == 406


async def test_what_is_available_is_told(box: Box) -> None:
    answer = await box.ask("OPTIONS", "/", {"Accept": "application/problem+json"})
    assert (answer.status, json.loads(answer.body)["available"]) == (406, [WADL, "application/json"])


OF_THE_BODY = {"content-type", "content-length"}
TEMPLATES = [resource.template for resource in resources_of(ROUTES) if resource.listed]


@pytest.mark.parametrize("template", TEMPLATES[1:])
async def test_any_resource_below_describes_itself_and_what_is_below_it(box: Box, template: str) -> None:
    path = template.replace("{", "").replace("}", "")
    answer = await box.ask("OPTIONS", path, {"Accept": WADL})
    assert (answer.status, answer.headers["content-type"]) == (200, WADL)
    assert breaches(answer.body) == []
    base = ElementTree.fromstring(answer.body).find("{*}resources")
    assert base is not None
    assert (base.get("base"), [each.get("path") for each in base]) == ("http://localhost:8080/", [template[1:]])
    again = await box.ask("OPTIONS", path, {"Accept": WADL, "If-None-Match": answer.headers["etag"]})
    assert (again.status, again.body) == (304, b"")
    assert (await box.ask("OPTIONS", path)).status == 406
    content = json.loads((await box.ask("OPTIONS", path, JSON)).body)
    assert set(content) == {"application", "edged"}


async def test_what_is_not_described_says_what_it_takes(box: Box) -> None:
    for path in ("/healthz", "/admin/status", "/admin/instances/1.2/file"):
        answer = await box.ask("OPTIONS", path)
        assert (answer.status, answer.headers["allow"], answer.body) == (204, "GET, HEAD, OPTIONS", b"")
    assert (await box.ask("OPTIONS", "/admin")).status == 404


@pytest.mark.parametrize("base_path", ["/", "/pacs/rs"])
async def test_the_server_as_a_whole_says_which_methods_it_has(tmp_path: Path, base_path: str) -> None:
    config = f'[origin]\nbind = ["http://127.0.0.1:0"]\nbase_path = "{base_path}"\n[access]\nanonymous = []\n'
    async with opened_box(tmp_path, config) as box:
        answer = await box.ask("OPTIONS", "*")
        assert (answer.status, answer.headers["allow"], answer.body) == (204, "GET, HEAD, OPTIONS, POST", b"")
        async with serving(box.application) as server, connected(f"http://127.0.0.1:{server.port}") as connection:
            assert (await connection.ask("OPTIONS", "*")).headers["allow"] == answer.headers["allow"]


async def test_a_level_without_methods_of_its_own_is_405(box: Box) -> None:
    for path in ("/commitment-requests", "/studies/1.2/series", "/subscribers"):
        answer = await box.ask("GET", path)
        assert (answer.status, answer.headers["allow"]) == (405, "OPTIONS")


async def test_only_those_who_may_use_it_may_ask_about_what_is_not_described(tmp_path: Path) -> None:
    async with opened_box(tmp_path, STORE_ONLY) as box:
        assert (await box.ask("OPTIONS", "/admin/status")).status == 401
        assert (await box.ask("OPTIONS", "/healthz")).status == 204
        assert (await box.ask("OPTIONS", "/studies", {"Accept": WADL})).status == 200


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
            assert (again.status, again.body) == (304, b"")
            assert again.headers == {name: answer.headers[name] for name in answer.headers.keys() - OF_THE_BODY}
            assert again.headers["vary"] == "accept, authorization, accept-encoding"
            assert (await box.ask("OPTIONS", "/", {**condition, "If-None-Match": '"other"'})).status == 200
            assert (await box.ask("OPTIONS", "/", {"Accept": accept, "If-Match": '"other"'})).status == 412


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


async def test_descriptions_for_many_hosts_are_not_all_kept(box: Box) -> None:
    parts = box.parts
    handler = RetrieveCapabilities(parts.state, parts.conditions, parts.settings.access)
    application = application_of(parts, {"retrieveCapabilities": handler})
    answers = []
    for number in (1, *range(1, DESCRIPTIONS + 10), 1):
        asked = Asked("OPTIONS", "/studies", {"Accept": WADL, "Host": f"localhost:{number}"})
        answers.append(await call(application, asked))
        assert f'base="http://localhost:{number}/"'.encode() in answers[-1].body
    assert handler.kept == DESCRIPTIONS
    assert answers[0] == answers[1] == answers[-1]
    assert answers[0].headers["etag"] != answers[2].headers["etag"]


async def test_limits_stand_in_the_description(box: Box) -> None:
    parts = box.parts
    limits = limits_of(parts.settings)
    handler = RetrieveCapabilities(parts.state, parts.conditions, parts.settings.access, limits=limits)
    application = application_of(parts, {"retrieveCapabilities": handler})
    content = json.loads((await call(application, Asked("OPTIONS", "/", JSON))).body)
    assert "Limit: max_requests" in [each["@title"] for each in content["application"]["doc"]]


async def test_the_state_is_told_at_a_full_store_with_a_dead_destination_under_load(
    tmp_path: Path,
) -> None:
    running = trio.Event()

    async def hanging(_: Request) -> Reply:
        running.set()
        await trio.sleep_forever()
        raise AssertionError("unreachable")

    config = f'[origin]\nbind = ["http://127.0.0.1:0"]\nmax_requests = 1\n{ARCHIVE}'
    async with opened_box(tmp_path, config, handlers={"storeInstances": hanging}) as box:
        error = LastError(phase=Phase.TCP, text="refused", time=0.0)
        dead = DestinationLive(state=DestinationState.RETRYING, phase=Phase.TCP, last_error=error)
        box.parts.live.publish_destination("archive", dead)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(box.stow, made(ONE))
            await running.wait()
            nursery.start_soon(box.stow, made(TWO))
            with full(box):
                answer = await box.ask("OPTIONS", "/", JSON)
                described = await box.ask("OPTIONS", "/studies", {"Accept": WADL})
            nursery.cancel_scope.cancel()
    state = json.loads(answer.body)["edged"]
    assert (answer.status, described.status, state["store"]["free_bytes"]) == (200, 200, 0)
    [archive] = state["destinations"]
    assert (archive["state"], archive["phase"], archive["last_error"]["text"]) == ("retrying", "tcp", "refused")


@contextmanager
def full(box: Box) -> Iterator[None]:
    """Somebody has announced as much as there is room for."""
    reservation = box.store.space.open(box.store.space.free - OVERHEAD_BYTES)
    try:
        yield
    finally:
        reservation.close()
