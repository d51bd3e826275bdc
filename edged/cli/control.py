"""Reaching the running daemon: where its control socket is, and one request over it.

The socket is the box's own HTTP server on a unix socket, so that a command asks what anybody with the role admin may
ask over the network (DESIGN §6). Whoever cannot reach it is told which socket was tried and how the daemon is started.
"""

from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import trio

from edged.cli.settings import fail
from edged.config import ConfigError, default_settings, find, load
from edged.upstream.dial import Timeouts
from edged.upstream.endpoint import Endpoint
from edged.upstream.http1 import Http1Connection
from edged.upstream.message import NoAnswer, Request, Response
from edged.upstream.transport import Transport

UNREACHABLE = 3


@dataclass(frozen=True, slots=True)
class Control:
    """Where the daemon listens for commands, and the path of its Base URI."""

    path: Path
    base_path: str
    config: Path | None = None


def find_control(socket: Path | None, config: Path | None) -> Control:
    """Find the socket: the named one, else that of the settings; ends with 2 if they cannot be read.

    With a named socket and no named file nothing else is looked at: it may belong to another box.
    """
    if socket is not None and config is None:
        return Control(socket, "")
    found = find(config)
    try:
        settings = default_settings() if found is None else load(found)
    except ConfigError as error:
        fail(2, *(f"{found}: {problem}" for problem in error.problems))
    return Control(socket or settings.box.control, settings.origin.base_path.rstrip("/"), found)


async def get(control: Control, path: str) -> bytes:
    """Return the body of a GET; ends with 3, saying why and what to do, when there is none."""
    endpoint = Endpoint("http", "localhost", 80, control.base_path)
    request = Request("GET", f"{control.base_path}{path}", (("accept", "application/json"),))
    try:
        stream = await trio.open_unix_socket(control.path)
    except (OSError, ValueError) as error:
        fail(UNREACHABLE, *_unreachable(control, error))
    connection = Http1Connection(Transport(stream), endpoint, Timeouts(answer_s=15, body_s=15))
    try:
        response = await connection.exchange(request)
    except NoAnswer as error:
        fail(UNREACHABLE, f"no answer on {control.path}: {error.text}", "is that the control socket of a box?")
    finally:
        connection.close()
    if response.status != HTTPStatus.OK:
        fail(UNREACHABLE, *_unexpected(control, response))
    return response.body


def _unreachable(control: Control, error: OSError | ValueError) -> list[str]:
    why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    lines = [f"cannot reach the daemon on {control.path.absolute()}: {why}"]
    if isinstance(error, PermissionError):
        return [*lines, "run this as the user of the daemon, or as root"]
    named = f"--config {control.config}" if control.config else "--config FILE"
    lines.append(f"start it with `edged run {named}` or `systemctl start edged`")
    if control.config is None:
        lines.append("or say where it is: --socket PATH, or --config FILE as the daemon was started with")
    return lines


def _unexpected(control: Control, response: Response) -> list[str]:
    line = f"the daemon on {control.path} answered {response.status}"
    if response.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return [line, "run this as the user of the daemon, or as root"]
    if response.status == HTTPStatus.NOT_FOUND:
        return [line, "give --config FILE as the daemon was started with, so that its base_path is known"]
    return [line, "its log says why"]
