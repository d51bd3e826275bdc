"""Simultaneous requests: so many at once, some wait, the rest come again; monitors never wait (PS3.2 J.4.2-4)."""

from contextlib import AsyncExitStack
from http import HTTPStatus
from pathlib import Path

import pytest
import trio
import trio.testing

from edged.origin.exchange import Refusal, Reply, Request
from edged.origin.turns import COME_AGAIN_S, LENT_AFTER_S, LOOK_AGAIN_S, WAIT_S, WAITING, Turn, Turns
from tests.support.box_kit import Box, opened_box
from tests.support.http_client import connected
from tests.support.server_kit import serving
from tests.support.stow_kit import MULTIPART, made, multipart, named

FEW = '[origin]\nbind = ["http://127.0.0.1:0"]\nmax_requests = 2\n'
JSON = {"Accept": "application/json"}
MONITORING = (("OPTIONS", "/"), ("OPTIONS", "/studies"), ("GET", "/healthz"), ("GET", "/admin/status"))


class Slow:
    """A handler that answers when it is told to."""

    def __init__(self) -> None:
        self.running = 0
        self.most = 0
        self.leave = trio.Event()

    async def __call__(self, _: Request) -> Reply:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.leave.wait()
        finally:
            self.running -= 1
        return Reply(HTTPStatus.OK)


async def take(turns: Turns) -> Turn:
    turn = Turn(turns)
    await turns.take(turn)
    return turn


async def test_a_turn_comes_when_another_is_given_back(autojump_clock: trio.testing.MockClock) -> None:
    turns = Turns(1)
    order: list[int] = []

    async def work(number: int) -> None:
        turn = await take(turns)
        order.append(number)
        await trio.sleep(WAIT_S / 20)
        turns.give(turn)

    async with trio.open_nursery() as nursery:
        for number in range(10):
            nursery.start_soon(work, number)
            await trio.testing.wait_all_tasks_blocked()
    assert order == list(range(10))


async def test_waiting_has_an_end(autojump_clock: trio.testing.MockClock) -> None:
    turns = Turns(1)
    turn = await take(turns)
    began = trio.current_time()
    with pytest.raises(Refusal) as caught:
        await take(turns)
    problem = caught.value.problem
    assert trio.current_time() - began == WAIT_S
    assert (problem.status, problem.retry_after, problem.passes) == (503, COME_AGAIN_S, True)
    turns.give(turn)
    await take(turns)


async def test_only_so_many_wait(autojump_clock: trio.testing.MockClock) -> None:
    turns = Turns(1)
    await take(turns)
    refused: list[float] = []

    async def wait() -> None:
        with pytest.raises(Refusal):
            await take(turns)
        refused.append(trio.current_time())

    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        for _ in range(WAITING + 3):
            nursery.start_soon(wait)
    assert [at - began for at in refused] == [0] * 3 + [WAIT_S] * WAITING


async def test_who_leaves_while_waiting_leaves_nothing_behind(autojump_clock: trio.testing.MockClock) -> None:
    turns = Turns(1)
    turn = await take(turns)
    async with trio.open_nursery() as nursery:
        for _ in range(WAITING):
            nursery.start_soon(take, turns)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    turns.give(turn)
    await take(turns)


async def test_a_turn_that_comes_together_with_a_cancellation_is_not_lost(
    autojump_clock: trio.testing.MockClock,
) -> None:
    turns = Turns(1)
    turn = await take(turns)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(take, turns)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
        turns.give(turn)
    turns.give(await take(turns))


async def dribble() -> dict[str, object]:
    await trio.sleep(0.2)
    return {"type": "http.request", "body": b"a", "more_body": True}


async def test_who_waits_for_its_client_lends_its_turn(autojump_clock: trio.testing.MockClock) -> None:
    """One that dribbles lends it as well as one that sends nothing, and goes on when the other has finished."""
    turns = Turns(1)
    slow = await take(turns)
    received = 0

    async def read() -> None:
        nonlocal received
        receive = slow.receiving(dribble)
        for _ in range(100):
            await receive()
            received += 1
        turns.give(slow)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        began = trio.current_time()
        quick = await take(turns)
        assert LENT_AFTER_S <= trio.current_time() - began < LENT_AFTER_S + 2 * LOOK_AGAIN_S
        before = received
        await trio.sleep(30)
        assert received == before
        turns.give(quick)
    assert received == 100
    turns.give(await take(turns))


