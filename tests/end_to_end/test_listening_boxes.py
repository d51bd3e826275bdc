"""Three boxes in a row, over real sockets: what the last one has, the first one knows by an event, and asks no more."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import trio

from edged.app.box import Parts
from edged.services import commitment
from edged.store.queue import figures
from edged.store.records import DeliveryState
from tests.support.box_kit import served_box
from tests.support.certificates import make_certificates
from tests.support.http_client import connected
from tests.support.stow_kit import MULTIPART, made, multipart, named

COUNT = 20


def committed(box: Parts) -> int:
    number = box.routes.ids["archive"]
    return box.store.read_now(partial(figures, destination=number, state=DeliveryState.COMMITTED)).rows


def config(url: str, more: str = "") -> str:
    return f'[[destination]]\nname = "archive"\nurl = "{url}"\n{more}'


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_commitment_comes_as_an_event(tmp_path: Path, scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The box in the middle says that an hour is early enough to ask again.

    What is asked first may be settled before the first box listens, and is then not told.
    """
    monkeypatch.setattr(commitment, "SOONEST_S", 3600)
    monkeypatch.setattr(commitment, "LATEST_S", 3600)
    certificates = make_certificates(tmp_path)
    origin, trust = f'[origin]\nbind = ["{scheme}://127.0.0.1:0"]\n', ""
    if scheme == "https":
        pair = certificates.server
        origin += f'certificate = "{pair.certificate}"\nprivate_key = "{pair.private_key}"\n'
        trust = f'[destination.tls]\nca = "{certificates.authority}"\n'
    async with (
        served_box(tmp_path / "last", '[commitment]\nevidence = "local"\n') as last,
        served_box(tmp_path / "middle", origin + config(last.urls[0])) as middle,
    ):
        url = middle.urls[0].replace("127.0.0.1", "localhost")
        async with served_box(tmp_path / "first", config(url, trust)) as first:
            await store(first, 0)
            await until(first, lambda: first.live.destinations["archive"].notifications == "listening")
            await store(first, *range(1, COUNT + 1))
            await until(first, lambda: committed(first) >= COUNT)
            assert middle.subscribers.connected == {"edged"}


async def until(box: Parts, holds: Callable[[], bool]) -> None:
    with trio.fail_after(30):
        while not holds():
            await box.bells.logged.wait(0.2)


async def store(box: Parts, *numbers: int) -> None:
    files = [made(named(number), size=20_000) for number in numbers]
    async with connected(box.urls[0]) as client:
        answer = await client.ask("POST", "/studies", {"Content-Type": MULTIPART}, multipart(files))
        assert answer.status == 200
