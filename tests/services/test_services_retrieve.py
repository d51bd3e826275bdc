"""The forms of an instance, whole and in ranges: the right bytes, and no chunk that holds none of them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing

from edged.dicom.converter import CONVERTER_VERSION
from edged.dicom.uids import IMPLICIT_VR_LITTLE_ENDIAN
from edged.http.ranges import ByteRange
from edged.services.retrieve import StoredForm, WebForm, was_evicted
from edged.store.errors import InstanceGone
from edged.store.queue import destination_id, read_instance
from edged.store.records import Instance
from edged.store.schema import CHUNK_BYTES, CHUNKS, chunk_key
from edged.store.store import Store, open_store
from edged.store.transaction import Transaction
from tests.support.dicom_samples import converted, scan, shipped, written
from tests.support.dicom_samples import read as pydicom_read
from tests.support.store_kit import CAPACITY, put

CHUNK_COUNT = 20
STORED = bytes(index % 251 for index in range(CHUNK_COUNT * CHUNK_BYTES - 7))
LENGTH = len(STORED)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """A store whose chunks the tests may take away."""
    async with open_store(tmp_path, CAPACITY, inline=True) as opened:
        await opened.write(lambda txn: destination_id(txn, "archive"))
        yield opened


def record(store: Store, number: int) -> Instance:
    found = store.read_now(partial(read_instance, number=number))
    assert found is not None
    return found


async def placed(store: Store, data: bytes) -> tuple[int, Instance]:
    """Store bytes that leave as they are."""
    number = (await put(store, data, "1.2")).number
    return number, record(store, number)


async def to_convert(store: Store, name: str, *, document_bytes: int = 0) -> WebForm:
    """Store a file that must not leave as it is, with a document of so many bytes in it."""
    data = shipped(name)
    if document_bytes:
        data_set = pydicom_read(data)
        data_set.add_new(0x00420011, "OB", bytes(document_bytes))
        data = written(data_set, IMPLICIT_VR_LITTLE_ENDIAN)
    found = scan(data)
    admitted = await put(
        store,
        data,
        found.sop_instance_uid,
        sop_class_uid=found.sop_class_uid,
        transfer_syntax_uid=found.transfer_syntax_uid,
        exit_length=found.exit_length,
        leaves_as_is=False,
    )
    return WebForm(store, admitted.number, record(store, admitted.number))


async def lose(store: Store, number: int, *indexes: int) -> None:
    for index in indexes:
        await store.write(partial(Transaction.delete, table=CHUNKS, key=chunk_key(number, index)))


async def read(form: StoredForm | WebForm, *ranges: tuple[int, int]) -> list[bytes]:
    """The bytes of each range; the pieces are told apart by their lengths."""
    wanted = [ByteRange(*each) for each in ranges]
    got, left = [b""] * len(wanted), [each.length for each in wanted]
    async with aclosing(form.pieces(wanted)) as pieces:
        async for piece in pieces:
            current = next(index for index, count in enumerate(left) if count)
            assert len(piece) <= left[current], "a piece of two ranges"
            got[current] += piece
            left[current] -= len(piece)
    assert not any(left)
    return got


async def whole(form: StoredForm | WebForm) -> bytes:
    async with aclosing(form.pieces()) as pieces:
        return b"".join([bytes(piece) async for piece in pieces])


RANGES: Sequence[Sequence[tuple[int, int]]] = (
    [(0, LENGTH)],
    [(0, 1)],
    [(LENGTH - 1, LENGTH)],
    [(CHUNK_BYTES, 2 * CHUNK_BYTES)],
    [(CHUNK_BYTES - 1, CHUNK_BYTES + 1)],
    [(5, 10), (20, 30), (CHUNK_BYTES, CHUNK_BYTES + 3), (17 * CHUNK_BYTES + 5, LENGTH)],
    [(index * CHUNK_BYTES - 1, index * CHUNK_BYTES) for index in range(1, CHUNK_COUNT)],
    [],
)


@pytest.mark.parametrize("ranges", RANGES)
async def test_ranges_of_what_is_stored(store: Store, ranges: Sequence[tuple[int, int]]) -> None:
    form = StoredForm(store, *await placed(store, STORED))
    assert await read(form, *ranges) == [STORED[start:stop] for start, stop in ranges]
    assert await whole(form) == STORED


async def test_only_the_chunks_of_a_range_are_read(store: Store) -> None:
    number, instance = await placed(store, STORED)
    await lose(store, number, 0, 1, 4, CHUNK_COUNT - 1)
    for form in (StoredForm(store, number, instance), WebForm(store, number, instance)):
        start, stop = 2 * CHUNK_BYTES, 4 * CHUNK_BYTES
        assert await read(form, (start, stop)) == [STORED[start:stop]]
        apart = (start + 5, start + 9), (stop + CHUNK_BYTES, stop + CHUNK_BYTES + 1)
        assert await read(form, *apart) == [STORED[begin:end] for begin, end in apart]
        for missing in ((start - 1, start), (stop, stop + 1), (0, LENGTH)):
            with pytest.raises(InstanceGone):
                await read(form, missing)
    assert number in store.suspects.numbers


@pytest.mark.parametrize("name", ["MR_small_implicit.dcm", "MR_small_bigendian.dcm", "rtdose.dcm"])
async def test_ranges_of_what_is_converted(store: Store, name: str) -> None:
    form, leaving = await to_convert(store, name), converted(shipped(name))
    end = form.length
    assert await whole(form) == leaving
    for ranges in ([(0, end)], [(end - 1, end)], [(0, 1), (200, 777), (end - 300, end)], [(130, 140)], []):
        assert await read(form, *ranges) == [leaving[start:stop] for start, stop in ranges]


async def test_a_conversion_ends_with_the_last_range(store: Store) -> None:
    form = await to_convert(store, "rtdose.dcm")
    pieces = form.pieces([ByteRange(0, 10)])
    assert bytes(await anext(pieces)) == converted(shipped("rtdose.dcm"))[:10]
    assert store.busy()
    assert await anext(pieces, None) is None
    assert not store.busy()


async def test_others_go_on_beside_a_conversion(store: Store) -> None:
    """After each chunk, though nothing of it leaves; and conversions go one after another."""
    form = await to_convert(store, "rtdose.dcm", document_bytes=CHUNK_COUNT * CHUNK_BYTES)
    turns = 0

    async def work() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(work)
        [last] = await read(form, (form.length - 1, form.length))
        nursery.cancel_scope.cancel()
    assert len(last) == 1
    assert turns >= CHUNK_COUNT
    async with trio.open_nursery() as nursery, store.processor:
        nursery.start_soon(read, form, (0, 1))
        await trio.testing.wait_all_tasks_blocked()
        assert store.busy()
    assert not store.busy()


async def test_another_converter_makes_another_representation(store: Store) -> None:
    form = await to_convert(store, "rtdose.dcm")
    assert form.digest == form.instance.file_digest + CONVERTER_VERSION
    as_is = WebForm(store, *await placed(store, STORED))
    assert as_is.digest == as_is.instance.file_digest


async def test_a_reader_that_stops_lets_go(store: Store) -> None:
    number, instance = await placed(store, STORED)
    pieces = StoredForm(store, number, instance).pieces([ByteRange(0, 1), ByteRange(CHUNK_BYTES, LENGTH)])
    await anext(pieces)
    assert store.busy()
    await pieces.aclose()
    assert not store.busy()


async def test_what_was_never_here_was_not_evicted(store: Store) -> None:
    for uid in ("1.2.3", "", "9" * 5000, "é\0"):
        assert not store.read_now(partial(was_evicted, sop_instance_uid=uid))
