"""User agents that are not ours, run against a box: curl, nghttp, h2load.

What may live here: starting the program, and what it saw as a value. They are Debian packages (tools/debian-packages);
a test that needs one fails when it is not there. The body goes through a file, because it is no text.
"""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import trio

WITHIN_S = "20"


@dataclass(frozen=True, slots=True)
class Seen:
    """An answer as curl saw it; several fields of one name are joined by commas."""

    status: int
    version: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> object:
        return json.loads(self.body)


class Curl:
    """curl with options that every request gets, such as the HTTP version."""

    def __init__(self, folder: Path, *options: str) -> None:
        self._body = folder / "curl-body"
        self._options = options

    async def __call__(self, url: str, *arguments: str) -> Seen:
        """Make a request and return the last answer; raises CalledProcessError when curl fails."""
        self._body.write_bytes(b"")
        told = ["-w", "%{http_code} %{http_version} %{header_json}", "-o", str(self._body)]
        printed = await run("curl", "-sS", "-m", WITHIN_S, *told, *self._options, *arguments, url)
        status, version, headers = printed.decode().split(" ", 2)
        fields = {name: ", ".join(values) for name, values in json.loads(headers).items()}
        body = b"" if "--head" in arguments else self._body.read_bytes()
        return Seen(int(status), version, fields, body)


async def run(*command: str) -> bytes:
    """What a program prints; raises CalledProcessError, with what it complained of, when it fails."""
    try:
        done = await trio.run_process(command, capture_stdout=True, capture_stderr=True)
    except subprocess.CalledProcessError as error:
        error.add_note(error.stderr.decode(errors="replace"))
        raise
    return done.stdout
