"""The front door of every intake: bytes in, a durable instance or a reason out, and nothing else ever."""

import shutil
from collections.abc import AsyncIterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from tempfile import mkdtemp

import lmdb
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from edged.dicom.reasons import FailureReason
from edged.services.bell import Bells
from edged.services.destinations import Routes
from edged.services.routing import Arrived, Everywhere, Routed, Source
from edged.services.store_instance import Accepted, FrontDoor, Refused
from edged.store.errors import StoreFailed
from edged.store.instances import find_instance
from edged.store.queue import destination_id
from edged.store.records import DeliveryState
from edged.store.standings import read_delivery
from edged.store.store import Store, open_store
from edged.store.transaction import Transaction
from edged.telemetry.clock import ManualClock
from edged.telemetry.conditions import Conditions
from tests.support.box_kit import ARCHIVE, Box, opened_box, require_whole
from tests.support.dicom_samples import shipped
from tests.support.store_kit import CAPACITY, stored_bytes
from tests.support.stow_kit import made, named

SOURCE = Source("test")
ONE = named(1)
FILES = [shipped(name) for name in ("MR_small_implicit.dcm", "MR_small_RLE.dcm", "ExplVR_BigEnd.dcm", "rtdose.dcm")]


def door_of(store: Store) -> FrontDoor:
    clock = ManualClock()
    return FrontDoor(store, Everywhere(Routes({}, ())), clock, conditions=Conditions(clock), bells=Bells())


class ByRule:
    """Sends everything to the first destination, urgent and on hold."""

    def __init__(self) -> None:
        self.arrived: list[Arrived] = []

    def route(self, arrived: Arrived) -> Routed:
        self.arrived.append(arrived)
        return Routed((1,), (1,), urgent=True, hold=True, rule="night")

    def required_of(self, sop_class_uid: str) -> frozenset[frozenset[int]]:
        raise AssertionError(sop_class_uid)


async def hand_in(door: FrontDoor, pieces: Sequence[bytes], source: Source = SOURCE) -> Accepted | Refused:
    reservation = door.store.space.open()
    receiving = door.receive(source, reservation)
    try:
        for piece in pieces:
            await receiving.feed(piece)
        return await receiving.admit()
    finally:
        await receiving.close()
        reservation.close()


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Box]:
    async with opened_box(tmp_path, ARCHIVE) as opened:
        yield opened


async def in_a_new_store(pieces: Sequence[bytes]) -> tuple[Accepted | Refused, bytes]:
    """What becomes of an instance, and its bytes as they are read back."""
    folder = Path(mkdtemp())
    try:
        async with open_store(folder, CAPACITY, inline=True) as store:
            outcome = await hand_in(door_of(store), pieces)
            kept = b""
            if isinstance(outcome, Accepted):
                found = await store.read(partial(find_instance, sop_instance_uid=outcome.sop_instance_uid))
                assert found is not None
                kept = await stored_bytes(store, found[0], found[1].size)
            while await store._sweep_once():
                pass
            require_whole(store)
            return outcome, kept
    finally:
        shutil.rmtree(folder)


def cut(data: bytes, at: Sequence[int]) -> list[bytes]:
    marks = [0, *sorted(mark % (len(data) + 1) for mark in at), len(data)]
    return [data[low:high] for low, high in pairwise(marks)]


@given(st.sampled_from(FILES), st.lists(st.integers(0, 1 << 20), max_size=6))
def test_any_cut_stores_the_same(data: bytes, at: list[int]) -> None:
    outcome, kept = trio.run(in_a_new_store, cut(data, at))
    assert isinstance(outcome, Accepted)
    assert kept == data


