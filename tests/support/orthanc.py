"""Debian's Orthanc with its DICOMweb plug-in, as the archive at the other end: real, with a storage folder of its own.

`orthanc` starts one on free loopback ports, waits until it answers and ends it for sure, by its pid. It can be killed
and started again over the same storage. What it has is asked by its own REST API, not by DICOMweb, so that nothing of
edged's reading of DICOMweb is trusted in the comparison.
"""

import json
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from tests.support.http_client import connected

PROGRAM = "Orthanc"
PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
START_WITHIN_S = 30.0


class Orthanc:
    """One Orthanc: its folder, its ports, its process while it runs."""

    def __init__(self, folder: Path) -> None:
        self.http_port, self.dicom_port = _free_port(), _free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir()
        (folder / "orthanc.json").write_text(json.dumps(self._settings()))

    @property
    def url(self) -> str:
        """Its DICOMweb Base URI."""
        return f"http://127.0.0.1:{self.http_port}/dicom-web"

    def _settings(self) -> dict[str, Any]:
        storage = str(self._folder / "storage")
        return {
            "Name": "archive",
            "StorageDirectory": storage,
            "IndexDirectory": storage,
            "HttpPort": self.http_port,
            "DicomPort": self.dicom_port,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomCheckCalledAet": False,
            "OverwriteInstances": False,
            "Plugins": [str(PLUGIN)],
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "EnableWado": False},
        }

    async def start(self) -> None:
        """Start it and wait until it answers."""
        self._process = self._spawn()
        with trio.fail_after(START_WITHIN_S):
            while not await self._answers():
                if self._process.poll() is not None:
                    raise RuntimeError(f"Orthanc ended: {(self._folder / 'log').read_text()[-2000:]}")
                await trio.sleep(0.05)

    def _spawn(self) -> subprocess.Popen[bytes]:
        program = shutil.which(PROGRAM) or shutil.which(PROGRAM, path="/usr/sbin")
        if program is None or not PLUGIN.exists():
            raise RuntimeError("install the Debian packages orthanc and orthanc-dicomweb")
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen([program, str(self._folder / "orthanc.json")], stdout=log, stderr=log)

    async def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            self._process.kill()
            await trio.to_thread.run_sync(self._process.wait)
            self._process = None

    async def remove(self) -> None:
        """End it and remove its storage."""
        await self.kill()
        shutil.rmtree(self._folder)

    async def get(self, path: str) -> bytes:
        """Ask its REST API."""
        return await self.tell("GET", path)

    async def tell(self, method: str, path: str, content: bytes = b"") -> bytes:
        """Have its REST API do something."""
        async with connected(f"http://127.0.0.1:{self.http_port}") as connection:
            answered = await connection.ask(method, path, {}, content)
        assert answered.status == 200, (path, answered.status, answered.body)
        return answered.body

    async def send_all(self, url: str) -> None:
        """Send all that it has to another archive, by its own DICOMweb client; `url` is a Base URI."""
        await self.tell("PUT", "/dicom-web/servers/other", json.dumps({"Url": url}).encode())
        studies = json.loads(await self.get("/studies"))
        await self.tell("POST", "/dicom-web/servers/other/stow", json.dumps({"Resources": studies}).encode())

    async def count(self) -> int:
        """How many instances it has, by its own account."""
        return int(json.loads(await self.get("/statistics"))["CountInstances"])

    async def files(self) -> dict[str, bytes]:
        """Every file that it has, by SOP Instance UID."""
        found = {}
        for identifier in json.loads(await self.get("/instances")):
            tags = json.loads(await self.get(f"/instances/{identifier}/simplified-tags"))
            uid = tags["SOPInstanceUID"]
            assert uid not in found, f"{uid} is there twice"
            found[uid] = await self.get(f"/instances/{identifier}/file")
        return found

    async def _answers(self) -> bool:
        try:
            await self.get("/system")
        except OSError:
            return False
        return True


@asynccontextmanager
async def orthanc(folder: Path) -> AsyncIterator[Orthanc]:
    """An Orthanc that answers; at the end it is gone, with its storage."""
    archive = Orthanc(folder / "orthanc")
    try:
        await archive.start()
        yield archive
    finally:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + START_WITHIN_S):
            await archive.remove()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
