"""No cache keeps what not everybody may see: every success of a resource that asks for a role says so."""

from pathlib import Path

from edged.dicomweb.resources import ROUTES
from tests.support.asgi_kit import Answer
from tests.support.box_kit import Box, opened_box
from tests.support.commitment_kit import JSON, sop_form
from tests.support.stow_kit import CT, MULTIPART, Named, made, multipart, named

ONE = named(1)
ASK = "/commitment-requests/1.2.826.0.2"
CONFIG = '[commitment]\nevidence = "local"\n[access]\nanonymous = ["store", "read", "monitor", "admin"]\n'


async def successes(box: Box) -> dict[str, list[Answer]]:
    """Every route that is not a WebSocket, with the successes that it can have."""
    stow, file = {"Content-Type": MULTIPART, **JSON_ONLY}, f"/admin/instances/{ONE.instance}/file"
    wadl, dicom = {"Accept": "application/vnd.sun.wadl+xml"}, {"Accept": "application/dicom"}
    posted = {**JSON, "Content-Type": "application/json"}
    answers = {
        "storeInstances": [await box.ask("POST", "/studies", stow, multipart([made(ONE), b"x"]))],
        "storeStudyInstances": [await box.ask("POST", f"/studies/{ONE.study}", stow, multipart([made(ONE)]))],
        "retrieveInstance": [await box.ask("GET", ONE.path, dicom | more) for more in ({}, {"Range": "bytes=1-2"})],
        "adminInstanceFile": [await box.ask("GET", file, {"Accept": "*/*"})],
        "adminStatus": [await box.ask("GET", "/admin/status", JSON)],
        "adminQueue": [await box.ask("GET", "/admin/queue", JSON)],
        "adminQueueAction": [await box.ask("POST", "/admin/queue/hold", posted, b'{"uids": ["1.2.3"]}')],
        "adminExplain": [await box.ask("GET", f"/admin/explain/{ONE.instance}", JSON)],
        "adminProbe": [await box.ask("POST", "/admin/probe", posted, b"{}")],
        "retrieveCapabilities": [
            await box.ask("OPTIONS", "/", wadl),
            await box.ask("OPTIONS", "/", {"Accept": "application/json"}),
        ],
        "requestStorageCommitment": [
            await box.ask("POST", f"{ASK}.{number}", JSON, sop_form([Named(uid)], CT))
            for number, uid in enumerate((ONE.instance, "1.2.3"))
        ],
        "checkStorageCommitmentResult": [
            await box.ask(method, f"{ASK}.{number}", JSON) for number in (0, 1) for method in ("GET", "HEAD")
        ],
    }
    for name, path, accept in (
        ("retrieveInstance", ONE.path, dicom),
        ("adminInstanceFile", file, dicom),
    ):
        known = {**accept, "If-None-Match": answers[name][0].headers["etag"]}
        answers[name].append(await box.ask("GET", path, known))
    tag = answers["retrieveCapabilities"][0].headers["etag"]
    answers["retrieveCapabilities"].append(await box.ask("OPTIONS", "/", {**wadl, "If-None-Match": tag}))
    return answers


JSON_ONLY = {"Accept": "application/dicom+json"}


async def test_every_success_of_a_resource_with_roles_tells_caches(tmp_path: Path) -> None:
    async with opened_box(tmp_path, CONFIG) as box:
        answers = await successes(box)
        assert answers.keys() == {route.name for route in ROUTES if route.roles and not route.websocket}
        statuses = {answer.status for each in answers.values() for answer in each}
        assert statuses == {200, 202, 206, 304}
        for name, each in answers.items():
            for answer in each:
                told = {word.strip() for word in answer.headers.get("cache-control", "").split(",")}
                assert "no-store" in told or {"private", "no-cache"} <= told, (name, answer.status)


async def test_what_everybody_may_see_is_not_kept_either(tmp_path: Path) -> None:
    async with opened_box(tmp_path) as box:
        assert (await box.ask("GET", "/healthz")).headers["cache-control"] == "no-store"
