"""What a TLS client may do with its records: split them, cut them, end in order or without, send something else."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import trio

from edged.server import TLS, Application, Limits
from edged.server.wire import Wire, handshake
from tests.support.certificates import Certificates
from tests.support.server_kit import Message, Running, answer, read_all, read_body, serving

POST = b"POST / HTTP/1.1\r\nHost: box\r\nContent-Length: %d\r\n\r\n"
RECORD = 16_384


class Client:
    """TLS over octets that the test sends itself."""

    def __init__(self, stream: trio.SocketStream, authority: str) -> None:
        self.stream = stream
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = ssl.create_default_context(cafile=authority)
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")

    async def handshake(self) -> None:
        """Complete it; what the server sends behind it stays unread."""
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                await self.stream.send_all(self.outgoing.read())
                self.incoming.write(await self.stream.receive_some())
            else:
                await self.stream.send_all(self.outgoing.read())
                return

    def records(self, octets: bytes) -> bytes:
        """`octets` as TLS sends them."""
        self.tls.write(octets)
        return self.outgoing.read()

    def closing(self) -> bytes:
        """The alert that ends the client's side."""
        with pytest.raises(ssl.SSLWantReadError):
            self.tls.unwrap()
        return self.outgoing.read()

    async def read(self, end: bytes) -> bytes:
        """What the server says up to `end`."""
        octets = b""
        while not octets.endswith(end):
            try:
                octets += self.tls.read(RECORD)
            except ssl.SSLWantReadError:
                more = await self.stream.receive_some()
                assert more, octets
                self.incoming.write(more)
        return octets


class Reader:
    """An application that reads its body and tells what it got."""

    def __init__(self) -> None:
        self.found: list[tuple[int, bool]] = []
        self.done = trio.Event()

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        size, complete = await read_body(receive)
        self.found.append((size, complete))
        self.done.set()
        if complete:
            await answer(send, 200, b"%d." % size)


@asynccontextmanager
async def connected(app: Application, certificates: Certificates) -> AsyncIterator[tuple[Running, Client]]:
    tls = TLS(certificates.server.certificate, certificates.server.private_key)
    limits = Limits(linger_s=0.2, drain_s=0.5)
    async with (
        serving(app, ["https://127.0.0.1:0"], tls=tls, limits=limits) as running,
        await running.open() as stream,
    ):
        client = Client(stream, str(certificates.authority))
        await client.handshake()
        yield running, client


async def test_octet_by_octet(certificates: Certificates) -> None:
    async with connected(Reader(), certificates) as (_, client):
        for octet in client.records(POST % 5) + client.records(b"abcde"):
            await client.stream.send_all(bytes([octet]))
            await trio.lowlevel.checkpoint()
        assert (await client.read(b".")).endswith(b"\r\n\r\n5.")


async def test_tiny_records_leave_others_their_turn(certificates: Certificates) -> None:
    pair = TLS(certificates.server.certificate, certificates.server.private_key)
    ours, theirs = map(trio.SocketStream, trio.socket.socketpair())
    client, others_turn = Client(theirs, str(certificates.authority)), trio.Event()

    async def other() -> None:
        others_turn.set()

    async with ours, theirs, trio.open_nursery() as nursery:
        nursery.start_soon(client.handshake)
        secured = await handshake(ours, pair.load().context, within_s=5)
        assert secured is not None
        await theirs.send_all(b"".join(client.records(b"x") for _ in range(7000)))
        wire = Wire(secured, write_s=1)
        nursery.start_soon(other)
        sizes = [len(await wire.receive()) for _ in range(2)]  # after one turn either task may be the first
        assert sum(sizes) == 7000
        assert others_turn.is_set()


async def test_many_records_at_once_and_the_end_of_one_later(certificates: Certificates) -> None:
    size = 40 * RECORD
    async with connected(Reader(), certificates) as (_, client):
        octets = client.records(POST % size) + b"".join(client.records(bytes(RECORD)) for _ in range(40))
        await client.stream.send_all(octets[:-1])
        await trio.testing.wait_all_tasks_blocked(0.02)
        await client.stream.send_all(octets[-1:])
        assert (await client.read(b".")).endswith(b"\r\n\r\n%d." % size)


@pytest.mark.parametrize("end", ["alert", "alert and end", "end", "half a record", "no record"])
async def test_a_body_that_is_cut(certificates: Certificates, end: str) -> None:
    reader = Reader()
    async with connected(reader, certificates) as (running, client):
        octets = client.records(POST % 10) + client.records(b"abc")
        match end:
            case "alert" | "alert and end":
                octets += client.closing()
            case "half a record":
                octets += client.records(b"defghij")[:-3]
            case "no record":
                octets += b"\x17\x03\x03\x00\x20" + bytes(32)
        await client.stream.send_all(octets)
        if end in {"end", "half a record", "alert and end"}:
            with suppress(trio.BrokenResourceError):  # the server may have let go at the alert
                await client.stream.send_eof()
        await reader.done.wait()
        assert reader.found == [(3, False)]
        await read_all(client.stream)
        assert running.server.counters.failed == 0


async def test_a_connection_is_kept_after_a_body(certificates: Certificates) -> None:
    async with connected(Reader(), certificates) as (_, client):
        for _ in range(3):
            await client.stream.send_all(client.records(POST % 3 + b"abc"))
            assert (await client.read(b".")).endswith(b"\r\n\r\n3.")


async def test_the_server_says_that_it_has_ended(certificates: Certificates) -> None:
    async with connected(Reader(), certificates) as (_, client):
        await client.stream.send_all(client.records(b"GET / HTTP/1.0\r\n\r\n"))
        octets = await client.read(b".")
        assert octets.endswith(b"\r\n\r\n0.")
        client.incoming.write(await read_all(client.stream))
        assert client.tls.read(RECORD) == b""  # the closing alert: else it is an error


async def test_an_answer_before_the_end_of_a_body_arrives(certificates: Certificates) -> None:
    async def refusing(scope: Message, receive: Any, send: Any) -> None:
        await answer(send, 413, b"too large.")

    async with connected(refusing, certificates) as (_, client):
        await client.stream.send_all(client.records(POST % (200 * RECORD)))
        for _ in range(100):
            await client.stream.send_all(client.records(bytes(RECORD)))
        await client.stream.send_eof()
        assert (await client.read(b".")).startswith(b"HTTP/1.1 413 ")
