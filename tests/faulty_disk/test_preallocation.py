"""A disk that cannot promise the store its space: the box says so with the remedy and goes on with what it has."""

from pathlib import Path
from typing import Any

from tests.faulty_disk.faults import FaultyDisk
from tests.support.daemon import Daemon, daemon
from tests.support.http_client import connected
from tests.support.stow_kit import MULTIPART, made, multipart, named

MIB = 1 << 20
STORE = {"Content-Type": MULTIPART, "Accept": "application/dicom+json"}


def conditions(state: Any) -> dict[str, str]:
    return {each["name"]: each["hint"] for each in state["conditions"]}


async def again(box: Daemon, faults: FaultyDisk, *told: str) -> Any:
    """Start it once more, over a disk that behaves as told; what it says of itself."""
    assert await box.stop() == 0
    faults.tell(*told)
    await box.start()
    return await box.state()


async def stow(box: Daemon, number: int, size: int) -> int:
    async with connected(box.url) as connection:
        body = multipart([made(named(number), size=size)])
        return (await connection.ask("POST", "/studies", STORE, body)).status


async def test_a_new_store_takes_what_fits_and_grows_when_there_is_more(tmp_path: Path, faults: FaultyDisk) -> None:
    faults.tell("room 500")
    async with daemon(tmp_path / "box", capacity="1GiB") as box:
        state = await box.state()
        assert state["store"]["capacity_bytes"] == 400 * MIB
        assert "should have 1024 MiB; the disk had room for 400 MiB" in conditions(state)["capacity-short"]
        assert await stow(box, 1, 2000) == 200
        state = await again(box, faults)
        assert state["store"]["capacity_bytes"] == 1024 * MIB
        assert "capacity-short" not in conditions(state)
        assert state["store"]["instances"]["held"] == 1


async def test_growth_without_room_keeps_what_there_is(tmp_path: Path, faults: FaultyDisk) -> None:
    async with daemon(tmp_path / "box") as box:
        box.config.write_text(box.config.read_text().replace("256MiB", "512MiB"))
        size = (box.data_dir / "store" / "data.mdb").stat().st_size
        for told in ("allocate ENOSPC", "room 100"):
            state = await again(box, faults, told)
            assert state["store"]["capacity_bytes"] == 256 * MIB
            assert "capacity-short" in conditions(state)
            assert (box.data_dir / "store" / "data.mdb").stat().st_size == size


async def test_a_file_system_that_promises_nothing_is_asked_before_work_is_taken(
    tmp_path: Path, faults: FaultyDisk
) -> None:
    faults.tell("allocate EOPNOTSUPP", "room 400")
    async with daemon(tmp_path / "box") as box:
        assert "ext4 or XFS" in conditions(await box.state())["not-preallocated"]
        faults.tell("allocate EOPNOTSUPP", "room 100")
        await box.wait_until(lambda state: state["store"]["free_bytes"] < 40 * MIB)
        assert await stow(box, 1, 2000) == 200
        assert await stow(box, 2, 50 * MIB) == 503
        assert "store-failed" not in conditions(await box.state())
        faults.tell("room 1000")
        await box.wait_until(lambda state: state["store"]["free_bytes"] > 60 * MIB)
        assert await stow(box, 2, 50 * MIB) == 200


async def test_a_copy_full_of_holes_is_filled_at_the_start(tmp_path: Path, faults: FaultyDisk) -> None:
    faults.tell("allocate EOPNOTSUPP")
    async with daemon(tmp_path / "box") as box:
        data = box.data_dir / "store" / "data.mdb"
        assert await stow(box, 1, 2000) == 200
        assert data.stat().st_blocks * 512 < 256 * MIB
        state = await again(box, faults)
        assert data.stat().st_blocks * 512 >= 320 * MIB
        assert "not-preallocated" not in conditions(state)
        assert state["store"]["instances"]["held"] == 1