@given(st.sampled_from(FILES), st.data())
def test_damage_is_stored_or_refused(data: bytes, draw: st.DataObject) -> None:
    damaged = bytearray(data)
    for _ in range(draw.draw(st.integers(1, 4))):
        damaged[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    end = draw.draw(st.integers(0, len(data)))
    outcome, kept = trio.run(in_a_new_store, [bytes(damaged[:end])])
    assert isinstance(outcome, Refused) or kept == damaged[:end]


@given(st.lists(st.binary(max_size=300), max_size=4))
def test_noise_is_refused(pieces: list[bytes]) -> None:
    outcome, _ = trio.run(in_a_new_store, pieces)
    assert isinstance(outcome, Refused)
    assert outcome.text


async def test_the_record_of_an_instance(box: Box) -> None:
    data = made(ONE)
    outcome = await hand_in(box.door, [data])
    assert isinstance(outcome, Accepted)
    found = await box.store.read(partial(find_instance, sop_instance_uid=ONE.instance))
    assert found is not None
    number, instance = found
    assert number == outcome.number
    assert (instance.size, instance.intake, instance.received) == (len(data), "test", box.clock.wall())
    assert instance.required == instance.destinations == box.routes.all
    again = await hand_in(box.door, [data])
    assert isinstance(again, Accepted)
    assert (again.again, again.number) == (True, number)


async def test_what_is_told_of_an_instance_that_is_not_all_here(box: Box) -> None:
    data = made(ONE)
    for end, known in ((200, False), (len(data) - 1, True), (len(data), True)):
        reservation = box.store.space.open()
        receiving = box.door.receive(SOURCE, reservation)
        await receiving.feed(data[:end])
        outcome = receiving.cut()
        assert outcome.reason is FailureReason.TRUNCATED
        assert (outcome.sop_instance_uid == ONE.instance) is known
        await receiving.close()
        reservation.close()


async def test_bells_ring_for_what_is_new(box: Box) -> None:
    arrived, logged = box.bells.arrived.next, box.bells.logged.next
    await hand_in(box.door, [b"no DICOM"])
    assert not arrived.is_set()
    await hand_in(box.door, [made(ONE)])
    assert arrived.is_set()
    assert logged.is_set()
    arrived = box.bells.arrived.next
    await hand_in(box.door, [made(ONE)])
    assert not arrived.is_set()


async def test_a_device_that_fails_is_no_room(box: Box) -> None:
    pieces = {1: [made(ONE)], 20: cut(made(ONE, size=20 << 20), range(0, 20 << 20, 1 << 20))}
    reservations = {mib: box.store.space.open(mib << 20) for mib in pieces}
    with pytest.raises(StoreFailed):
        await box.store.write(fail)
    for mib, reservation in reservations.items():
        receiving = box.door.receive(SOURCE, reservation)
        for piece in pieces[mib]:
            await receiving.feed(piece)
        refused = await receiving.admit()
        await receiving.close()
        reservation.close()
        assert isinstance(refused, Refused)
        assert (refused.reason, refused.sop_instance_uid) == (FailureReason.OUT_OF_RESOURCES, ONE.instance)
        assert refused.passing
    with pytest.raises(StoreFailed):
        box.store.space.open()


def fail(_: Transaction) -> None:
    raise lmdb.DiskError("the device is gone")


async def test_where_an_instance_goes_and_how_is_decided_when_it_arrives(tmp_path: Path) -> None:
    async with open_store(tmp_path, CAPACITY, inline=True) as store:
        await store.write(lambda txn: destination_id(txn, "archive"))
        clock, routing = ManualClock(), ByRule()
        door = FrontDoor(store, routing, clock, conditions=Conditions(clock), bells=Bells())
        accepted = await hand_in(door, [made(ONE)], Source("test", sender="ct-room-2"))
        assert isinstance(accepted, Accepted)
        found = store.read_now(partial(find_instance, sop_instance_uid=ONE.instance))
        delivery = store.read_now(partial(read_delivery, number=accepted.number, destination=1))
        assert found is not None
        assert delivery is not None
        assert (found[1].destinations, found[1].required, found[1].rule) == ((1,), (1,), "night")
        assert (delivery.state, delivery.urgency) == (DeliveryState.ON_HOLD, 0)
        require_whole(store)
    [arrived] = routing.arrived
    assert arrived.source.sender == "ct-room-2"
    assert arrived.sop_class_uid == found[1].sop_class_uid
    assert arrived.attributes == found[1].attributes
