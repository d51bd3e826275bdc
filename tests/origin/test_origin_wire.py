"""The origin server behind a real socket: senders of every habit, refusals that leave the connection usable."""

import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from edged.app.box import Parts
from edged.store.counters import standing
from edged.store.records import Standing
from tests.support.box_kit import require_whole, served_box
from tests.support.http_client import Connection, connected
from tests.support.server_kit import read_all
from tests.support.stow_kit import MULTIPART, STUDY, json_report, made, multipart, named

STOW = {"Content-Type": MULTIPART, "Accept": "application/dicom+json"}
ONE, TWO = named(1), named(2)


def held(parts: Parts) -> int:
    return parts.store.read_now(lambda txn: txn.counter(standing(Standing.HELD)))


def cut(body: bytes, step: int) -> Iterator[bytes]:
    return (body[at : at + step] for at in range(0, len(body), step))


async def works(connection: Connection) -> None:
    """The connection serves a next request."""
    answer = await connection.ask("POST", "/studies", STOW, multipart([made(named(99))]))
    assert answer.status == 200


async def test_with_a_length_and_in_chunks(served: Parts) -> None:
    async with connected(served.urls[0]) as connection:
        first = await connection.ask("POST", "/studies", STOW, multipart([made(ONE)]))
        assert first.status == 200
        assert first.headers["location"] == f"{served.urls[0]}/studies/{STUDY}"
        body = multipart([made(TWO, size=300_000)])
        second = await connection.ask("POST", "/studies", STOW, cut(body, 4097))
        assert second.status == 200
        assert json_report(second.body).stored == {TWO.instance: served.urls[0] + TWO.path}
        assert held(served) == 2


async def test_one_byte_at_a_time(served: Parts) -> None:
    body = multipart([made(ONE, size=700), made(TWO, size=700)])
    async with connected(served.urls[0]) as connection:
        answer = await connection.ask("POST", "/studies", STOW, cut(body, 1))
        assert answer.status == 200
        assert set(json_report(answer.body).stored) == {ONE.instance, TWO.instance}
        await works(connection)


REFUSALS: list[tuple[int, str, dict[str, str], bytes]] = [
    (400, "/studies", STOW, b""),
    (400, "/studies", {**STOW, "Content-Type": 'multipart/related; type="application/dicom"'}, multipart([made(ONE)])),
    (400, "/studies", {**STOW, "Content-Type": MULTIPART.replace("part of", "x")}, multipart([made(ONE)])),
    (415, "/studies", {**STOW, "Content-Type": "text/html"}, b"<html>" * 1000),
    (415, "/studies", {"Accept": "*/*"}, b"nothing"),
    (409, "/studies", STOW, multipart([b"no DICOM" * 100])),
    (409, "/studies/1.2.3", STOW, multipart([made(ONE)])),
    (404, "/nothing", STOW, multipart([made(ONE)])),
    (405, "/healthz", STOW, multipart([made(ONE)])),
    (401, "/studies", {**STOW, "Authorization": "Bearer unknown"}, multipart([made(ONE)])),
    (400, "/commitment-requests/1.2.3", {"Content-Type": "application/dicom+json"}, b"{}"),
]


@pytest.mark.parametrize(("status", "path", "headers", "body"), REFUSALS)
async def test_after_a_refusal_the_connection_works(
    served: Parts, status: int, path: str, headers: dict[str, str], body: bytes
) -> None:
    async with connected(served.urls[0]) as connection:
        for asked in (body, cut(body, 1000)):
            answer = await connection.ask("POST", path, headers, asked)
            assert answer.status == status
            await works(connection)


async def test_a_large_body_that_is_not_wanted_is_not_read(served: Parts) -> None:
    async with connected(served.urls[0]) as connection:
        await connection.stream.send_all(
            b"POST /studies HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/html\r\nContent-Length: 100000000\r\n\r\n"
        )
        await connection.stream.send_all(b"x" * 10_000)
        got = await connection.stream.receive_some(65536)
        assert got.startswith(b"HTTP/1.1 415 ")
        assert b"connection: close" in got.lower()


