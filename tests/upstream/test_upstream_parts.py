"""How a body is put on the wire: in few sends, whole however it is cut, and counted to the byte when it breaks off."""

import socket
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

import pytest
import trio
import trio.testing
from h2.settings import SettingCodes
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from edged.telemetry.live import Phase
from edged.upstream.connection import ClientSettings, HttpChoice, open_client
from edged.upstream.dial import Connector, Timeouts
from edged.upstream.endpoint import Endpoint
from edged.upstream.http1 import HELD_BYTES, HELD_PARTS, HELD_S, PART_BYTES
from edged.upstream.message import NoAnswer, Request, Response
from edged.upstream.progress import STEP_BYTES, Steps
from edged.upstream.transport import Data, Transport
from tests.support.memory_wire import Half, MemoryWire
from tests.support.upstream_peer import Http2Wire, PeerGoneError, Wire, listen
from tests.upstream.conftest import Certificates

ENDPOINT = Endpoint.parse("http://archive.example/")
ONE = ClientSettings(http=HttpChoice.ONE)
WIDE = 2**31 - 1
PATIENT = Timeouts(answer_s=3600, interim_s=3600)
SIZES = st.lists(
    st.one_of(st.integers(1, 3), st.sampled_from([HELD_BYTES, HELD_BYTES + 1, 65_536, PART_BYTES, PART_BYTES + 1])),
    min_size=1,
    max_size=40,
)


