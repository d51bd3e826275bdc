"""A disk that refuses writes or flushes: nothing is acknowledged, what is there is served, no flush is tried again.

The daemon is a real one; the shim fails its calls while it runs. Afterwards the disk is good again, and everything that
was acknowledged must be there and find its way.
"""

from pathlib import Path
from typing import Any

import h11
import pytest

from tests.faulty_disk.faults import FaultyDisk, Notifications
from tests.support.commitment_kit import JSON, sop_form
from tests.support.daemon import Daemon, daemon
from tests.support.forwarding_kit import destination
from tests.support.http_client import Answered, Connection, connected
from tests.support.scripted_archive import Reply, ScriptedArchive, scripted_archive
from tests.support.stow_kit import MULTIPART, json_report, made, multipart, named

FAULTS = ("pwrite EIO", "sync EIO", "pwrite ENOSPC", "sync ENOSPC", "meta EIO", "all EROFS")
OUT_OF_RESOURCES = 0xA700
STORE = {"Content-Type": MULTIPART, "Accept": "application/dicom+json"}
BUSY = Reply(503)
HELD, DURING, EARLY = named(1), named(2), named(3)
LARGE = 9_000_000


async def stow(connection: Connection, number: int, size: int = 2000) -> Answered:
    return await connection.ask("POST", "/studies", STORE, multipart([made(named(number), size=size)]))


def conditions(state: Any) -> dict[str, str]:
    return {each["name"]: each["severity"] for each in state["conditions"]}


async def require_refused_early(url: str) -> None:
    """The head of a request is enough: no body is asked for."""
    async with connected(url) as connection:
        headers = [*STORE.items(), ("Host", "localhost"), ("Content-Length", str(LARGE))]
        head = h11.Connection(h11.CLIENT).send(h11.Request(method="POST", target="/studies", headers=headers))
        await connection.stream.send_all(head or b"")
        answered = await connection.stream.receive_some()
    assert bytes(answered).startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: " in bytes(answered).lower()


async def require_served(connection: Connection) -> None:
    """What is there, and what the box is, goes on being answered."""
    retrieved = await connection.ask("GET", HELD.path, {"Accept": "application/dicom; transfer-syntax=*"})
    assert (retrieved.status, retrieved.body) == (200, made(HELD))
    for method, path in (("GET", "/healthz"), ("OPTIONS", "/"), ("GET", "/admin/status")):
        assert (await connection.ask(method, path, {"Accept": "application/json"})).status == 200, path


async def fail_and_serve(box: Daemon, faults: FaultyDisk, fault: str) -> None:
    """Let the disk fail under a store request; the box must say so at once, and go on as far as it can."""
    async with connected(box.url) as connection:
        assert (await stow(connection, 1)).status == 200
        faults.tell(fault)
        refused = await stow(connection, 2)
        assert refused.status == 503
        assert int(refused.headers["retry-after"]) > 0
        assert json_report(refused.body).failed == {DURING.instance: OUT_OF_RESOURCES}
        state = await box.state()
        assert conditions(state)["store-failed"] == "critical"
        await require_refused_early(box.url)
        await require_served(connection)
        wanted = await connection.ask("POST", "/commitment-requests/1.2.3.4.5", JSON, sop_form([HELD]))
        assert wanted.status == 503


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_disk_that_fails(tmp_path: Path, faults: FaultyDisk, notifications: Notifications, fault: str) -> None:
    async with scripted_archive() as (archive, _):
        archive.on_store = lambda _: BUSY
        config = destination(archive.url, commitment='["stored"]')
        async with daemon(tmp_path / "box", config) as box:
            await fail_and_serve(box, faults, fault)
            assert "cannot write" in await notifications.wait_for("store-failed")
            await require_paused(box, archive, notifications)
            assert await box.stop() == 0
            assert [call for call in faults.after_failure() if not call.puts_meta_back] == []
            faults.tell()
            await require_all_there(box, archive)


async def require_paused(box: Daemon, archive: ScriptedArchive, notifications: Notifications) -> None:
    """Nothing is sent whose fate could not be recorded, and the watchdog is fed all the same."""
    [paused] = (await box.wait_until(lambda state: state["destinations"][0]["state"] == "paused"))["destinations"]
    assert paused["queued"] == 1
    archive.on_store = archive.store_all
    asked = len(archive.stows)
    for _ in range(3):
        await notifications.wait_for("WATCHDOG=1")
    assert len(archive.stows) == asked


async def require_all_there(box: Daemon, archive: ScriptedArchive) -> None:
    """With a good disk the box goes on where it was."""
    await box.start()
    async with connected(box.url) as connection:
        await require_served(connection)
        assert (await stow(connection, 2)).status == 200
    done = await box.wait_until(lambda state: state["store"]["instances"]["committed"] == 2)
    assert "store-failed" not in conditions(done)
    assert {HELD.instance, DURING.instance} <= set(archive.stored)
    assert await box.stop() == 0
    assert "0 problems" in await box.check_store()


async def test_a_large_instance_that_spools_is_not_acknowledged(tmp_path: Path, faults: FaultyDisk) -> None:
    async with daemon(tmp_path / "box") as box:
        faults.tell("sync EIO")
        async with connected(box.url) as connection:
            assert (await stow(connection, 2, LARGE)).status == 503
        faults.tell()
        async with connected(box.url) as connection:
            assert (await stow(connection, 1)).status == 503
        assert await box.stop() == 0
        assert faults.after_failure() == []


async def test_a_disk_that_is_read_only_at_the_start_is_named(tmp_path: Path, faults: FaultyDisk) -> None:
    async with daemon(tmp_path / "box") as box:
        await box.stop()
        faults.tell("all EROFS")
        with pytest.raises(RuntimeError, match="Read-only file system"):
            await box.start()


async def test_a_disk_that_fails_from_the_start_is_served_from(tmp_path: Path, faults: FaultyDisk) -> None:
    async with daemon(tmp_path / "box") as box:
        async with connected(box.url) as connection:
            assert (await stow(connection, 1)).status == 200
        await box.stop()
        faults.tell("pwrite EIO", "sync EIO")
        await box.start()
        assert conditions(await box.state())["store-failed"] == "critical"
        async with connected(box.url) as connection:
            await require_served(connection)
        await require_refused_early(box.url)
