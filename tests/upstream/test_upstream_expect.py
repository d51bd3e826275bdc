"""100-continue before large bodies: asked where it helps, never waited for in vain twice, never needed."""

from collections.abc import Awaitable, Callable

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from edged.upstream.connection import ClientSettings, HttpChoice, open_client
from edged.upstream.expect import LEAST_BYTES, Expectation
from edged.upstream.message import NoAnswer
from tests.support.upstream_body import post
from tests.support.upstream_peer import Wire, listen

LARGE = post(LEAST_BYTES)
ONE = ClientSettings(http=HttpChoice.ONE)


def asks(head: bytes) -> bool:
    return b"\r\nexpect: 100-continue" in head.lower()


def continuing(asked: list[bool]) -> Callable[[Wire], Awaitable[None]]:
    """A peer that takes the body whether it is asked or not, and notes which."""

    async def script(wire: Wire) -> None:
        while True:
            head = await wire.head()
            asked.append(asks(head))
            if asks(head):
                await wire.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            await wire.exactly(LEAST_BYTES)
            await wire.answer()

    return script


async def test_a_new_destination_is_asked_once() -> None:
    asked: list[bool] = []

    async with listen(continuing(asked)) as peer, open_client(peer.endpoint, ONE) as client:
        for _ in range(3):
            response = await client.request(LARGE)
            assert (response.status, response.request_sent, response.sent_bytes) == (200, True, LEAST_BYTES)
        assert (asked, peer.accepted) == ([True, False, False], 1)


@pytest.mark.parametrize("status", [401, 413, 503])
async def test_who_refuses_is_spared_the_body(status: int) -> None:
    got: list[bytes] = []

    async def script(wire: Wire) -> None:
        assert asks(await wire.head())
        await wire.answer(status, b"no")
        got.append(await wire.read_some())

    async with listen(script) as peer, open_client(peer.endpoint, ONE) as client:
        for _ in range(3):
            response = await client.request(LARGE)
            assert (response.status, response.body, response.request_sent) == (status, b"no", False)
            assert response.sent_bytes == 0
    assert got == []


async def test_who_does_not_answer_the_question_gets_the_body_and_is_not_asked_again() -> None:
    asked: list[bool] = []

    async def script(wire: Wire) -> None:
        while True:
            head, _ = await wire.request()
            asked.append(asks(head))
            await wire.answer(503)

    async with listen(script) as peer, open_client(peer.endpoint, ONE) as client:
        for _ in range(3):
            assert (await client.request(LARGE)).sent_bytes == LEAST_BYTES
    assert asked == [True, False, False]


async def test_an_expectation_that_fails_is_dropped() -> None:
    asked: list[bool] = []

    async def script(wire: Wire) -> None:
        while True:
            head = await wire.head()
            asked.append(asks(head))
            if asks(head):
                await wire.answer(417)
                await wire.closed()
            await wire.exactly(LEAST_BYTES)
            await wire.answer(200)

    async with listen(script) as peer, open_client(peer.endpoint, ONE) as client:
        for _ in range(2):
            assert (await client.request(LARGE)).status == 200
    assert asked == [True, False, False]


async def test_requests_at_once_ask_no_more_than_one_after_another() -> None:
    asked: list[bool] = []

    async with listen(continuing(asked)) as peer, open_client(peer.endpoint, ONE) as client:
        await client.request(LARGE)
        async with trio.open_nursery() as nursery:
            for _ in range(12):
                nursery.start_soon(client.request, LARGE)
    assert asked == [True] + [False] * 12


async def test_417_to_what_was_not_asked_is_an_answer() -> None:
    async def script(wire: Wire) -> None:
        while True:
            await wire.request()
            await wire.answer(417)

    async with listen(script) as peer, open_client(peer.endpoint, ONE) as client:
        assert (await client.request(post(10))).status == 417
        assert peer.accepted == 1


async def test_a_peer_that_goes_instead_of_answering_is_no_answer() -> None:
    async def script(wire: Wire) -> None:
        await wire.head()

    async with listen(script) as peer, open_client(peer.endpoint, ONE) as client:
        with pytest.raises(NoAnswer, match="closed the connection") as caught:
            await client.request(LARGE)
        assert caught.value.sent_bytes == 0


STEPS = st.one_of(st.just("lost"), st.just("ignored"), st.integers(200, 599))


@given(st.lists(STEPS, max_size=20))
def test_small_bodies_are_sent_unasked_and_nobody_useless_is_asked(steps: list[str | int]) -> None:
    expectation, useless, refused = Expectation(), False, True
    for step in steps:
        if step == "lost":
            expectation.lost()
            refused = True
        elif isinstance(step, int):
            expectation.answered(LEAST_BYTES, step)
            refused = step >= 300
            useless |= expectation.is_refused(step)
        else:
            expectation.ignored()
            useless = True
        assert not expectation.wanted(LEAST_BYTES - 1)
        assert not expectation.wanted(None)
        assert expectation.wanted(LEAST_BYTES) == (refused and not useless)
