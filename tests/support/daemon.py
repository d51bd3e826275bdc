"""`edged run` as a process of its own: started, asked how it is, killed at any moment, started again over its folder.

The process is ended for sure at the end of `daemon`, and its folder removed. Nothing is shared with it but its
configuration file, what it prints and its sockets. `peak_anonymous` samples its memory while a block runs.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from tests.support.http_client import connected

PROGRAM = (sys.executable, "-m", "edged")
READY_WITHIN_S = 30.0
SAMPLE_S = 0.02
ASK_AGAIN_S = 0.1


class Daemon:
    """One box: its folder for all its lives, its process and URLs for the present one; `url` is the first."""

    def __init__(self, folder: Path, config: str, *, capacity: str, clock: str) -> None:
        self.url = ""
        self.urls: list[str] = []
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir()
        self.config = folder / "edged.toml"
        places = f'[box]\ndata_dir = "{folder}/data"\ncontrol = "{folder}/control.sock"\nclock = "{clock}"\n'
        origin = "" if "[origin]" in config else '[origin]\nbind = ["http://127.0.0.1:0"]\n'
        self.config.write_text(f'{places}{origin}[store]\ncapacity = "{capacity}"\n{config}')

    @property
    def data_dir(self) -> Path:
        """Where its store is."""
        return self._folder / "data"

    @property
    def logged(self) -> str:
        """What it has logged in all its lives."""
        return (self._folder / "log").read_text()

    @property
    def pid(self) -> int:
        """The process that runs now."""
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Start it and wait until it is ready."""
        self._process = await trio.to_thread.run_sync(self._spawn)
        said, self.urls = "", []
        with trio.fail_after(READY_WITHIN_S):
            while said != "ready":
                said = (await trio.to_thread.run_sync(self._line)).strip()
                if said.startswith("listening on "):
                    self.urls.append(said.removeprefix("listening on "))
        self.url = self.urls[0]

    async def kill(self) -> None:
        """SIGKILL."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> int:
        """SIGTERM; the exit status, and where it is not 0 what was logged is printed."""
        status = await self._end(signal.SIGTERM)
        if status:
            print(self.logged[-2000:])
        return status

    async def state(self) -> Any:
        """What it tells of itself."""
        async with connected(self.url) as connection:
            answered = await connection.ask("OPTIONS", "/", {"Accept": "application/json"})
        assert answered.status == 200
        return json.loads(answered.body)["edged"]

    async def wait_until(self, holds: Callable[[Any], bool], within_s: float = 60.0) -> Any:
        """Ask it again and again until something holds; what it told then."""
        with trio.fail_after(within_s):
            while not holds(state := await self.state()):  # noqa: ASYNC110 - it is another process
                await trio.sleep(ASK_AGAIN_S)
        return state

    async def check_store(self) -> str:
        """What `edged check-store` prints; raises CalledProcessError when it finds something."""
        command = [*PROGRAM, "check-store", "--config", str(self.config)]
        done = await trio.run_process(command, capture_stdout=True)
        return done.stdout.decode()

    async def remove(self) -> None:
        """End it and remove its folder."""
        if self._process is not None:
            await self.kill()
        await trio.to_thread.run_sync(shutil.rmtree, self._folder)

    def _spawn(self) -> subprocess.Popen[bytes]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("EDGED_")}
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen(
                [*PROGRAM, "run", "--config", str(self.config)], env=environment, stdout=subprocess.PIPE, stderr=log
            )

    def _line(self) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline().decode()
        if not line:
            raise RuntimeError(f"the daemon ended: {(self._folder / 'log').read_text()[-2000:]}")
        return line

    async def _end(self, number: signal.Signals) -> int:
        assert self._process is not None
        process, self._process = self._process, None
        process.send_signal(number)
        status = await trio.to_thread.run_sync(process.wait)
        assert process.stdout is not None
        process.stdout.close()
        return status


@asynccontextmanager
async def daemon(
    folder: Path, config: str = "", *, capacity: str = "256MiB", clock: str = "auto"
) -> AsyncIterator[Daemon]:
    """A box that is ready; at the end its process and its folder are gone."""
    box = Daemon(folder, config, capacity=capacity, clock=clock)
    try:
        await box.start()
        yield box
    finally:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + READY_WITHIN_S):
            await box.remove()


@dataclass(slots=True)
class Peak:
    """The most anonymous memory that was seen, in MiB."""

    mib: float = 0.0


@asynccontextmanager
async def peak_anonymous(pid: int) -> AsyncIterator[Peak]:
    """Sample a process' RssAnon while the block runs."""
    peak = Peak()

    async def sample() -> None:
        while True:
            peak.mib = max(peak.mib, anonymous_mib(pid))
            await trio.sleep(SAMPLE_S)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(sample)
        yield peak
        peak.mib = max(peak.mib, anonymous_mib(pid))
        nursery.cancel_scope.cancel()


def anonymous_mib(pid: int) -> float:
    """A process' RssAnon."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0]) / 1024
