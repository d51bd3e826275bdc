"""Real daemons for the harness: `edged run` as a process, with or without the shim, and what it says of itself."""

import http.client
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

from tests.support.cli_kit import PROGRAM

LOG, ROOT, DATA = "log", "disk", "var/box"
CAPACITY_MIB, GROWN_MIB = 256, 288
READY_WITHIN_S = 60.0
WORK_WITHIN_S = 40.0
LOOK_EVERY_S = 0.1
_CHECKOUT = Path(__file__).parents[2]

_CONFIG = """
[box]
data_dir = "{data}"
control = "{folder}/{name}.sock"
clock = "trust"
[origin]
bind = ["http://127.0.0.1:0"]
[store]
capacity = "{capacity}MiB"
keep_committed = "{keep}"
[commitment]
evidence = "{evidence}"
memory = {memory}
"""
_DESTINATION = """
[[destination]]
name = "archive"
url = "{archive}"
"""


@dataclass(frozen=True, slots=True)
class Daemon:
    """How to run one: `folder` takes its settings and its socket."""

    folder: Path
    name: str
    data: Path
    archive: str | None = None
    keep: str = "7d"
    capacity: int = CAPACITY_MIB
    shim: Path | None = None
    program: tuple[str, ...] = PROGRAM
    memory: int = 10_000

    def spawn(self) -> Popen[str]:
        """Start it."""
        config = self.folder / f"{self.name}.toml"
        text = _CONFIG.format(
            data=self.data,
            folder=self.folder,
            name=self.name,
            capacity=self.capacity,
            keep=self.keep,
            evidence="upstream" if self.archive else "local",
            memory=self.memory,
        )
        config.write_text(text + (_DESTINATION.format(archive=self.archive) if self.archive else ""))
        environment = {key: value for key, value in os.environ.items() if not key.startswith("EDGED_")}
        if self.shim is not None:
            log = str(self.folder / LOG)
            environment |= {"LD_PRELOAD": str(self.shim), "POWERCUT_LOG": log, "POWERCUT_ROOT": str(self.folder / ROOT)}
        command = [*self.program, "run", "--config", str(config), "--log-level", "error"]
        with (self.folder / f"{self.name}.log").open("a") as errors:
            return Popen(command, stdout=PIPE, stderr=errors, text=True, env=environment, cwd=_CHECKOUT)

    @property
    def control(self) -> Path:
        """Its socket for commands."""
        return self.folder / f"{self.name}.sock"


@contextmanager
def running(daemon: Daemon) -> Iterator[str]:
    """Run a daemon; yields its URL, ends it by SIGTERM, or by SIGKILL when something went wrong."""
    process = daemon.spawn()
    try:
        yield wait_ready(process)
        process.terminate()
        if process.wait(READY_WITHIN_S) != 0:
            raise AssertionError(f"{daemon.name} ended with {process.returncode}")
    finally:
        end(process)


def end(process: Popen[str]) -> None:
    """Kill a daemon that still runs, and let go of its pipe."""
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def wait_ready(process: Popen[str]) -> str:
    """Wait until a daemon serves; return its URL."""
    assert process.stdout is not None
    url = ""
    for line in process.stdout:
        if line.startswith("listening on "):
            url = line.removeprefix("listening on ").strip()
        if line.startswith("ready"):
            return url
    raise AssertionError("the daemon ended before it was ready")


def state(daemon: Daemon) -> dict[str, Any]:
    """What a running daemon says of itself."""
    with socket.socket(socket.AF_UNIX) as stream:
        stream.settimeout(READY_WITHIN_S)
        stream.connect(str(daemon.control))
        connection = http.client.HTTPConnection("localhost")
        connection.sock = stream
        connection.request("GET", "/admin/status")
        answer: dict[str, Any] = json.loads(connection.getresponse().read())
        return answer


def wait_until(daemon: Daemon, done: Callable[[dict[str, Any]], bool], what: str) -> None:
    """Wait until a daemon's state is as it should be."""
    deadline = time.monotonic() + WORK_WITHIN_S
    while not done(now := state(daemon)):
        if time.monotonic() > deadline:
            raise AssertionError(f"{daemon.name}: {what} did not happen: {json.dumps(now)}")
        time.sleep(LOOK_EVERY_S)


def is_finished(now: dict[str, Any]) -> bool:
    """Whether nothing waits to be sent or proven any more."""
    return not any(each["queued"] or each["sent"] for each in now["destinations"])
