"""The daemon towards systemd: READY, STATUS, WATCHDOG while it answers, STOPPING; and what it prints for scripts."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from edged.app.box import serve
from edged.app.daemon import healthy
from edged.config import parse

CONFIG = """
[box]
data_dir = "{folder}/data"
[origin]
bind = ["http://127.0.0.1:0"]
[store]
capacity = "256MiB"
[commitment]
evidence = "local"
"""


@pytest.fixture
def notifications(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as opened:
        opened.bind(str(tmp_path / "notify"))
        opened.settimeout(20)
        yield opened


@pytest.fixture
def daemon(tmp_path: Path, notifications: socket.socket) -> Iterator[subprocess.Popen[str]]:
    config = tmp_path / "edged.toml"
    config.write_text(CONFIG.format(folder=tmp_path))
    environment = os.environ | {"NOTIFY_SOCKET": str(notifications.getsockname()), "WATCHDOG_USEC": "600000"}
    command = [sys.executable, "-m", "edged", "run", "--config", str(config)]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def told(notifications: socket.socket, wanted: str) -> str:
    """Wait for the notification that holds a word."""
    while True:
        message = notifications.recv(4096).decode()
        if wanted in message:
            return message


def test_systemd_is_told_the_whole_life(daemon: subprocess.Popen[str], notifications: socket.socket) -> None:
    assert "STATUS=empty" in told(notifications, "READY=1")
    for _ in range(3):
        told(notifications, "WATCHDOG=1")
    assert daemon.stdout is not None
    assert daemon.stdout.readline().startswith("listening on http://127.0.0.1:")
    assert daemon.stdout.readline() == "ready\n"
    daemon.send_signal(signal.SIGTERM)
    told(notifications, "STOPPING=1")
    assert daemon.wait(20) == 0


async def test_health_is_an_answer_through_the_own_socket(tmp_path: Path) -> None:
    settings = parse(CONFIG.format(folder=tmp_path))
    shutdown = trio.Event()
    async with trio.open_nursery() as nursery:
        parts = await nursery.start(serve, settings, shutdown)
        assert await healthy(parts)
        (tmp_path / "data" / "control.sock").unlink()
        assert not await healthy(parts)
        shutdown.set()