async def test_no_continue_for_what_is_refused(served: Parts) -> None:
    for length, begin in ((b"10", b"HTTP/1.1 415 "), (b"99999999999", b"HTTP/1.1 415 ")):
        async with connected(served.urls[0]) as connection:
            await connection.stream.send_all(
                b"POST /studies HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/html\r\n"
                b"Expect: 100-continue\r\nContent-Length: %s\r\n\r\n" % length
            )
            assert (await connection.stream.receive_some(65536)).startswith(begin)


@pytest.mark.parametrize("share", [0.01, 0.4, 0.6, 0.99])
async def test_a_client_that_ends_in_the_middle(served: Parts, share: float) -> None:
    body = multipart([made(ONE, size=12 << 20), made(TWO, size=12 << 20)])
    async with connected(served.urls[0]) as connection:
        await connection.stream.send_all(announced(len(body)) + body[: int(len(body) * share)])
        await connection.stream.send_eof()
        assert b" 200 " not in await read_all(connection.stream)
    require_whole(served.store)
    assert held(served) == (1 if share > 0.5 else 0)


async def test_clients_that_vanish(tmp_path: Path) -> None:
    body = multipart([made(ONE, size=12 << 20), made(TWO, size=12 << 20)])
    async with served_box(tmp_path) as parts:
        for share in (0.3, 0.9):
            async with connected(parts.urls[0]) as connection:
                connection.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                await connection.stream.send_all(announced(len(body)) + body[: int(len(body) * share)])
        async with connected(parts.urls[0]) as connection:
            await works(connection)


def announced(length: int) -> bytes:
    """The head of a Store request."""
    head = f"POST /studies HTTP/1.1\r\nHost: localhost\r\nContent-Type: {MULTIPART}\r\nContent-Length: {length}\r\n\r\n"
    return head.encode()


async def test_many_at_once(served: Parts) -> None:
    async def send(worker: int) -> None:
        async with connected(served.urls[0]) as connection:
            for number in range(4):
                study = f"1.2.826.0.1.{worker + 10}"
                parts = [made(named(number * 5 + each, study), size=20_000) for each in range(5)]
                assert (await connection.ask("POST", "/studies", STOW, multipart(parts))).status == 200

    async with trio.open_nursery() as nursery:
        for worker in range(8):
            nursery.start_soon(send, worker)
    assert held(served) == 8 * 4 * 5


async def test_below_a_base_path(tmp_path: Path) -> None:
    config = '[origin]\nbind = ["http://127.0.0.1:0"]\nbase_path = "/dicom-web"\n'
    async with served_box(tmp_path, config) as parts:
        assert parts.urls[0].endswith("/dicom-web")
        async with connected(parts.urls[0]) as connection:
            stored = await connection.ask("POST", "/studies", STOW, multipart([made(ONE)]))
            url = json_report(stored.body).stored[ONE.instance]
            assert url == parts.urls[0] + ONE.path
            assert (await connection.ask("GET", ONE.path, {"Accept": "*/*"})).status == 200
        async with connected(parts.urls[0].removesuffix("/dicom-web")) as outside:
            assert (await outside.ask("GET", ONE.path, {"Accept": "*/*"})).status == 404
            assert (await outside.ask("GET", "/dicom-webx/healthz")).status == 404
            assert (await outside.ask("GET", "/dicom-web/healthz")).status == 200


async def test_a_host_without_its_port(served: Parts) -> None:
    async with connected(served.urls[0]) as connection:
        answer = await connection.ask("POST", "/studies", {**STOW, "Host": "localhost"}, multipart([made(ONE)]))
        port = served.urls[0].rpartition(":")[2]
        assert answer.headers["location"] == f"http://localhost:{port}/studies/{STUDY}"
