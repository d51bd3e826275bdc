"""Runs the engine with coverage, and keeps what it has learned.

What may live here: installing atheris, the folders of corpus and findings, and reading what libFuzzer says. The corpus
is kept from run to run, outside of the checkout.
"""

import re
import subprocess
import sys
from dataclasses import dataclass
from hashlib import sha1
from importlib.util import find_spec
from pathlib import Path

from tests.fuzz.mutation import SPECIAL
from tests.fuzz.target import Target

PACKAGES = Path(__file__).with_name("requirements.lock")
ONE_INPUT_S = 20
MOST_MIB = 2048
"""Of the process: what an input makes a parser allocate beyond it is a finding."""

_WORD = re.compile(rb"[A-Za-z0-9_.-]{2,30}")
_EXECUTED = re.compile(r"stat::number_of_executed_units:\s+(\d+)")
_COVERED = re.compile(r"cov: (\d+)")
_PROGRESS = re.compile(r"(?:#\d+\t|INFO: ).*\n")
_WRITTEN = re.compile(r"Test unit written to (\S+)")


@dataclass(frozen=True, slots=True)
class Guided:
    """What a run came to; `found` is the file with the input that broke the invariant, `told` what was said of it."""

    inputs: int
    covered: int
    found: Path | None
    told: str
    ended: bool


def install() -> bool:
    """Tell whether atheris is there, after an attempt to install it."""
    if find_spec("atheris") is None:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*command, "--only-binary=:all:", "--require-hashes", "-r", str(PACKAGES)], check=False)
    return subprocess.run([sys.executable, "-c", "import atheris"], check=False, capture_output=True).returncode == 0


def keep(folder: Path, octets: bytes) -> Path:
    """Write an input into a folder under the name that libFuzzer would give it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / sha1(octets, usedforsecurity=False).hexdigest()
    path.write_bytes(octets)
    return path


def run(target: Target, corpus: Path, findings: Path, *, seconds: int) -> Guided:
    """Look for so long, from the corpus on, which grows by what reaches anything new."""
    findings.mkdir(parents=True, exist_ok=True)
    words = corpus.with_suffix(".words")
    words.write_text(_dictionary(target))
    arguments = [
        str(corpus),
        f"-dict={words}",
        f"-max_total_time={seconds}",
        f"-max_len={target.most_bytes}",
        f"-timeout={ONE_INPUT_S}",
        f"-rss_limit_mb={MOST_MIB}",
        f"-artifact_prefix={findings}/",
        "-print_final_stats=1",
    ]
    command = [sys.executable, "-m", "tests.fuzz.guided", target.name, *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, errors="replace")
    told = done.stdout + done.stderr
    written, executed = _WRITTEN.search(told), _EXECUTED.search(told)
    return Guided(
        inputs=int(executed[1]) if executed else 0,
        covered=max((int(number) for number in _COVERED.findall(told)), default=0),
        found=Path(written[1]) if written else None,
        told=_PROGRESS.sub("", told),
        ended=done.returncode == 0,
    )


def _dictionary(target: Target) -> str:
    """The words of the seeds and what is special to many parsers, as libFuzzer wants to have them."""
    words = {word for octets in target.seeds for word in _WORD.findall(octets)}
    return "".join(f'"{_escaped(word)}"\n' for word in sorted({*SPECIAL, *words}))


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{octet:02x}" for octet in word)