@dataclass(frozen=True, slots=True)
class Cut:
    """A body of bytes that differ, in pieces of these sizes, each so long after the one before."""

    sizes: Sequence[int]
    every_s: float = 0.0

    @property
    def content(self) -> bytes:
        return bytes(number % 251 for number in range(1000)) * (self.length // 1000 + 1)

    @property
    def length(self) -> int:
        return sum(self.sizes)

    async def pieces(self) -> AsyncGenerator[bytes | memoryview, None]:
        content, at = memoryview(self.content), 0
        for size in self.sizes:
            if self.every_s:
                await trio.sleep(self.every_s)
            yield content[at : at + size]
            at += size


def post(*sizes: int) -> Request:
    return Request("POST", "/dicom-web/studies", (("Content-Type", "text/plain"),), Cut(sizes))


@given(SIZES)
@settings(max_examples=25, deadline=None)
def test_however_it_is_cut_the_peer_gets_the_same(sizes: list[int]) -> None:
    got = list[bytes]()

    async def script(wire: Wire) -> None:
        while True:
            got.append((await wire.request())[1])
            await wire.answer()

    async def ask() -> Response:
        async with listen(script) as peer, open_client(peer.endpoint, ONE) as client:
            return await client.request(post(*sizes))

    response = trio.run(ask)
    body = Cut(sizes)
    assert got == [body.content[: body.length]]
    assert (response.request_sent, response.sent_bytes) == (True, body.length)


@given(SIZES, st.data())
@settings(max_examples=12, deadline=None)
def test_an_early_answer_counts_what_had_left(sizes: list[int], data: st.DataObject) -> None:
    """The peer answers when it has read so many bytes, and reads no more: what it has read had left."""
    sizes = [*sizes, *[1 << 20] * 30]
    after = data.draw(st.integers(0, sum(sizes) - (16 << 20)))

    async def script(wire: Wire) -> None:
        await wire.head()
        await wire.exactly(after)
        await wire.answer(200, b"stored")
        await trio.sleep_forever()

    async def ask() -> Response:
        async with listen(script) as peer, open_client(peer.endpoint, ONE) as client:
            return await client.request(post(*sizes))

    response = trio.run(ask)
    assert not response.request_sent
    assert after <= response.sent_bytes < sum(sizes)


@given(st.lists(st.integers(0, 300_000), max_size=20))
@settings(max_examples=25, deadline=None)
def test_several_buffers_leave_in_order_and_are_counted(sizes: list[int]) -> None:
    """Over a socket that takes little at a time."""
    buffers = [bytes([index]) * size for index, size in enumerate(sizes)]
    taken, got = list[int](), bytearray()

    async def send() -> bool:
        near, far = trio.socket.socketpair()
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        transport, reader = Transport(trio.SocketStream(near)), trio.SocketStream(far)

        async def read() -> None:
            async with reader:
                async for data in reader:
                    got.extend(data)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            with transport.telling(taken.append):
                sent = await transport.send(*buffers)
            transport.close()
        return sent

    assert trio.run(send)
    assert got == b"".join(buffers)
    assert sum(taken) == len(got)


async def test_over_tls_it_is_counted_by_whole_parts(certificates: Certificates) -> None:
    async def script(wire: Wire) -> None:
        await wire.head()
        await wire.exactly(PART_BYTES + 1)
        await wire.answer(200, b"stored")
        await trio.sleep_forever()

    trusting = ClientSettings(http=HttpChoice.ONE, tls=certificates.trusting)
    async with (
        listen(script, certificates.server_context("http/1.1")) as peer,
        open_client(peer.endpoint, trusting) as client,
    ):
        response = await client.request(post(*[1 << 20] * 30))
    assert not response.request_sent
    assert PART_BYTES <= response.sent_bytes < 30 << 20
    assert response.sent_bytes % PART_BYTES == 0


class CountedWire(MemoryWire):
    """Says what is sent at a time, and takes `step` bytes in each of so many seconds."""

    def __init__(self, stream: Half, *, step: int = 1 << 30, every_s: float = 0.0) -> None:
        super().__init__(stream)
        self.sends = list[list[int]]()
        self._step = step
        self._every_s = every_s

    async def send_each(self, data: Sequence[Data]) -> None:
        self.sends.append([len(each) for each in data])
        whole = b"".join(data)
        for at in range(0, len(whole), self._step):
            if len(whole) > 512:  # a head
                await trio.sleep(self._every_s)
            step = whole[at : at + self._step]
            await self.send_all(step)
            self.taken(len(step))


def connector(nursery: trio.Nursery, wires: list[CountedWire], *, step: int, every_s: float, two: bool) -> Connector:
    async def serve(far: Half) -> None:
        wire = MemoryEnd(far)
        try:
            if two:
                peer = Http2Wire(wire, {SettingCodes.INITIAL_WINDOW_SIZE: WIDE, SettingCodes.MAX_FRAME_SIZE: 16_384})
                peer.protocol.initiate_connection()
                peer.protocol.increment_flow_control_window(WIDE - 65_535)
                await peer.flush()
                stream_id, _, _ = await peer.request()
                await peer.answer(stream_id)
            else:
                await wire.request()
                await wire.answer()
            await trio.sleep_forever()
        except (PeerGoneError, trio.BrokenResourceError, trio.ClosedResourceError):
            return

    async def connect(*_: object) -> Transport:
        await trio.lowlevel.checkpoint()
        near, far = trio.testing.memory_stream_pair()
        nursery.start_soon(serve, far)
        wires.append(CountedWire(near, step=step, every_s=every_s))
        return Transport(wires[0])

    return connect


class MemoryEnd(Wire):
    """A peer's wire without a socket."""

    def __init__(self, stream: Half) -> None:
        self.stream = stream
        self.number = 1
        self._buffer = bytearray()


async def sent(request: Request, *, step: int = 1 << 30, every_s: float = 0.0, two: bool = False) -> list[list[int]]:
    """What was sent at a time, the head not counted."""
    wires = list[CountedWire]()
    async with trio.open_nursery() as nursery:
        connect = connector(nursery, wires, step=step, every_s=every_s, two=two)
        http = HttpChoice.TWO if two else HttpChoice.ONE
        async with open_client(ENDPOINT, ClientSettings(http=http, connector=connect, timeouts=PATIENT)) as client:
            assert (await client.request(request)).request_sent
        nursery.cancel_scope.cancel()
    return wires[0].sends[1:]


async def test_what_is_small_leaves_with_what_follows(autojump_clock: MockClock) -> None:
    assert await sent(post(60, PART_BYTES, 5000, 90, 30, PART_BYTES + 1, 40)) == [
        [60, PART_BYTES],
        [5000, 90, 30, PART_BYTES],
        [1, 40],
    ]


async def test_of_what_is_small_not_too_much_is_kept(autojump_clock: MockClock) -> None:
    sends = await sent(post(*[1] * 100))
    assert [len(each) for each in sends] == [HELD_PARTS] * 6 + [100 - 6 * HELD_PARTS]
    assert await sent(post(*[HELD_BYTES // 3] * 10)) == [[HELD_BYTES // 3] * 4] * 2 + [[HELD_BYTES // 3] * 2]


async def test_what_comes_slowly_leaves_as_it_comes(autojump_clock: MockClock) -> None:
    body = Cut([HELD_BYTES // 8] * 5, every_s=2 * HELD_S)
    assert await sent(Request("POST", "/dicom-web/studies", (), body)) == [[HELD_BYTES // 8]] * 5


@pytest.mark.parametrize("two", [False, True])
async def test_each_step_has_its_time_however_much_is_sent_at_once(two: bool, autojump_clock: MockClock) -> None:
    await sent(post(*[1 << 20] * 2), step=STEP_BYTES, every_s=Timeouts().send_s - 1, two=two)


@pytest.mark.parametrize("two", [False, True])
async def test_a_peer_that_takes_less_is_given_up(two: bool, autojump_clock: MockClock) -> None:
    with pytest.RaisesGroup(NoAnswer, allow_unwrapped=True) as caught:
        await sent(post(*[1 << 20] * 2), step=STEP_BYTES // 2, every_s=Timeouts().send_s - 1, two=two)
    error = caught.value.exceptions[0] if isinstance(caught.value, ExceptionGroup) else caught.value
    assert isinstance(error, NoAnswer)
    assert error.phase is Phase.BODY
    assert f"for {Timeouts().send_s:g} s" in error.text


@given(st.lists(st.integers(1, 3 * STEP_BYTES)))
def test_a_step_is_made_when_so_much_has_left(sizes: list[int]) -> None:
    steps, left = Steps(), 0
    for size in sizes:
        left += size
        assert steps.made(size) == (left >= STEP_BYTES)
        left *= left < STEP_BYTES
