"""GET /admin/explain and POST /admin/probe: what they answer and refuse, and for whom."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.origin.test_origin_admin_queue import Sending
from tests.support.box_kit import ARCHIVE, Box, opened_box
from tests.support.forwarding_kit import destination
from tests.support.scripted_archive import Reply, scripted_archive
from tests.support.stow_kit import STUDY, made, named

JSON = {"Accept": "application/json"}
SENT = {**JSON, "Content-Type": "application/json"}
ONE = named(1)


async def explained(box: Box, path: str) -> tuple[int, Any]:
    answer = await box.ask("GET", f"/admin/explain/{path}", JSON)
    return answer.status, json.loads(answer.body)


async def probed(box: Box, content: dict[str, Any]) -> tuple[int, Any]:
    answer = await box.ask("POST", "/admin/probe", SENT, json.dumps(content).encode())
    return answer.status, json.loads(answer.body)


async def test_an_instance_and_its_study(box: Box) -> None:
    await box.stow(made(ONE), made(named(2)))
    status, instance = await explained(box, ONE.instance)
    assert (status, instance["kind"], instance["uid"]) == (200, "instance", ONE.instance)
    assert instance["instances"][0]["destinations"][0]["state"] == "pending"
    status, study = await explained(box, f"{STUDY}?limit=1&offset=1")
    assert (status, study["kind"], study["instances"]) == (200, "study", 2)
    assert (study["offset"], len(study["uncommitted"]), study["uncommitted_total"]) == (1, 1, 2)


async def test_what_is_known_is_kept_by_nobody(box: Box) -> None:
    await box.stow(made(ONE))
    answer = await box.ask("GET", f"/admin/explain/{ONE.instance}", JSON)
    assert answer.headers["cache-control"] == "no-store"


async def test_what_is_not_known_is_told_from_what_is_not_there(box: Box) -> None:
    status, report = await explained(box, "1.2.3")
    assert (status, report["unknown"]) == (404, "1.2.3")


@pytest.mark.parametrize("query", ["limit=0x1", "limit=501", "offset=-1", "offset=10001", "limit=" + "9" * 50])
async def test_a_page_that_cannot_be(box: Box, query: str) -> None:
    await box.stow(made(ONE))
    assert (await explained(box, f"{STUDY}?{query}"))[0] == 400


async def test_only_an_admin_may(tmp_path: Path) -> None:
    async with opened_box(tmp_path, f'[access]\nanonymous = ["store", "read", "monitor"]\n{ARCHIVE}') as box:
        assert (await box.ask("GET", f"/admin/explain/{ONE.instance}", JSON)).status == 401
        assert (await box.ask("POST", "/admin/probe", SENT, b"{}")).status == 401


async def test_a_probe_from_within_the_daemon(box: Box) -> None:
    status, report = await probed(box, {"destination": "archive"})
    assert status == 200
    [found] = report["probes"]
    assert (found["destination"], found["url"], found["good"]) == ("archive", "http://127.0.0.1:9", False)
    outcomes = {each["name"]: each["outcome"] for each in found["steps"]}
    assert (outcomes["dns"], outcomes["tcp"], outcomes["search"]) == ("ok", "failed", "not-tried")
    assert (await probed(box, {}))[1]["probes"][0]["destination"] == "archive"
    assert "archive" not in box.parts.live.destinations  # nothing of a probe is published


async def test_a_destination_that_a_probe_finds_good_is_tried_at_once(tmp_path: Path) -> None:
    async with (
        scripted_archive() as (archive, _),
        opened_box(tmp_path, destination(archive.url, commitment='["search"]')) as box,
    ):
        hand = box.parts.surroundings.hands[box.parts.routes.ids["archive"]] = Sending()
        archive.on_look = lambda _: Reply(503)
        assert not (await probed(box, {}))[1]["probes"][0]["good"]
        assert hand.hastened == 0
        archive.on_look = archive.show
        assert (await probed(box, {}))[1]["probes"][0]["good"]
        assert hand.hastened == 1


async def test_a_destination_that_does_not_exist(box: Box) -> None:
    status, report = await probed(box, {"destination": "archiv"})
    assert (status, report["unknown"]) == (404, "archiv")
    assert "Did you mean archive?" in report["detail"]


async def test_a_probe_that_a_web_page_could_ask_for_is_refused(box: Box) -> None:
    answer = await box.ask("POST", "/admin/probe", {**JSON, "Content-Type": "text/plain"}, b"{}")
    assert answer.status == 415
    assert (await probed(box, {"destnation": "archive"}))[0] == 400
