"""Data sets compared before anything counts: what was replaced while it may have been on its way, and `verify`."""

from functools import partial
from pathlib import Path

import pytest

from edged.store.queue import move
from edged.store.records import Check, Delivery, DeliveryState
from tests.support.forwarding_kit import Forwarding, destination, forwarding
from tests.support.scripted_archive import Reply, ScriptedArchive, Stow, report, scripted_archive
from tests.support.stow_kit import MULTIPART, made, multipart, named

UID = named(1).instance
OLD = made(named(1), fill=b"\x11")
SEARCH = '["search"]'
RETRIEVE = '"retrieve"'


async def take_checked(box: Forwarding) -> None:
    """Admit an instance in place of another one that may have been sent already."""
    await box.take_made(named(1))
    [number] = box.numbers(UID)
    held = Delivery(state=DeliveryState.HELD, since=box.clock.wall(), check=Check.DIGEST)
    there = box.routes.ids["archive"]
    await box.store.write(partial(move, number=number, destination=there, expected=(DeliveryState.HELD,), to=held))


async def begun(box: Forwarding, archive: ScriptedArchive) -> None:
    """It takes others; then it is out of reach until the instance is queued."""
    await box.take_made(named(9))
    await box.until(lambda: box.at() == {"committed": 1})
    store, archive.on_store = archive.on_store, lambda _: Reply(503)
    await take_checked(box)
    await box.pass_time(0)
    archive.on_store = store


async def test_what_it_says_it_stored_and_gives_back_is_sent(tmp_path: Path) -> None:
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box,
    ):
        await begun(box, archive)
        await box.until(lambda: box.at() == {"committed": 2}, step_s=60)
        assert len(archive.retrieves) == 1
        delivery = box.delivery(UID)
        assert (delivery.evidence, delivery.check) == ("stored", Check.DIGEST)


@pytest.mark.parametrize("answer", [report, lambda uids: report([], dict.fromkeys(uids, 0x0111))])
async def test_an_archive_that_kept_the_other_one_is_not_believed(tmp_path: Path, answer: object) -> None:
    """It says stored, or that it has it already, and would commit to it: it has the first bytes."""
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box,
    ):

        def keep_old(stow: Stow) -> Reply:
            archive.keep(stow)
            if UID not in stow.uids:
                return report(stow.uids)
            archive.stored[UID] = OLD
            return answer(stow.uids)  # type: ignore[no-any-return, operator]

        archive.on_store = keep_old
        await begun(box, archive)
        await box.until(lambda: box.at() == {"committed": 1, "parked": 1}, step_s=60)
        assert "another instance" in box.delivery(UID).text


async def test_an_archive_that_coerces_is_not_believed_and_a_person_is_told_what_to_do(tmp_path: Path) -> None:
    """It gives back this very instance with another value in it: nobody but a person can tell."""
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box,
    ):

        def coerce(stow: Stow) -> Reply:
            archive.keep(stow)
            archive.stored |= {uid: made(named(1), fill=b"\x22") for uid in stow.uids if uid == UID}
            return report(stow.uids)

        archive.on_store = coerce
        await begun(box, archive)
        await box.until(lambda: box.at() == {"committed": 1, "parked": 1}, step_s=60)
        assert "with attributes that it changes" in box.delivery(UID).text
        assert "discard this entry with the reason" in box.delivery(UID).text


@pytest.mark.parametrize(
    "reply",
    [
        Reply(501),
        Reply(200, b"nothing"),
        Reply(200, multipart([b"x"]), (("content-type", MULTIPART),)),
        Reply(reset=True),
    ],
)
async def test_what_cannot_be_compared_is_held_and_said(tmp_path: Path, reply: Reply) -> None:
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box,
    ):
        archive.on_retrieve = lambda _: reply
        await begun(box, archive)
        await box.until(lambda: "cannot-prove:archive" in box.condition_names(), step_s=60)
        for _ in range(30):
            await box.pass_time(3600)
        assert box.at() == {"committed": 1, "held": 1}
        assert archive.times[UID] == 1
        await box.take_made(named(2))
        await box.until(lambda: box.at() == {"committed": 2, "held": 1})
        archive.on_retrieve = archive.give
        await box.until(lambda: box.at() == {"committed": 3}, step_s=3600)
        await box.until(lambda: box.condition_names() == set())


async def test_what_it_says_it_stored_and_does_not_have_is_sent_again(tmp_path: Path) -> None:
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box,
    ):
        archive.on_retrieve = lambda _: Reply(404)
        await begun(box, archive)
        await box.until(lambda: archive.times.get(UID) == 2, step_s=60)
        archive.on_retrieve = archive.give
        await box.until(lambda: box.at() == {"committed": 2}, step_s=60)
        assert box.delivery(UID).resends == 1


@pytest.mark.parametrize(("there", "state"), [(made(named(1)), "committed"), (OLD, "parked")])
async def test_verify_by_retrieve_compares_what_it_says_it_has(tmp_path: Path, there: bytes, state: str) -> None:
    async with scripted_archive() as (archive, _):
        config = destination(archive.url, commitment=SEARCH, verify=RETRIEVE)
        async with forwarding(tmp_path, config) as box:

            def has_it(stow: Stow) -> Reply:
                archive.keep(stow)
                archive.stored[UID] = there
                return report([], dict.fromkeys(stow.uids, 0x0111)) if UID in stow.uids else report(stow.uids)

            archive.on_store = has_it
            await box.take_made(named(9))
            await box.until(lambda: box.at() == {"committed": 1})
            await box.take_made(named(1))
            await box.until(lambda: box.delivery(UID).state.name.lower() == state, step_s=1)
            assert len(archive.retrieves) == 1


async def test_an_answer_longer_than_the_instance_is_another_one(tmp_path: Path) -> None:
    async with scripted_archive() as (archive, _):
        config = destination(archive.url, commitment=SEARCH, verify=RETRIEVE)
        async with forwarding(tmp_path, config) as box:
            archive.on_retrieve = lambda _: Reply(
                200, multipart([made(named(1), size=3_000_000)]), (("content-type", MULTIPART),)
            )
            await box.take_made(named(9))
            await box.until(lambda: box.at() == {"committed": 1})
            archive.on_store = lambda stow: report([], dict.fromkeys(stow.uids, 0x0111))
            await box.take_made(named(1))
            await box.until(lambda: box.at() == {"committed": 1, "parked": 1}, step_s=1)
