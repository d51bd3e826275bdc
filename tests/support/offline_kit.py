"""A store at rest, filled through the front door, and the configuration that finds it; and ways to damage it."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path

import trio

from edged.store.creation import STORE
from edged.store.queue import move
from edged.store.records import Delivery, DeliveryState
from edged.store.store import open_store
from edged.store.transaction import Transaction
from tests.support.box_kit import ARCHIVE, opened_box

_PAGE = 4096


def filled(
    folder: Path, parts: Sequence[bytes], *, committed: Sequence[int] = (), duplicate: str = "keep-both"
) -> Path:
    """Store instances, each by itself; `committed` are the numbers that the archive has. Return the configuration."""
    config = f'duplicate = "{duplicate}"\n[origin]\nbind = ["http://127.0.0.1:0"]\n{ARCHIVE}'

    async def fill() -> None:
        async with opened_box(folder, config, keep=True) as box:
            for part in parts:
                assert (await box.stow(part)).status == 200
            to = Delivery(state=DeliveryState.COMMITTED, since=box.clock.wall(), proof="dicomweb")
            expected = (DeliveryState.HELD,)
            for number in committed:
                moved = functools.partial(move, number=number, destination=1, expected=expected, to=to)
                assert await box.store.write(moved)

    trio.run(fill)
    path = folder / "edged.toml"
    path.write_text(f'[box]\ndata_dir = "{folder}/box"\n')
    return path


def change(folder: Path, damage: Callable[[Transaction], object]) -> None:
    """Write into the store of `filled`."""

    async def write() -> None:
        async with open_store(folder / "box", inline=True) as store:
            await store.write(damage)

    trio.run(write)


def wipe_pages(folder: Path, holding: bytes) -> int:
    """Overwrite with zeros every page, as far as the file is written, in which some bytes stand; return how many."""
    path = folder / "box" / STORE / "data.mdb"
    wiped = 0
    with path.open("r+b") as file:
        for at in range(0, 64 << 20, _PAGE):
            file.seek(at)
            if holding in file.read(_PAGE):
                file.seek(at)
                file.write(bytes(_PAGE))
                wiped += 1
    return wiped
