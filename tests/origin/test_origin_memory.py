"""What requests hold in memory as a whole has one room, and trees are worked with one at a time (DESIGN §1.7)."""

import gzip
import threading
import tracemalloc
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio
import trio.testing

from edged.http.zstandard import WINDOW_BYTES, zstd_compressor
from edged.origin.room import (
    HELD_S,
    LARGE,
    LOOK_AGAIN_S,
    SMALL_BYTES,
    WAIT_S,
    WAITING,
    Memory,
    NoRoom,
    Room,
    Rooms,
    Share,
)
from tests.support.asgi_kit import Answer, Asked, Message
from tests.support.box_kit import Box, opened_box
from tests.support.commitment_kit import JSON, outcome, sop_form
from tests.support.stow_kit import json_report, made, multipart, named

ARCHIVE = '[commitment]\nevidence = "local"\n'
ASK = "/commitment-requests/1.2.826.0.2.1"
MIB = 1 << 20
TOTAL = 4 * MIB


class Somebody:
    """A client that is waited for, or not; when it is cut it gives its room back."""

    def __init__(self, room: Room, *, waits: bool = True) -> None:
        self.share = Share(room, self)
        self.waits_since = 0.0 if waits else None
        self.is_cut = False

    def cut(self) -> None:
        self.is_cut = True
        self.share.keep(0)


async def test_room_is_taken_at_once_and_given_back() -> None:
    room = Room(TOTAL)
    share = Share(room, None)
    await share.hold(3 * MIB)
    assert (share.bytes, room.free) == (3 * MIB, MIB)
    share.keep(5 * MIB)
    assert room.free == MIB
    share.keep(MIB)
    assert (share.bytes, room.free) == (MIB, 3 * MIB)
    share.keep(0)
    share.keep(0)
    assert room.free == TOTAL
    await share.hold(100 * MIB)
    assert (share.bytes, room.free) == (TOTAL, 0)


async def test_what_is_small_needs_no_room() -> None:
    room = Room(0)
    await Share(room, None).hold(SMALL_BYTES)
    assert room.free == 0


async def test_waiting_for_room_is_first_come_first_served(autojump_clock: trio.testing.MockClock) -> None:
    room, order = Room(TOTAL), list[int]()

    async def work(number: int) -> None:
        share = Share(room, None)
        await share.hold((number % 4 + 1) * MIB)
        order.append(number)
        assert room.free >= 0
        await trio.sleep(1)
        share.keep(0)

    async with trio.open_nursery() as nursery:
        for number in range(WAITING):
            nursery.start_soon(work, number)
            await trio.testing.wait_all_tasks_blocked()
    assert order == list(range(WAITING))
    assert room.free == TOTAL


async def test_waiting_for_room_has_an_end_and_only_so_many_wait(autojump_clock: trio.testing.MockClock) -> None:
    room, ends = Room(TOTAL), list[float]()
    await Share(room, None).hold(TOTAL)

    async def wait() -> None:
        with pytest.raises(NoRoom):
            await Share(room, None).hold(MIB)
        ends.append(trio.current_time())

    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        for _ in range(WAITING + 4):
            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
    assert sorted(at - began for at in ends) == [0] * 3 + [WAIT_S] * (WAITING + 1)
    assert room.free == 0


async def test_who_waits_for_its_client_gives_way(autojump_clock: trio.testing.MockClock) -> None:
    """Not who works, and the first of those who wait; nobody while there is room."""
    room = Room(TOTAL)
    busy, slow, slower = Somebody(room, waits=False), Somebody(room), Somebody(room)
    for each in (busy, slow, slower):
        await each.share.hold(MIB)
    await trio.sleep(2 * HELD_S)
    share = Share(room, None)
    began = trio.current_time()
    await share.hold(MIB)
    share.keep(0)
    assert not slow.is_cut
    await share.hold(2 * MIB)
    assert trio.current_time() - began <= LOOK_AGAIN_S
    assert (busy.is_cut, slow.is_cut, slower.is_cut) == (False, True, False)


