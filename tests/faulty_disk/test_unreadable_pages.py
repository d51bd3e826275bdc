"""Pages that the disk cannot give back: one instance is lost, and neither the process nor any other instance with it.

The data file is cut off under the chunks of the instance that was stored last, while a daemon has it open: a page
beyond the end is what a page that cannot be read is, SIGBUS to whoever touches it. All that is in other processes.
"""

import subprocess
from pathlib import Path

import h11
import pytest
import trio

from tests.faulty_disk.faults import DATA
from tests.faulty_disk.pages import cut_under
from tests.support.cli_kit import PROGRAM
from tests.support.daemon import Daemon, daemon
from tests.support.forwarding_kit import destination
from tests.support.http_client import connected
from tests.support.scripted_archive import Reply, ScriptedArchive, scripted_archive
from tests.support.stow_kit import MULTIPART, made, multipart, named

STORE = {"Content-Type": MULTIPART, "Accept": "application/dicom+json"}
ONE_FILE = {"Accept": "application/dicom; transfer-syntax=*"}
OTHERS = (1, 2, 3, 4, 5, 6)
LOST = 7
LOST_FILL = b"\xd5"
LOST_BYTES = 3_000_000


def instance(number: int) -> bytes:
    return made(named(number), size=LOST_BYTES, fill=LOST_FILL) if number == LOST else made(named(number), size=90_000)


async def put(box: Daemon, *numbers: int) -> None:
    for number in numbers:
        async with connected(box.url) as connection:
            assert (await connection.ask("POST", "/studies", STORE, multipart([instance(number)]))).status == 200


async def require_cut_off(box: Daemon) -> None:
    """A retrieve of what is lost ends in the middle, and the box goes on."""
    async with connected(box.url) as connection:
        with pytest.raises((h11.RemoteProtocolError, trio.BrokenResourceError)):
            await connection.ask("GET", named(LOST).path, ONE_FILE)
    for number in OTHERS:
        async with connected(box.url) as connection:
            answered = await connection.ask("GET", named(number).path, ONE_FILE)
        assert (answered.status, answered.body) == (200, instance(number))


async def require_others_sent(box: Daemon, archive: ScriptedArchive) -> None:
    """What cannot be read is set aside under a condition, and holds nobody up."""
    await box.wait_until(lambda state: state["store"]["instances"]["committed"] == len(OTHERS))
    state = await box.wait_until(
        lambda state: any(each["name"] == "unreadable:archive" for each in state["conditions"])
    )
    assert state["store"]["instances"]["held"] == 1
    assert set(archive.stored) == {named(number).instance for number in OTHERS}


async def run(box: Daemon, *command: str) -> "subprocess.CompletedProcess[bytes]":
    return await trio.run_process([*PROGRAM, *command, "--config", str(box.config)], capture_stdout=True, check=False)


async def test_an_instance_that_cannot_be_read_costs_itself_alone(tmp_path: Path) -> None:
    async with scripted_archive() as (archive, _):
        archive.on_store = lambda _: Reply(503)
        async with daemon(tmp_path / "box", destination(archive.url, commitment='["stored"]')) as box:
            await put(box, *OTHERS, LOST)
            cut_under(box.data_dir / DATA, LOST_FILL)
            await require_cut_off(box)
            archive.on_store = archive.store_all
            await require_others_sent(box, archive)
            assert await box.stop() == 0
            await require_named_offline(box, tmp_path)


async def require_named_offline(box: Daemon, folder: Path) -> None:
    """The commands for a store at rest go on past it and name it."""
    checked = await run(box, "check-store", "--deep")
    assert checked.returncode == 1
    assert f"({named(LOST).instance}) cannot be read: the disk cannot give back chunk".encode() in checked.stdout
    for number, options in enumerate(((), ("--salvage",))):
        exported = await run(box, "export", str(folder / str(number)), *options)
        assert exported.returncode == 1
        assert b"the disk cannot give back chunk" in exported.stdout
        found = {path.read_bytes() for path in (folder / str(number)).rglob("*.dcm")}
        assert found == {instance(each) for each in OTHERS}
