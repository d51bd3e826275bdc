"""Real instances in by STOW, through a whole box, into a real archive, and compared there with what was sent."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from edged.app.box import Parts
from edged.store.instances import find_instance
from edged.store.records import Delivery
from edged.store.standings import read_delivery
from tests.support.box_kit import served_box
from tests.support.dicom_samples import read, shipped_files
from tests.support.forwarding_kit import destination
from tests.support.http_client import connected
from tests.support.orthanc import orthanc
from tests.support.same_instance import assert_same_instance
from tests.support.stow_kit import MULTIPART, json_report, made, multipart, named

PROOF = '["dicomweb", "search"]'
LEAST = 100
AT_ONCE = 10


def real_instances() -> dict[str, bytes]:
    """The files of the pydicom wheel by SOP Instance UID, the first of those that share one."""
    found: dict[str, bytes] = {}
    for path in shipped_files():
        data = path.read_bytes()
        if data[128:132] == b"DICM":
            found.setdefault(str(read(data).get("SOPInstanceUID", "")), data)
    found.pop("", None)
    return found


async def stow(parts: Parts, files: Sequence[bytes]) -> set[str]:
    """Store files, some a request; the SOP Instance UIDs that were taken."""
    taken: set[str] = set()
    headers = {"Content-Type": MULTIPART, "Accept": "application/dicom+json"}
    async with connected(parts.urls[0]) as connection:
        for at in range(0, len(files), AT_ONCE):
            answered = await connection.ask("POST", "/studies", headers, multipart(files[at : at + AT_ONCE]))
            taken |= set(json_report(answered.body).stored)
    return taken


def delivery_of(parts: Parts, uid: str) -> Delivery:
    """How far an instance is."""
    found = parts.store.read_now(partial(find_instance, sop_instance_uid=uid))
    assert found is not None
    number = parts.routes.ids["archive"]
    delivery = parts.store.read_now(partial(read_delivery, number=found[0], destination=number))
    assert delivery is not None
    return delivery


async def archive_state(parts: Parts) -> Any:
    """What the box tells of its one destination."""
    state: Any = await parts.state.state(parts.conditions)
    return state["destinations"][0]


async def until(parts: Parts, within_s: float = 60.0, **wanted: object) -> None:
    """Wait until the box tells this of its destination."""
    with trio.fail_after(within_s):
        while not wanted.items() <= (await archive_state(parts)).items():
            await parts.bells.logged.wait(0.2)


@pytest.mark.timeout(120)
async def test_real_instances_arrive_equal_and_are_proven(tmp_path: Path) -> None:
    given = real_instances()
    async with orthanc(tmp_path) as archive:
        async with served_box(tmp_path, destination(archive.url, commitment=PROOF)) as parts:
            taken = await stow(parts, list(given.values()))
            assert len(taken) >= LEAST
            await until(parts, committed=len(taken), queued=0, sent=0, parked=0, state="up")
            syntaxes = set()
            for uid in taken:
                delivery = delivery_of(parts, uid)
                assert delivery.proof == "search"
                syntaxes.add(read(given[uid]).file_meta.TransferSyntaxUID)
        there = await archive.files()
        assert set(there) == taken
        for uid, data in there.items():
            assert_same_instance(given[uid], data)
        assert len(syntaxes) >= 8


@pytest.mark.timeout(120)
async def test_an_archive_that_is_killed_gets_everything_once(tmp_path: Path) -> None:
    files = [made(named(number), size=200_000) for number in range(1, 121)]
    async with orthanc(tmp_path) as archive:
        async with served_box(tmp_path, destination(archive.url, commitment=PROOF)) as parts:
            await stow(parts, files[:60])
            while (await archive_state(parts))["committed"] < 10:
                await parts.bells.logged.wait(0.2)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(stow, parts, files[60:])
                await parts.bells.arrived.wait(5)
                await archive.kill()
            await until(parts, state="retrying")
            assert (await archive_state(parts))["committed"] < len(files)
            await archive.start()
            await until(parts, committed=len(files), queued=0, sent=0, parked=0, state="up")
        assert await archive.count() == len(files)
        there = await archive.files()
        assert set(there.values()) == set(files)


async def test_it_sends_to_a_box(tmp_path: Path) -> None:
    """By its own DICOMweb client, whose boundary is longer than RFC 2046 allows."""
    files = {named(number).instance: made(named(number)) for number in range(20)}
    local = '[commitment]\nevidence = "local"\n'
    async with orthanc(tmp_path) as archive, served_box(tmp_path, local) as parts:
        for content in files.values():
            await archive.tell("POST", "/instances", content)
        await archive.send_all(parts.urls[0] + "/")
        for uid in files:
            assert parts.store.read_now(partial(find_instance, sop_instance_uid=uid)) is not None