async def test_nobody_gives_way_at_once(autojump_clock: trio.testing.MockClock) -> None:
    room = Room(TOTAL)
    slow = Somebody(room)
    await slow.share.hold(TOTAL)
    began = trio.current_time()
    await Share(room, None).hold(TOTAL)
    assert HELD_S <= trio.current_time() - began <= HELD_S + LOOK_AGAIN_S
    assert slow.is_cut


async def test_who_leaves_while_waiting_for_room_takes_none(autojump_clock: trio.testing.MockClock) -> None:
    room = Room(TOTAL)
    held, late = Share(room, None), Share(room, None)
    await held.hold(TOTAL)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(late.hold, MIB)
        await trio.testing.wait_all_tasks_blocked()
        held.keep(0)
        nursery.cancel_scope.cancel()
    assert room.free + late.bytes == TOTAL
    late.keep(0)
    await Share(room, None).hold(TOTAL)


async def test_large_trees_are_worked_with_one_at_a_time_in_another_thread() -> None:
    rooms, order = Rooms(), list[int]()

    async def work(number: int) -> None:
        async with Memory(rooms).alone(large=True) as do:
            order.append(number)
            assert await do(threading.get_ident) != threading.get_ident()
            order.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(4):
            nursery.start_soon(work, number)
        async with Memory(rooms).alone(large=False) as do:
            assert await do(threading.get_ident) == threading.get_ident()
    assert order[::2] == order[1::2]


class Sender:
    """A client that sends all of its body but the end, and that when it is told to."""

    def __init__(self, path: str, body: bytes, coding: str = "gzip") -> None:
        self.asked = Asked("POST", path, {**JSON, "Content-Encoding": coding, "Content-Length": str(len(body))})
        self.pieces = [body[:-4], body[-4:]]
        self.go_on = trio.Event()
        self.statuses = list[int]()

    async def run(self, box: Box) -> None:
        await box.application(self.asked.scope(), self.receive, self.send)

    async def receive(self) -> Message:
        if len(self.pieces) < 2:
            await self.go_on.wait()
        return {"type": "http.request", "body": self.pieces.pop(0), "more_body": bool(self.pieces)}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.statuses.append(message["status"])


async def test_bodies_that_do_not_end_are_not_all_in_memory(tmp_path: Path) -> None:
    """A few KiB each, that decode to 8 MiB; two are gathered, the others wait and are answered as well."""
    body = gzip.compress(b" " * (8 * MIB - 10), 9)
    senders = [Sender(f"{ASK}.{number}", body) for number in range(12)]
    async with opened_box(tmp_path, ARCHIVE) as box, trio.open_nursery() as nursery:
        tracemalloc.start()
        try:
            for sender in senders:
                nursery.start_soon(sender.run, box)
            await trio.testing.wait_all_tasks_blocked(0.05)
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        coming = box.application.rooms.coming
        assert coming.free == 0
        assert coming.total - MIB < held < coming.total + 4 * MIB
        for sender in senders:
            sender.go_on.set()
    assert [sender.statuses for sender in senders] == [[400]] * len(senders)
    assert coming.free == coming.total


async def test_windows_of_decoders_have_room(tmp_path: Path) -> None:
    """A few bytes make a decoder of zstd keep 8 MiB: two at once, the others wait and are answered as well."""
    compressor = zstd_compressor()
    body = compressor.compress(sop_form([named(1)])) + compressor.flush()
    senders = [Sender(f"{ASK}.{number}", body, "zstd") for number in range(6)]
    async with opened_box(tmp_path, ARCHIVE) as box, trio.open_nursery() as nursery:
        for sender in senders:
            nursery.start_soon(sender.run, box)
        await trio.testing.wait_all_tasks_blocked(0.05)
        windows = box.application.rooms.windows
        assert (windows.free, windows.total) == (0, 2 * WINDOW_BYTES)
        for sender in senders:
            sender.go_on.set()
    assert [sender.statuses for sender in senders] == [[202]] * len(senders)
    assert windows.free == windows.total


