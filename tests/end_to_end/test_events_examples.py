"""The examples of docs/events.md, as they stand there: a program and a page that follow a box."""

import re
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.support.box_kit import served_box
from tests.support.browser import browser
from tests.support.http_client import connected
from tests.support.server_kit import Message, serving
from tests.support.stow_kit import MULTIPART, STUDY, made, multipart, named

PAGE = Path(__file__).parents[2] / "docs" / "events.md"
LINES = 10
FIRST_LINE = """
    const lines = document.getElementById("events").children;
    while (lines.length === 0) await new Promise((turn) => setTimeout(turn, 20));
    return lines[0].textContent;
"""


def example(language: str) -> str:
    """The example in a language; there is one."""
    section = PAGE.read_text().split("\n## Following a box\n")[1].split("\n## ")[0]
    [found] = re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)
    assert isinstance(found, str)
    return found


async def store(url: str, number: int) -> None:
    async with connected(url) as connection:
        body = multipart([made(named(number), size=600)])
        assert (await connection.ask("POST", "/studies", {"Content-Type": MULTIPART}, body)).status == 200


async def first_line(stream: trio.abc.ReceiveStream) -> str:
    line = b""
    with trio.fail_after(20):
        while not line.endswith(b"\n"):
            line += await stream.receive_some()
    return line.decode()


@pytest.mark.parametrize("language", ["python", "html"])
def test_it_has_ten_lines(language: str) -> None:
    assert len([line for line in example(language).splitlines() if line.strip()]) <= LINES


async def test_a_program(tmp_path: Path) -> None:
    program = tmp_path / "follow.py"
    program.write_text(example("python"))
    async with served_box(tmp_path) as box:
        url = box.urls[0].replace("http:", "ws:")
        await store(box.urls[0], 1)
        for query in ("?after=0&kinds=received", "?kinds=received"):
            command = [sys.executable, str(program), f"{url}/subscribers/night-watch{query}"]
            async with trio.open_nursery() as nursery:
                process = await nursery.start(partial(trio.run_process, command, stdout=subprocess.PIPE, check=False))
                async with process.stdout:
                    assert await first_line(process.stdout) == f"received {STUDY}\n"
                await store(box.urls[0], 2)
                nursery.cancel_scope.cancel()


async def test_a_page(tmp_path: Path) -> None:
    page = example("html").encode()

    async def serve(_: Message, __: Any, send: Any) -> None:
        headers = [(b"content-type", b"text/html"), (b"content-length", b"%d" % len(page))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": page})

    async with serving(serve) as pages, browser() as window:
        config = f'[origin]\nbind = ["http://127.0.0.1:0"]\ncors = ["{pages.url}"]\n'
        async with served_box(tmp_path, config) as box:
            await store(box.urls[0], 1)
            await window.open(f"{pages.url}/page.html?{box.urls[0].replace('http:', 'ws:')}/?after=0&kinds=received")
            assert await window.run(FIRST_LINE) == f"received {STUDY}"