async def test_who_was_slow_lends_its_turn_again_at_once(autojump_clock: trio.testing.MockClock) -> None:
    """Were it lent once a second only, a hundred slow clients would leave a hundred turns a second to honest ones."""
    turns = Turns(1)
    slow = Turn(turns)
    await turns.take(slow)
    async with trio.open_nursery() as nursery:

        async def read() -> None:
            receive = slow.receiving(dribble)
            while True:
                await receive()

        nursery.start_soon(read)
        for _ in range(10):
            quick = Turn(turns)
            await turns.take(quick)
            turns.give(quick)
        began = trio.current_time()
        for _ in range(10):
            quick = Turn(turns)
            await turns.take(quick)
            await trio.sleep(0.3)
            turns.give(quick)
            await trio.sleep(0.3)
        assert trio.current_time() - began < 10 * (0.6 + LENT_AFTER_S / 4)
        nursery.cancel_scope.cancel()


async def test_who_works_does_not_lend_its_turn(autojump_clock: trio.testing.MockClock) -> None:
    turns = Turns(1)
    busy = await take(turns)
    for _ in range(20):
        await busy.receiving(dribble)()
    with pytest.raises(Refusal):
        await take(turns)
    turns.give(busy)


async def test_a_lent_turn_is_not_given_back_twice(autojump_clock: trio.testing.MockClock) -> None:
    turns = Turns(1)
    gone = await take(turns)
    with trio.CancelScope() as leaving:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(gone.receiving(trio.sleep_forever))
            kept = await take(turns)
            leaving.cancel()
    turns.give(gone)
    with pytest.raises(Refusal):
        await take(turns)
    turns.give(kept)
    turns.give(await take(turns))


async def test_further_requests_wait_and_monitors_do_not(tmp_path: Path) -> None:
    slow, statuses = Slow(), list[int]()

    async def ask(box: Box) -> None:
        statuses.append((await box.ask("GET", named(1).path, {"Accept": "*/*"})).status)

    async with opened_box(tmp_path, FEW, handlers={"retrieveInstance": slow}) as box, trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(ask, box)
        await trio.testing.wait_all_tasks_blocked()
        assert slow.running == 2
        for method, path in MONITORING:
            assert (await box.ask(method, path, JSON)).status == 200
        preflight = {"Origin": "https://a.example", "Access-Control-Request-Method": "GET", **JSON}
        assert (await box.ask("OPTIONS", "/", preflight)).status == 401
        assert (await box.ask("GET", "/nothing")).status == 404
        slow.leave.set()
    assert statuses == [200] * 5
    assert slow.most == 2


async def test_a_turn_is_given_back_whatever_happens(tmp_path: Path) -> None:
    async with opened_box(tmp_path, FEW) as box:
        for _ in range(5):
            assert (await box.ask("POST", "/studies", {"Content-Type": "text/html"}, b"x")).status == 415
            assert (await box.stow(made(named(1)))).status == 200


async def test_a_body_is_not_asked_for_before_its_turn(tmp_path: Path) -> None:
    slow = Slow()

    async with opened_box(tmp_path, FEW, handlers={"retrieveInstance": slow}) as box, trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(box.ask, "GET", named(1).path)
        await trio.testing.wait_all_tasks_blocked()
        body = multipart([made(named(1))])
        async with serving(box.application) as server, connected(server.url) as connection:
            head = f"POST /studies HTTP/1.1\r\nHost: localhost\r\nContent-Type: {MULTIPART}\r\n"
            await connection.stream.send_all(
                f"{head}Expect: 100-continue\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            )
            async with connected(server.url) as other:
                assert (await other.ask("GET", "/healthz")).status == 200
            slow.leave.set()
            assert (await connection.stream.receive_some(1000)).startswith(b"HTTP/1.1 100 ")
            await connection.stream.send_all(body)
            assert (await connection.stream.receive_some(1000)).startswith(b"HTTP/1.1 200 ")


async def test_slow_clients_do_not_keep_others_out(tmp_path: Path) -> None:
    """As many bodies that do not come as there are turns, over real connections; an honest store goes through."""
    head = f"POST /studies HTTP/1.1\r\nHost: localhost\r\nContent-Type: {MULTIPART}\r\nContent-Length: 1000\r\n\r\n--"
    async with opened_box(tmp_path, FEW) as box, serving(box.application) as server, AsyncExitStack() as stack:
        for _ in range(5):
            slow = await stack.enter_async_context(connected(server.url))
            await slow.stream.send_all(head.encode())
        async with connected(server.url) as honest:
            stored = await honest.ask("POST", "/studies", {"Content-Type": MULTIPART}, multipart([made(named(1))]))
        assert stored.status == 200
