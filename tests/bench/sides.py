"""The two sides: `edged run` and Debian's Orthanc, each as a process over a fresh folder that is gone afterwards.

Orthanc runs with Debian's defaults and its DICOMweb plug-in: every file is flushed before the answer
(`SyncStorageArea`); its SQLite index is in WAL mode, which Orthanc does not flush at each commit. edged keeps what it
gets (`evidence = "local"`) unless a section says otherwise, and flushes everything.
"""

import http.client
import json
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from subprocess import DEVNULL, Popen
from types import MappingProxyType
from typing import Any

from tests.support.orthanc import PLUGIN, PROGRAM

START_WITHIN_S = 60.0
ASK_AGAIN_S = 0.005
LOG_SHOWN = 3000
MIB = 1 << 20
LEAST_CAPACITY_MIB = 512


class Side(StrEnum):
    """Who is measured."""

    EDGED = "edged"
    ORTHANC = "orthanc"


class BenchError(Exception):
    """A server or a sender did not do its part."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answers; `started_s` is how long that took, from the start of its process."""

    side: Side
    pid: int
    port: int
    folder: Path
    started_s: float

    @property
    def path(self) -> str:
        """Where Store requests go."""
        return "/studies" if self.side is Side.EDGED else "/dicom-web/studies"

    def count(self) -> int:
        """How many instances it has, by its own account."""
        if self.side is Side.EDGED:
            return sum(self.state()["store"]["instances"].values())
        return int(json.loads(ask(self.port, "GET", "/statistics"))["CountInstances"])

    def state(self) -> Any:
        """What edged says of itself, over its control socket, whatever its listener speaks."""
        with socket.socket(socket.AF_UNIX) as stream:
            stream.settimeout(START_WITHIN_S)
            stream.connect(str(self.folder / "control.sock"))
            connection = http.client.HTTPConnection("localhost")
            connection.sock = stream
            connection.request("GET", "/admin/status")
            return json.loads(connection.getresponse().read())


@dataclass(frozen=True, slots=True)
class Edged:
    """How to run edged: room, a listener other than plain HTTP, and settings of further sections."""

    capacity_mib: int = LEAST_CAPACITY_MIB
    origin: str = ""
    scheme: str = "http"
    more: str = '[commitment]\nevidence = "local"\n'


PLAIN = Edged()
_NONE: Mapping[str, str] = MappingProxyType({})


def ask(port: int, method: str, path: str) -> bytes:
    """Ask a server on this machine; raises OSError, and BenchError when it does not answer 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_WITHIN_S)
    try:
        connection.request(method, path, headers={"Accept": "application/json"})
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        raise BenchError(f"{method} {path}: {answer.status}")
    return body


@contextmanager
def fresh_folder(work: Path | None) -> Iterator[Path]:
    """A temporary folder."""
    folder = Path(tempfile.mkdtemp(prefix="edged-bench-", dir=work))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def edged(folder: Path, how: Edged = PLAIN, environment: Mapping[str, str] = _NONE) -> Iterator[Server]:
    """Run edged over a folder, with more in its environment."""
    port = free_port()
    config = folder / "edged.toml"
    config.write_text(
        f'[box]\ndata_dir = "{folder}/data"\ncontrol = "{folder}/control.sock"\n'
        f'[origin]\nbind = ["{how.scheme}://127.0.0.1:{port}"]\n{how.origin}'
        f'[store]\ncapacity = "{how.capacity_mib}MiB"\n{how.more}'
    )
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("EDGED_")}
    command = [sys.executable, "-m", "edged", "run", "--config", str(config), "--log-level", "warning"]
    with _running(command, folder, {**inherited, **environment}) as process:
        server = Server(Side.EDGED, process.pid, port, folder, 0.0)
        yield _answering(process, server, server.state)


@contextmanager
def orthanc(folder: Path, environment: Mapping[str, str] = _NONE) -> Iterator[Server]:
    """Run Orthanc over a folder, with more in its environment."""
    program = shutil.which(PROGRAM) or shutil.which(PROGRAM, path="/usr/sbin")
    if program is None or not PLUGIN.exists():
        raise BenchError("install the Debian packages orthanc and orthanc-dicomweb")
    port = free_port()
    config = folder / "orthanc.json"
    settings = {
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "SyncStorageArea": True,
        "HttpPort": port,
        "DicomPort": free_port(),
        "KeepAlive": True,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "Plugins": [str(PLUGIN)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    config.write_text(json.dumps(settings))
    with _running([program, str(config)], folder, {**os.environ, **environment}) as process:
        server = Server(Side.ORTHANC, process.pid, port, folder, 0.0)
        yield _answering(process, server, lambda: ask(port, "GET", "/system"))


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _running(command: list[str], folder: Path, environment: Mapping[str, str]) -> Iterator[Popen[bytes]]:
    with (folder / "log").open("ab") as log:
        process = Popen(command, stdin=DEVNULL, stdout=log, stderr=log, env=environment)
    try:
        yield process
    except BenchError as error:
        said = (folder / "log").read_text()[-LOG_SHOWN:]
        raise BenchError(f"{error}\n{said}") from error
    finally:
        process.kill()
        process.wait()


def _answering(process: Popen[bytes], server: Server, asked: Callable[[], object]) -> Server:
    """Wait until a server that was just started answers."""
    began = time.monotonic()
    while True:
        try:
            asked()
        except (OSError, http.client.HTTPException) as error:
            if process.poll() is not None or time.monotonic() > began + START_WITHIN_S:
                raise BenchError(f"{server.side} did not start: {error!r}") from error
            time.sleep(ASK_AGAIN_S)
        else:
            return Server(server.side, server.pid, server.port, server.folder, time.monotonic() - began)
