"""The promise: what the box said yes to is in the archive in the end, however often the power fails in between."""

import random
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path

import h11
import pytest
import trio

from edged.store.instances import find_instance
from tests.support.box_kit import served_box
from tests.support.daemon import Daemon, daemon
from tests.support.forwarding_kit import destination
from tests.support.http_client import connected
from tests.support.store_kit import stored_bytes
from tests.support.stow_kit import MULTIPART, json_report, made, multipart, named

CUTS = 10
SENDERS = 3
LARGE = 9_000_000
SIZES = (3_000, 3_000, 20_000, 300_000)
LOCAL = '[commitment]\nevidence = "local"\n'


def instance(number: int) -> bytes:
    """The same bytes for the same number; every 40th is large enough to be spooled."""
    return made(named(number), size=LARGE if number % 40 == 0 else SIZES[number % len(SIZES)])


class Modality:
    """Sends until the box is gone; what it was told is stored it remembers, what not it sends again."""

    def __init__(self) -> None:
        self.acknowledged: set[int] = set()
        self._numbers = count(1)
        self._again: list[int] = []
        self._more = trio.Event()

    def _next(self) -> Iterator[int]:
        while True:
            yield self._again.pop() if self._again else next(self._numbers)

    async def wait_for(self, acknowledged: int) -> None:
        """Return as soon as so many are acknowledged."""
        while len(self.acknowledged) < acknowledged:
            self._more = trio.Event()
            await self._more.wait()

    async def send(self, url: str) -> None:
        """One connection, one instance a request."""
        number = 0
        try:
            async with connected(url) as connection:
                for number in self._next():
                    headers = {"Content-Type": MULTIPART, "Accept": "application/dicom+json"}
                    answered = await connection.ask("POST", "/studies", headers, multipart([instance(number)]))
                    assert set(json_report(answered.body).stored) == {named(number).instance}
                    self.acknowledged.add(number)
                    self._more.set()
        except (OSError, trio.BrokenResourceError, h11.RemoteProtocolError):
            if number:
                self._again.append(number)


async def cut_in_the_middle(box: Daemon, modality: Modality, after: int) -> None:
    """Send with several connections; kill the box once so many more were acknowledged."""
    wanted = len(modality.acknowledged) + after
    async with trio.open_nursery() as nursery:
        for _ in range(SENDERS):
            nursery.start_soon(modality.send, box.url)
        await modality.wait_for(wanted)
        await box.kill()


@pytest.mark.timeout(180)
async def test_ten_power_cuts_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    chance = random.Random(1)
    modality = Modality()
    async with served_box(tmp_path / "archive", LOCAL) as archive:
        config = destination(archive.urls[0], commitment='["dicomweb"]')
        async with daemon(tmp_path / "box", config, capacity="512MiB") as box:
            for cut in range(CUTS):
                if cut:
                    await box.start()
                await cut_in_the_middle(box, modality, chance.randint(5, 40))
            assert len(modality.acknowledged) >= CUTS * 5
            await box.start()
            least = len(modality.acknowledged)
            state = await box.wait_until(lambda state: state["store"]["instances"]["committed"] >= least)
            assert state["conditions"] == []
            assert await box.stop() == 0
            assert ", 0 problems" in await box.check_store()
        for number in modality.acknowledged:
            found = archive.store.read_now(partial(find_instance, sop_instance_uid=named(number).instance))
            assert found is not None, number
            assert await stored_bytes(archive.store, found[0], found[1].size) == instance(number)
