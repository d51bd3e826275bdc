"""What the forwarder cannot read is told of at once; sent again it is put right and forwarded, without waiting a week.

The daemon is a real one; the shim calls one page of the instance lost, within a chunk, where LMDB need not look.
"""

from pathlib import Path
from typing import Any

from tests.faulty_disk.faults import DATA, FaultyDisk
from tests.faulty_disk.pages import page_within
from tests.support.daemon import Daemon, daemon
from tests.support.forwarding_kit import destination
from tests.support.http_client import connected
from tests.support.scripted_archive import Reply, scripted_archive
from tests.support.stow_kit import MULTIPART, made, multipart, named

STORE = {"Content-Type": MULTIPART, "Accept": "application/dicom+json"}
ONE_FILE = {"Accept": "application/dicom; transfer-syntax=*"}
LOST = made(named(1), size=3_000_000, fill=b"\xd5")
WITHIN_S = 20.0


async def stow(box: Daemon, data: bytes) -> int:
    async with connected(box.url) as connection:
        return (await connection.ask("POST", "/studies", STORE, multipart([data]))).status


def conditions(state: Any) -> dict[str, str]:
    return {each["name"]: each["hint"] for each in state["conditions"]}


async def test_what_cannot_be_read_is_told_at_once_and_mended_when_it_is_sent_again(
    tmp_path: Path, faults: FaultyDisk
) -> None:
    async with scripted_archive() as (archive, _):
        archive.on_store = lambda _: Reply(503)
        async with daemon(tmp_path / "box", destination(archive.url, commitment='["stored"]')) as box:
            assert await stow(box, LOST) == 200
            faults.tell(f"lost {page_within(box.data_dir / DATA, LOST[-1:])}")
            archive.on_store = archive.store_all
            state = await box.wait_until(lambda state: "scrub-failed" in conditions(state), WITHIN_S)
            assert f"send them again from where they came: {named(1).instance}." in conditions(state)["scrub-failed"]
            assert archive.stored == {}
            assert await stow(box, LOST) == 200
            await box.wait_until(lambda state: state["store"]["instances"]["committed"] == 1)
            assert archive.stored == {named(1).instance: LOST}
            await box.wait_until(lambda state: state["conditions"] == [])
            async with connected(box.url) as connection:
                assert (await connection.ask("GET", named(1).path, ONE_FILE)).body == LOST
            assert await box.stop() == 0
