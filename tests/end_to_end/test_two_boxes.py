"""A box and a second edged as its archive, over each HTTP version, plain and TLS: what one sends the other takes."""

from functools import partial
from pathlib import Path

import pytest
import trio

from edged.app.box import Parts
from edged.store.queue import figures
from edged.store.records import DeliveryState
from tests.support.box_kit import served_box
from tests.support.certificates import make_certificates
from tests.support.http_client import connected
from tests.support.stow_kit import MULTIPART, made, multipart, named

LOCAL = '[commitment]\nevidence = "local"\n'


def committed(box: Parts) -> int:
    """How many instances the archive has proven to have."""
    number = box.routes.ids["archive"]
    return box.store.read_now(partial(figures, destination=number, state=DeliveryState.COMMITTED)).rows


async def store_and_wait(box: Parts, count: int) -> None:
    """Hand in instances larger than an HTTP/2 frame and wait until the archive has committed to all."""
    files = [made(named(number), size=100_000) for number in range(1, count + 1)]
    async with connected(box.urls[0]) as client:
        answer = await client.ask("POST", "/studies", {"Content-Type": MULTIPART}, multipart(files))
        assert answer.status == 200
    with trio.fail_after(30):
        while committed(box) < count:
            await box.bells.logged.wait(1.0)


@pytest.mark.parametrize("http", ["auto", "1.1", "2"])
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_everything_is_committed(tmp_path: Path, scheme: str, http: str) -> None:
    certificates = make_certificates(tmp_path)
    origin = f'[origin]\nbind = ["{scheme}://127.0.0.1:0"]\n'
    if scheme == "https":
        pair = certificates.server
        origin += f'certificate = "{pair.certificate}"\nprivate_key = "{pair.private_key}"\n'
    async with served_box(tmp_path / "archive", origin + LOCAL) as archive:
        url = archive.urls[0].replace("127.0.0.1", "localhost")
        config = f'[[destination]]\nname = "archive"\nurl = "{url}"\nhttp = "{http}"\n'
        trust = f'[destination.tls]\nca = "{certificates.authority}"\n' if scheme == "https" else ""
        async with served_box(tmp_path / "box", config + trust) as box:
            await store_and_wait(box, 20)
        assert archive.store.read_now(lambda txn: txn.counter(b"instances.held")) == 20
