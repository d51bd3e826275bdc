"""Where the server listens: reading an address, opening its socket, naming the result.

What may live here: listening sockets, never an accepted connection. Strategy: an address is
parsed into a frozen `Listener` long before anything is opened, so that a wrong setting is reported without
side effects. Invariants: `open_socket` either returns a listening socket or raises OSError that names the
listener; a socket file is removed only when nobody listens behind it.
"""

import errno
import os
import socket
import stat
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

BACKLOG = 512
SOCKET_MODE = 0o600
FORMS = "http://host:port, https://host:port, unix:/path or fd://number"


class ListenerError(ValueError):
    """An address or a set of TLS files that cannot be served; the text says which and what to write instead."""


class Kind(StrEnum):
    """How a listener's connections arrive."""

    HTTP = "http"
    HTTPS = "https"
    UNIX = "unix"
    FD = "fd"


@dataclass(frozen=True, slots=True)
class Listener:
    """One address to listen on; `port` 0 means any free one, `mode` is the socket file's."""

    kind: Kind
    host: str = ""
    port: int = 0
    path: Path = Path()
    fd: int = -1
    mode: int = SOCKET_MODE

    @classmethod
    def parse(cls, value: str) -> Self:
        """Read "http://127.0.0.1:8080", "https://[::1]:0", "unix:/path" or "fd://3"; raises ListenerError."""
        scheme, colon, rest = value.partition(":")
        if colon and scheme in {Kind.HTTP, Kind.HTTPS}:
            return cls(Kind(scheme), *_host_and_port(value))
        if colon and scheme == Kind.UNIX:
            if not rest.startswith("/"):
                raise ListenerError(f"{value!r} needs an absolute path: write unix:/run/edged/http.sock")
            return cls(Kind.UNIX, path=Path("/" + rest.lstrip("/")))
        if colon and scheme == Kind.FD:
            number = rest.removeprefix("//")
            if not (number.isascii() and number.isdigit() and len(number) < 7):
                raise ListenerError(f"{value!r} needs the number of an inherited descriptor: write fd://3")
            return cls(Kind.FD, fd=int(number))
        raise ListenerError(f"{value!r} is not an address to listen on: write {FORMS}")

    def __str__(self) -> str:
        match self.kind:
            case Kind.UNIX:
                return f"unix:{self.path}"
            case Kind.FD:
                return f"fd://{self.fd}"
            case _:
                host = f"[{self.host}]" if ":" in self.host else self.host
                return f"{self.kind}://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Bound:
    """A listener that listens; `url` has the real port."""

    url: str
    listener: Listener


def open_socket(listener: Listener) -> tuple[socket.socket, Bound]:
    """Bind and listen, or take over the inherited socket; raises OSError with the listener's name."""
    try:
        match listener.kind:
            case Kind.UNIX:
                opened = _open_unix(listener)
            case Kind.FD:
                opened = _open_inherited(listener.fd)
            case _:
                opened = _open_tcp(listener)
    except OSError as error:
        raise _cannot_listen(listener, error) from error
    opened.setblocking(False)
    return opened, Bound(_url(listener, opened), listener)


def inherited_url(listener: Listener) -> str | None:
    """Return where an inherited descriptor listens, as "http://host:port"; None if that is a Unix socket.

    It is looked at and not taken. Raises OSError with the listener's name if it cannot be served.
    """
    try:
        with socket.socket(fileno=os.dup(listener.fd)) as opened:
            _require_listening(opened, listener.fd)
            if opened.family == socket.AF_UNIX:
                return None
            host, port, *_ = opened.getsockname()
    except OSError as error:
        raise _cannot_listen(listener, error) from error
    return str(Listener(Kind.HTTP, host.partition("%")[0], port))


def close_socket(opened: socket.socket, bound: Bound) -> None:
    """Stop listening; a socket file goes with its socket."""
    if bound.listener.kind is Kind.UNIX and bound.listener.path.is_socket():
        bound.listener.path.unlink(missing_ok=True)
    opened.close()


def _cannot_listen(listener: Listener, error: OSError) -> OSError:
    return OSError(error.errno or 0, f"cannot listen on {listener}: {error.strerror or error}")


def _host_and_port(value: str) -> tuple[str, int]:
    try:
        split = urlsplit(value)
        host, port = split.hostname, split.port
    except ValueError as error:
        raise ListenerError(f"{value!r} is not an address to listen on ({error}): write {FORMS}") from None
    if not host or port is None:
        raise ListenerError(f"{value!r} needs a host and a port: write http://127.0.0.1:8080, port 0 for any")
    if split.path not in {"", "/"} or split.query or split.fragment or split.username is not None:
        raise ListenerError(f"{value!r} has more than a host and a port; the path belongs in base_path")
    return host, port


def _url(listener: Listener, opened: socket.socket) -> str:
    if listener.kind in {Kind.UNIX, Kind.FD}:
        return str(listener)
    return str(Listener(listener.kind, listener.host, opened.getsockname()[1]))


def _open_tcp(listener: Listener) -> socket.socket:
    found = socket.getaddrinfo(listener.host, listener.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, address = found[0]
    opened = socket.socket(family, kind, protocol)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        opened.bind(address)
        opened.listen(BACKLOG)
    except OSError:
        opened.close()
        raise
    return opened


def _open_unix(listener: Listener) -> socket.socket:
    _remove_stale(listener.path)
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        opened.bind(str(listener.path))
        listener.path.chmod(listener.mode)  # before listen: nobody can connect until then
        opened.listen(BACKLOG)
    except OSError:
        opened.close()
        raise
    return opened


def _remove_stale(path: Path) -> None:
    """Remove a socket file that nobody listens behind; raises EADDRINUSE for anything else that is there."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise OSError(errno.EADDRINUSE, f"{path} exists and is not a socket: move it away")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except BlockingIOError:  # a full backlog: somebody listens
            pass
    raise OSError(errno.EADDRINUSE, "another process listens there")


def _open_inherited(number: int) -> socket.socket:
    os.set_inheritable(number, False)
    opened = socket.socket(fileno=number)
    try:
        _require_listening(opened, number)
    except OSError:
        opened.detach()
        raise
    return opened


def _require_listening(opened: socket.socket, number: int) -> None:
    listens = opened.type == socket.SOCK_STREAM and opened.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    if not listens or opened.family not in {socket.AF_INET, socket.AF_INET6, socket.AF_UNIX}:
        raise OSError(errno.EINVAL, f"descriptor {number} is not a listening stream socket")