async def works_alone(box: Box, ask: Callable[[], Awaitable[Answer]]) -> Answer:
    """Make a request that works with a large tree, and see that it waits for its turn to do so."""
    answers = list[Answer]()

    async def asking() -> None:
        answers.append(await ask())

    async with trio.open_nursery() as nursery, box.application.rooms.line:
        nursery.start_soon(asking)
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert not answers
        assert (await box.ask("OPTIONS", "/", {"Accept": "application/json"})).status == 200
        small = await box.ask("POST", f"{ASK}.7", JSON, sop_form([named(1)]))
        assert small.status in {200, 202}
    return answers[0]


async def test_large_requests_are_read_alone(tmp_path: Path) -> None:
    async with opened_box(tmp_path, ARCHIVE) as box:
        body = sop_form(named(number) for number in range(1000))
        asked = await works_alone(box, lambda: box.ask("POST", ASK, JSON, body))
        assert (asked.status, len(body) > SMALL_BYTES) == (202, True)


async def test_large_requests_and_results_are_worked_with_alone(tmp_path: Path) -> None:
    many = [named(number) for number in range(LARGE + 500)]
    async with opened_box(tmp_path, f'{ARCHIVE}grace = "0s"\n') as box:
        body = sop_form(many)
        assert len(body) > SMALL_BYTES
        asked = await works_alone(box, lambda: box.ask("POST", ASK, JSON, body))
        assert asked.status == 200
        checked = await box.ask("GET", ASK, JSON)
        assert len(outcome(checked.body)) == len(many)
        assert checked.body == asked.body


async def test_large_store_answers_are_written_alone(tmp_path: Path) -> None:
    async with opened_box(tmp_path) as box:
        headers = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=b', "Accept": JSON["Accept"]}
        body = multipart([b"x"] * LARGE + [made(named(1))], boundary="b")
        answer = await works_alone(box, lambda: box.ask("POST", "/studies", headers, body))
        assert answer.status == 202
        report = json_report(answer.body)
        assert (len(report.other), len(report.stored)) == (LARGE, 1)


async def test_a_result_holds_its_room_until_it_is_taken(tmp_path: Path) -> None:
    leave, sizes = trio.Event(), list[int]()
    async with opened_box(tmp_path, f'{ARCHIVE}grace = "0s"\n') as box:
        going = box.application.rooms.going
        await box.ask("POST", ASK, JSON, sop_form(named(number) for number in range(1000)))
        assert going.free == going.total
        asked = Asked("GET", ASK, JSON)

        async def send(message: Message) -> None:
            if message["type"] == "http.response.body":
                sizes.append(going.total - going.free)
                assert len(message["body"]) == sizes[0] > SMALL_BYTES
                await leave.wait()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(box.application, asked.scope(), trio.sleep_forever, send)
            while not sizes:
                await trio.testing.wait_all_tasks_blocked()
            leave.set()
        assert going.free == going.total
        encoded = await box.ask("GET", ASK, {**JSON, "Accept-Encoding": "gzip"})
        assert encoded.headers["content-encoding"] == "gzip"
        assert going.free == going.total


async def test_too_many_references_are_seen_before_a_tree_is_built(tmp_path: Path) -> None:
    async with opened_box(tmp_path, ARCHIVE) as box:
        for quote in (b'"', b"'"):
            marked = await box.ask("POST", ASK, JSON, b"{" + quote.join([b"", b"00081155", b""]) * 20_001)
            assert marked.status == 413


async def test_without_room_come_again(tmp_path: Path) -> None:
    async with opened_box(tmp_path, ARCHIVE) as box:
        room = box.application.rooms.coming
        held = Share(room, None)
        await held.hold(room.total)
        async with trio.open_nursery() as nursery:
            for _ in range(WAITING + 1):
                nursery.start_soon(Share(room, None).hold, MIB)
            await trio.testing.wait_all_tasks_blocked()
            refused = await box.ask("POST", ASK, JSON, sop_form(named(number) for number in range(1000)))
            assert refused.status == 503
            assert int(refused.headers["retry-after"]) > 0
            assert (await box.ask("POST", ASK, JSON, sop_form([named(1)]))).status == 202
            nursery.cancel_scope.cancel()
        held.keep(0)
