"""The harness sees what an eviction must leave behind, and an answer that nothing carries any more."""

from functools import partial
from pathlib import Path

import pytest

from edged.dicomweb.event_report import EventKind
from edged.store.commit_memory import mark_lost, trim_memory
from edged.store.commitments import COMMITTED, add_request, decide
from edged.store.events import append_event
from edged.store.eviction import evict_oldest
from edged.store.queue import destination_id, move
from edged.store.records import CommitmentRequest, Delivery, DeliveryState, Event, Reference
from edged.store.store import Store, open_store
from edged.store.transaction import Transaction
from tests.powercut.load import Part
from tests.powercut.promises import Promises
from tests.powercut.verify import Verifier
from tests.support.store_kit import CAPACITY, put
from tests.support.stow_kit import CT, named

NAME, DATA, TRANSACTION = named(1), b"data", "2.25.1"
PROMISES = Promises({NAME.instance}, {TRANSACTION: {NAME.instance: COMMITTED}})


async def committed(store: Store) -> None:
    """One instance that was received and committed to, and an answer that says so."""
    await store.write(partial(destination_id, name="archive"))
    admitted = await put(store, DATA, NAME.instance)
    delivery = Delivery(state=DeliveryState.COMMITTED, since=2.0, proof="dicomweb")
    reference = Reference(sop_class_uid=CT, sop_instance_uid=NAME.instance)
    fresh = CommitmentRequest(number=0, study_form=False, received=1.0, count=0, digest=b"")

    def answer(txn: Transaction) -> None:
        move(txn, admitted.number, 1, expected=tuple(DeliveryState), to=delivery)
        for kind in (EventKind.RECEIVED, EventKind.COMMITTED):
            append_event(txn, Event(kind=kind, time=1.0, sop_instance_uid=NAME.instance))
        add_request(txn, TRANSACTION, fresh, references=[reference])
        decide(txn, TRANSACTION, [(0, Reference(CT, NAME.instance, reason=COMMITTED))], now=3.0)

    await store.write(answer)


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    async with open_store(tmp_path, CAPACITY, inline=True) as store:
        await committed(store)
    return tmp_path


def found(folder: Path) -> list[str]:
    return Verifier([Part(NAME, DATA)], 1).problems(folder, PROMISES)


async def after(folder: Path, *changes: object) -> list[str]:
    async with open_store(folder, CAPACITY, inline=True) as store:
        for change in changes:
            await store.write(change)  # type: ignore[arg-type]
    return found(folder)


EVICT = partial(evict_oldest, committed_before=9e9, least_bytes=0, now=5.0)


async def test_what_was_let_go_is_remembered(folder: Path) -> None:
    assert found(folder) == []
    assert await after(folder, EVICT) == []


@pytest.mark.parametrize(
    ("change", "problems"),
    [
        (partial(trim_memory, keep=0), {"does not know it", "does not tell who", "nothing tells so"}),
        (partial(mark_lost, sop_instance_uid=NAME.instance), {"does not tell who"}),
    ],
)
async def test_what_is_remembered_no_more_is_seen(folder: Path, change: object, problems: set[str]) -> None:
    said = await after(folder, EVICT, change)
    assert len(said) == len(problems)
    assert all(any(each in line for line in said) for each in problems), said


async def test_an_answer_that_is_true_no_more_is_seen(folder: Path) -> None:
    back = Delivery(state=DeliveryState.HELD, since=6.0)
    expected = tuple(DeliveryState)
    [said] = await after(folder, lambda txn: move(txn, 1, 1, expected=expected, to=back))
    assert "nothing tells so" in said
