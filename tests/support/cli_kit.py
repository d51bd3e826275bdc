"""What the tests of the commands share: the program as a process of its own or in this one, and a box that runs."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner, Result

from edged.cli import main

PROGRAM = (sys.executable, "-c", "from edged.cli import program; program()")
CONFIG = """
[box]
name = "{name}"
data_dir = "{folder}/data"
control = "{folder}/control.sock"
[origin]
bind = ["http://127.0.0.1:0"]
base_path = "/dicom-web"
[store]
capacity = "256MiB"
[commitment]
evidence = "{evidence}"
"""


@dataclass(frozen=True, slots=True)
class RunningBox:
    """An `edged run` that is ready."""

    process: subprocess.Popen[str]
    config: Path
    url: str
    lines: tuple[str, ...]

    @property
    def control(self) -> Path:
        return self.config.parent / "control.sock"

    def stop(self) -> int:
        """End it by SIGTERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.ended()

    def remove(self) -> None:
        """Remove its files."""
        shutil.rmtree(self.config.parent)

    def ended(self) -> int:
        """Wait for the end and let go of the pipes."""
        status = self.process.wait(30)
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()
        return status


def spawn(*arguments: str | Path, pass_fds: Sequence[int] = ()) -> subprocess.Popen[str]:
    """Start the program; it inherits `pass_fds`."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EDGED_")}
    return subprocess.Popen(
        [*PROGRAM, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        pass_fds=pass_fds,
    )


def lines_until(process: subprocess.Popen[str], last: str) -> list[str]:
    """Read the output up to the line that begins like `last`."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        if line.startswith(last):
            return lines
    raise AssertionError(f"it ended without saying {last!r}: {lines}")


def start_box(folder: Path, *, name: str = "archive", evidence: str = "local", more: str = "") -> RunningBox:
    """Run a box whose files are in `folder`; `more` is TOML after the sections that it has anyway."""
    config = folder / "edged.toml"
    config.write_text(CONFIG.format(name=name, folder=folder, evidence=evidence) + more)
    process = spawn("run", "--config", config)
    lines = lines_until(process, "ready")
    return RunningBox(process, config, lines[0].removeprefix("listening on "), tuple(lines))


def invoke(*arguments: str | Path) -> Result:
    """Run a command in this process; what it raises is raised."""
    return CliRunner().invoke(main, [str(each) for each in arguments], catch_exceptions=False)


def put(folder: Path, files: dict[str, bytes]) -> Sequence[Path]:
    """Write files into a folder."""
    folder.mkdir(exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return [folder / name for name in files]
