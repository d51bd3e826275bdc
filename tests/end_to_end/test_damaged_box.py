"""A whole box at which damaged requests are thrown: behind HTTP stand its access checks, payloads, and a store.

What leads somewhere has credentials, so that multipart, JSON and DICOM are reached, and what has none must get nowhere.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.commitment_kit import sop_form
from tests.support.daemon import Daemon, anonymous_mib, daemon
from tests.support.damaged import CONNECTIONS, throw_at
from tests.support.http2_raw import END_HEADERS, GET, WHOLE, data, headers, settings, window_update
from tests.support.http_client import connected
from tests.support.mutated import mutated_frames, mutated_octets
from tests.support.server_kit import TO_WEBSOCKET
from tests.support.stow_kit import MULTIPART, json_report, made, multipart, named

TOKEN = "of the test"
CONFIG = f"""
[access]
anonymous = []
[[access.token]]
name = "sender"
sha256 = "{sha256(TOKEN.encode()).hexdigest()}"
roles = ["store", "read"]
"""
AUTHORIZATION = f"Bearer {TOKEN}"
FIRST, THROWN = named(1, "1.2.826.0.1.7"), named(1, "1.2.826.0.1.8")
DICOM_JSON = "application/dicom+json"
STOW = (
    (b"authorization", AUTHORIZATION.encode()),
    (b"content-type", MULTIPART.encode()),
    (b"accept", DICOM_JSON.encode()),
)
BODY = multipart([made(THROWN, size=600), made(named(2, THROWN.study), size=600)])
COMMITMENT = f"/commitment-requests/{THROWN.study}.9"


def request(method: str, path: str, body: bytes = b"", **fields: str) -> bytes:
    """As it goes over HTTP/1.1, with credentials."""
    given = {"Host": "localhost", "Authorization": AUTHORIZATION, "Content-Length": str(len(body)), **fields}
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in given.items() if value)
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + body


def chunks(body: bytes) -> bytes:
    """A body in two of them."""
    half = len(body) // 2
    return b"%x\r\n%s\r\n%x;a=b\r\n%s\r\n0\r\n\r\n" % (half, body[:half], len(body) - half, body[half:])


REQUESTS = [
    *[request("POST", "/studies", BODY, Content_Type=MULTIPART, Accept=DICOM_JSON)] * 3,
    request("POST", f"/studies/{THROWN.study}", chunks(BODY), Content_Type=MULTIPART, Content_Length="")
    .replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n", 1),
    *[request("POST", COMMITMENT, sop_form([FIRST, THROWN]), Content_Type=DICOM_JSON)] * 2,
    request("GET", COMMITMENT, Accept=DICOM_JSON),
    request("GET", FIRST.path, Accept='multipart/related; type="application/dicom"; transfer-syntax=*'),
    request("GET", FIRST.path, Accept="application/dicom", Range="bytes=0-9,100-", If_Range='"a"'),
    request("GET", f"{FIRST.path}?accept=application/dicom&a=%31", Accept="image/jpeg, */*;q=0.1"),
    request("GET", "/admin/status", Accept="application/json", Accept_Encoding="gzip;q=0.5"),
    request("OPTIONS", "/", Accept="application/json", Origin="https://viewer.example"),
    request("GET", "/studies", Authorization="Basic c2VuZGVyOng="),
    request("POST", "/studies", BODY, Content_Type=MULTIPART, Authorization=""),
    TO_WEBSOCKET.replace(b"GET / ", b"GET /subscribers/a ") + b"\x81\x82\x00\x00\x00\x00hi",
]  # fmt: skip
POST = [(b":method", b"POST"), *GET[1:3], (b":path", b"/studies"), *STOW]
FRAMES = [
    settings((4, 1 << 20)),
    headers(1, POST, END_HEADERS),
    headers(3, POST, END_HEADERS),
    *(data(stream_id, BODY[:700], 0) for stream_id in (1, 3)),
    *(data(stream_id, BODY[700:]) for stream_id in (1, 3)),
    headers(5, [*GET[:3], (b":path", FIRST.path.encode()), STOW[0], (b"accept", b"application/dicom")], WHOLE),
    headers(7, [(b":method", b"OPTIONS"), *GET[1:], STOW[0]], WHOLE),
    headers(9, [*GET[:3], (b":path", b"/studies")], WHOLE),
    window_update(5, 1 << 20),
]


def damage(random_: random.Random, *, whole: Sequence[bytes], frames: Sequence[bytes]) -> bytes:
    """What a connection sends."""
    return mutated_octets(random_, whole) if random_.random() < 0.7 else mutated_frames(random_, frames)


@dataclass
class HonestBox:
    """A box that is asked to keep an instance and to show it."""

    box: Daemon
    numbers: Iterator[int] = field(default_factory=partial(count, 1))

    @property
    def port(self) -> int:
        return urlsplit(self.box.url).port or 0

    @property
    def resident_mib(self) -> float:
        return anonymous_mib(self.box.pid)

    async def ask_honestly(self) -> None:
        name = named(next(self.numbers), FIRST.study)
        instance = made(name, size=20_000)
        fields = {"Authorization": AUTHORIZATION, "Content-Type": MULTIPART, "Accept": DICOM_JSON}
        async with connected(self.box.url) as connection:
            answered = await connection.ask("POST", "/studies", fields, multipart([instance]))
            assert answered.status == 200, answered
            assert set(json_report(answered.body).stored) == {name.instance}
            wanted = {"Accept": "application/dicom"}
            shown = await connection.ask("GET", name.path, wanted | {"Authorization": AUTHORIZATION})
            assert (shown.status, shown.body) == (200, instance)
            stranger = await connection.ask("GET", name.path, wanted)
            assert stranger.status == 401, stranger


@pytest.mark.timeout(120)
async def test_damaged_requests_hurt_nobody(tmp_path: Path) -> None:
    async with daemon(tmp_path / "box", CONFIG) as box:
        thrown = partial(damage, whole=REQUESTS, frames=FRAMES)
        await throw_at(HonestBox(box), thrown, b"HTTP/1.1 ", count=CONNECTIONS // 3)
        assert await box.stop() == 0
        assert [line for line in box.logged.splitlines() if " INFO " not in line] == []
        assert " were refused: " in box.logged  # instances, so it has come that far
        assert " is not known" in box.logged  # credentials
        await box.check_store()
