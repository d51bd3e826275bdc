"""Reaching the running daemon: where its control socket is, and one request over it.

The socket is the box's own HTTP server on a unix socket, so that a command asks what anybody with the role admin may
ask over the network (DESIGN §6). Whoever cannot reach it is told which socket was tried and how the daemon is started.
What the daemon understands and will not do is `Refused`: what to say of it is the command's part.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from urllib.parse import quote

import msgspec
import trio

from edged.cli.settings import fail
from edged.config import ConfigError, default_settings, find, load
from edged.upstream.dial import Timeouts
from edged.upstream.endpoint import Endpoint
from edged.upstream.http1 import Http1Connection
from edged.upstream.message import BytesBody, NoAnswer, Request, Response
from edged.upstream.transport import Transport

UNREACHABLE = 3
PATIENCE_S = 15.0

_DENIED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is asked of the daemon: a path below its Base URI, percent-encoded where it must be; names and values as
    they are, a list for several.

    `content` goes as JSON. `patience_s` is how long nothing may come.
    """

    path: str
    method: str = "GET"
    query: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    content: object = None
    patience_s: float = PATIENCE_S

    def request(self, base_path: str) -> Request:
        """Return it as a request."""
        given = {name: (value,) if isinstance(value, str) else value for name, value in self.query.items() if value}
        query = "&".join(
            f"{name}={','.join(quote(each, safe='') for each in values)}" for name, values in given.items()
        )
        headers: tuple[tuple[str, str], ...] = (("accept", "application/json"),)
        body = None
        if self.content is not None:
            headers += (("content-type", "application/json"),)
            body = BytesBody(msgspec.json.encode(self.content))
        target = f"{base_path}{self.path}?{query}" if query else f"{base_path}{self.path}"
        return Request(self.method, target, headers, body)


class Refused(Exception):
    """The daemon understood and will not: the status, and what its Status Report says (http.problem)."""

    def __init__(self, status: int, report: Mapping[str, object]) -> None:
        super().__init__(str(report.get("detail", f"the daemon answered {status}")))
        self.status = status
        self.report = report


async def get(control: Control, path: str) -> bytes:
    """Return the body of a GET; ends with 3, saying why and what to do, when there is none."""
    try:
        return await ask(control, Asked(path=path))
    except Refused as error:
        fail(UNREACHABLE, f"the daemon on {control.path} answered {error.status}: {error}")


async def ask(control: Control, asked: Asked) -> bytes:
    """Return the body of a good answer; raises Refused. Ends with 3, as `get` does, when nothing can be had at all."""
    response = await _exchanged(control, asked)
    if HTTPStatus.OK <= response.status < HTTPStatus.MULTIPLE_CHOICES:
        return response.body
    report = _report(response)
    understood = response.status != HTTPStatus.NOT_FOUND or "unknown" in report
    if response.status in _DENIED or response.status >= HTTPStatus.INTERNAL_SERVER_ERROR or not understood:
        fail(UNREACHABLE, *_unexpected(control, response))
    raise Refused(response.status, report)


async def _exchanged(control: Control, asked: Asked) -> Response:
    endpoint = Endpoint("http", "localhost", 80, control.base_path)
    try:
        stream = await trio.open_unix_socket(control.path)
    except (OSError, ValueError) as error:
        fail(UNREACHABLE, *unreachable(control, error))
    timeouts = Timeouts(answer_s=asked.patience_s, body_s=asked.patience_s)
    connection = Http1Connection(Transport(stream), endpoint, timeouts)
    try:
        return await connection.exchange(asked.request(control.base_path))
    except NoAnswer as error:
        fail(UNREACHABLE, f"no answer on {control.path}: {error.text}", "is that the control socket of a box?")
    finally:
        connection.close()


def _report(response: Response) -> Mapping[str, object]:
    try:
        return msgspec.json.decode(response.body, type=dict[str, object])
    except msgspec.DecodeError:
        return {}


def unreachable(control: Control, error: OSError | ValueError) -> list[str]:
    """Say why the control socket cannot be connected to, and what to do, in lines."""
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
    if response.status in _DENIED:
        return [line, "run this as the user of the daemon, or as root"]
    if response.status == HTTPStatus.NOT_FOUND:
        return [line, "give --config FILE as the daemon was started with, so that its base_path is known"]
    return [line, "its log says why"]
