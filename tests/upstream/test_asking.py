"""Asking a destination: header fields, one renewal of a refused credential, connections, pace; all of it in memory."""

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trio
import trio.testing

from edged.upstream.asking import Asking
from edged.upstream.connection import ClientSettings, open_client
from edged.upstream.credentials import Fields
from edged.upstream.endpoint import Endpoint
from edged.upstream.message import BytesBody, Request
from edged.upstream.redaction import Redactor
from tests.support.memory_wire import Half, connector

ENDPOINT = Endpoint("http", "archive.example", 80, "/dicom-web")
GET = Request("GET", "/dicom-web/studies", (("accept", "application/dicom+json"),))


@dataclass
class Tokens:
    """Credentials that are renewed by being refused, as long as there are any."""

    left: list[str]
    refusals: list[Fields] = field(default_factory=list)

    async def fields(self) -> Fields:
        return (("authorization", f"Bearer {self.left[0]}"),)

    async def refused(self, fields: Fields, status: int) -> bool:
        assert status == 401
        self.refusals.append(fields)
        if len(self.left) == 1:
            return False
        self.left.pop(0)
        return True


@dataclass
class Rationed:
    """A pace of so many bytes per second."""

    bytes_per_s: float

    async def take(self, size: int, *, urgent: bool) -> int:
        if not urgent:
            await trio.sleep(size / self.bytes_per_s)
        return size


@dataclass
class Peer:
    """Answers 200 to one token and 401 to any other; keeps the heads that it was sent, by connection."""

    token: str = ""
    heads: list[list[bytes]] = field(default_factory=list)

    async def serve(self, stream: Half) -> None:
        mine: list[bytes] = []
        self.heads.append(mine)
        buffer = b""
        while True:
            while b"\r\n\r\n" not in buffer:
                data = bytes(await stream.receive_some())
                if not data:
                    return
                buffer += data
            head, _, buffer = buffer.partition(b"\r\n\r\n")
            mine.append(head)
            lines = [line.partition(b": ") for line in head.split(b"\r\n")]
            size = sum(int(value) for name, _, value in lines if name.lower() == b"content-length")
            while len(buffer) < size:
                buffer += bytes(await stream.receive_some())
            buffer = buffer[size:]
            status = b"200 OK" if f"Bearer {self.token}".encode() in head or not self.token else b"401 No"
            await stream.send_all(b"HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n" % status)


@asynccontextmanager
async def asking(peer: Peer, tokens: Tokens, pace: Rationed | None = None) -> AsyncIterator[Asking]:
    async with trio.open_nursery() as nursery:
        settings = ClientSettings(connector=connector(nursery, peer.serve))
        async with open_client(ENDPOINT, settings) as client:
            yield Asking(
                client,
                (("x-site", "north"),),
                credentials=tokens,
                pace=pace or Rationed(math.inf),
                redactor=Redactor(),
            )
        nursery.cancel_scope.cancel()


async def test_every_request_carries_the_configured_fields_and_the_credential() -> None:
    peer = Peer()
    async with asking(peer, Tokens(["a"])) as asked:
        assert asked.target("/studies") == "/dicom-web/studies"
        assert (await asked.request(GET)).status == 200
    [[head]] = peer.heads
    assert b"accept: application/dicom+json\r\nx-site: north\r\nauthorization: Bearer a" in head


async def test_a_refused_credential_is_renewed_once_and_the_body_goes_again() -> None:
    peer, tokens = Peer("b"), Tokens(["a", "b"])
    async with asking(peer, tokens) as asked:
        response = await asked.request(Request("POST", "/dicom-web/studies", body=BytesBody(b"x" * 100)))
    assert response.status == 200
    assert tokens.refusals == [(("authorization", "Bearer a"),)]
    assert sum(len(heads) for heads in peer.heads) == 2


@pytest.mark.parametrize(("there", "requests"), [(["a"], 1), (["a", "b", "c"], 2)])
async def test_what_is_refused_after_that_is_the_answer(there: list[str], requests: int) -> None:
    peer = Peer("z")
    async with asking(peer, Tokens(there)) as asked:
        assert (await asked.request(GET)).status == 401
    assert sum(len(heads) for heads in peer.heads) == requests


async def test_a_connection_is_used_again_unless_it_is_to_be_a_fresh_one() -> None:
    peer = Peer()
    async with asking(peer, Tokens(["a"])) as asked:
        await asked.request(GET)
        await asked.request(GET)
        await asked.request(GET, fresh=True)
    assert sorted(len(heads) for heads in peer.heads) == [1, 2]


@pytest.mark.parametrize(("urgent", "seconds"), [(False, 10.0), (True, 0.0)])
async def test_a_body_keeps_to_the_pace_but_for_urgent_ones(
    autojump_clock: trio.testing.MockClock, urgent: bool, seconds: float
) -> None:
    body = BytesBody(bytes(1000))
    async with asking(Peer(), Tokens(["a"]), Rationed(100.0)) as asked:
        began = trio.current_time()
        response = await asked.request(Request("POST", "/dicom-web/studies", body=body), urgent=urgent)
        assert response.status == 200
        assert trio.current_time() - began == seconds
