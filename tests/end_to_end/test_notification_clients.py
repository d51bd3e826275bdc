"""A box followed by clients that are not ours: trio-websocket, websockets, npm's ws, Chromium (CP-1871, RFC 6455).

All of them follow the same daemon at the same time, each as a requester of its own, and are put through the same.
"""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.browser import browser, page_server
from tests.support.daemon import Daemon, daemon
from tests.support.followers import Follower, followers
from tests.support.http_client import connected
from tests.support.stow_kit import MULTIPART, Named, made, multipart, named

SERIES = [named(number, study="1.2.1") for number in range(30)]
SECOND, THIRD, FOURTH = (named(number, study=f"1.2.{number}") for number in (102, 103, 104))


@dataclass(frozen=True, slots=True)
class Scene:
    """A box, and whoever follows it."""

    box: Daemon
    all: dict[str, Follower]

    def url(self, name: str) -> str:
        """Where a client follows under its own name."""
        requester = "".join(each for each in name if each.isalnum())
        return f"ws{self.box.url.removeprefix('http')}/subscribers/{requester}?kinds=received"

    async def open(self) -> dict[str, str]:
        return {name: await each.open(self.url(name)) for name, each in self.all.items()}

    async def told(self) -> dict[str, list[str] | int]:
        """Which instances the next report of each client tells of, or the code that its connection is closed with."""
        said = {name: await each.next() for name, each in self.all.items()}
        return {name: instances(each) if isinstance(each, str) else each for name, each in said.items()}

    async def say(self, text: str) -> None:
        for each in self.all.values():
            await each.say(text)

    def everyone(self, *expected: Named) -> dict[str, list[str]]:
        return dict.fromkeys(self.all, sorted(each.instance for each in expected))


def instances(report: str) -> list[str]:
    content = json.loads(report)
    series = content["00081115"]["Value"]
    return sorted(each["00081155"]["Value"][0] for one in series for each in one["00081199"]["Value"])


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with page_server() as page:
        config = f'[origin]\nbind = ["http://127.0.0.1:0"]\ncors = ["{page.url}"]\n'
        async with (
            daemon(tmp_path / "box", config) as box,
            browser() as window,
            followers(window, page.url) as found,
        ):
            yield Scene(box, found)


async def store(box: Daemon, *instances: Named) -> None:
    async with connected(box.url) as connection:
        body = multipart([made(each, size=600) for each in instances])
        assert (await connection.ask("POST", "/studies", {"Content-Type": MULTIPART}, body)).status == 200


@pytest.mark.timeout(120)
async def test_follow_acknowledge_be_cut_resume_and_close(scene: Scene) -> None:
    compressing = {name: "permessage-deflate" in extensions for name, extensions in (await scene.open()).items()}
    assert compressing == {name: name != "trio-websocket" for name in scene.all}

    await store(scene.box, *SERIES)
    assert await scene.told() == scene.everyone(*SERIES)
    await scene.say("1")
    await store(scene.box, SECOND)
    assert await scene.told() == scene.everyone(SECOND)
    for each in scene.all.values():
        await each.cut()
    await store(scene.box, THIRD)

    await scene.open()
    assert await scene.told() == scene.everyone(SECOND)
    await scene.say("success application/dicom+json\r\n")
    assert await scene.told() == scene.everyone(THIRD)
    await scene.say("0 application/json\r\n{}")
    assert {name: await each.close(1000) for name, each in scene.all.items()} == dict.fromkeys(scene.all, 1000)

    await scene.open()
    await store(scene.box, FOURTH)
    assert await scene.told() == scene.everyone(FOURTH)
    assert await scene.box.stop() == 0
    assert await scene.told() == dict.fromkeys(scene.all, 1001)
