"""A disk that fails on command: the shim, what tells it what to fail, its log of what was done; and what systemd hears.

Whatever is spawned while the fixture of `conftest.py` stands has the shim; `tell` decides from then on, at any moment.
"""

import hashlib
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import trio
import trio.socket

DATA = "store/data.mdb"
META_BYTES = 8192
NOTIFIED_WITHIN_S = 20.0
_SHIM = Path(__file__).with_name("shim.c")


@dataclass(frozen=True, slots=True)
class Call:
    """One call on a file below the root; `offset` is -1 where there is none."""

    failed: bool
    name: str
    offset: int
    size: int
    path: str

    @property
    def puts_meta_back(self) -> bool:
        """Whether it is LMDB's: after a meta write that failed it puts the old one back, without a flush."""
        return self.name == "pwrite" and self.offset >= 0 and self.offset + self.size <= META_BYTES


class FaultyDisk:
    """What is done to the files below `root`."""

    def __init__(self, root: Path, folder: Path) -> None:
        self._control = folder / "faults"
        self._log = folder / "calls"
        self.environment = {
            "LD_PRELOAD": str(build_shim()),
            "FAULTS_ROOT": str(root),
            "FAULTS_CONTROL": str(self._control),
            "FAULTS_LOG": str(self._log),
        }

    def tell(self, *faults: str) -> None:
        """From now on fail these calls, such as `pwrite EIO`; none, and the disk is good."""
        changed = self._control.with_suffix(".new")
        changed.write_text("\n".join(faults))
        changed.rename(self._control)

    def forget(self) -> None:
        """Begin a new log."""
        self._log.unlink(missing_ok=True)

    def calls(self, path: str = DATA) -> list[Call]:
        """Every write, flush, truncation and allocation of one file, in order."""
        lines = [line.split(" ", 4) for line in self._log.read_text().splitlines()]
        calls = [Call(done == "failed", name, int(at), int(size), file) for done, name, at, size, file in lines]
        return [call for call in calls if call.path == path]

    def after_failure(self) -> list[Call]:
        """What was done to the data file after the first call that failed."""
        calls = self.calls()
        first = next(index for index, call in enumerate(calls) if call.failed)
        return calls[first + 1 :]


class Notifications:
    """The socket on which a service tells systemd how it is."""

    def __init__(self, path: Path) -> None:
        self._socket = trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_DGRAM)
        self._path = path

    async def listen(self) -> None:
        """Begin; before it the service finds nobody."""
        await self._socket.bind(str(self._path))

    async def wait_for(self, wanted: str) -> str:
        """The next notification that holds a word."""
        with trio.fail_after(NOTIFIED_WITHIN_S):
            while wanted not in (message := (await self._socket.recv(8192)).decode()):
                pass
        return message

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()


def build_shim() -> Path:
    """Compile the shim with the system's compiler, once for each version of its source; return the library."""
    digest = hashlib.sha256(_SHIM.read_bytes()).hexdigest()[:16]
    library = Path(tempfile.gettempdir()) / f"edged-faults-{os.getuid()}-{digest}.so"
    if not library.exists():
        unfinished = library.with_suffix(f".{os.getpid()}")
        command = ["cc", "-Wall", "-Wextra", "-O2", "-shared", "-fPIC", "-o", str(unfinished), str(_SHIM), "-ldl"]
        subprocess.run(command, check=True)
        unfinished.rename(library)
    return library
