"""Addresses and sockets: what is read, what is refused with which words, what is left behind."""

import os
import socket
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from edged.server import TLS, Kind, Listener, ListenerError, Server, inherited_url
from edged.server.listeners import close_socket, open_socket
from tests.support.certificates import Certificates
from tests.support.server_kit import sink


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("http://127.0.0.1:8080", Listener(Kind.HTTP, "127.0.0.1", 8080)),
        ("http://localhost:0/", Listener(Kind.HTTP, "localhost", 0)),
        ("https://[::1]:0", Listener(Kind.HTTPS, "::1", 0)),
        ("unix:/run/edged/http.sock", Listener(Kind.UNIX, path=Path("/run/edged/http.sock"))),
        ("unix:///run/http.sock", Listener(Kind.UNIX, path=Path("/run/http.sock"))),
        ("fd://3", Listener(Kind.FD, fd=3)),
    ],
)
def test_parse(value: str, expected: Listener) -> None:
    assert Listener.parse(value) == expected
    assert Listener.parse(str(expected)) == expected


@pytest.mark.parametrize(
    "value",
    [
        "", "8080", "127.0.0.1:8080", "ftp://a:1", "http://", "http://a", "http://:80", "http://a:x", "http://a:70000",
        "http://a:1/path", "http://u@a:1", "http://a:1?q", "unix:", "unix:relative", "fd:", "fd://x", "fd://-1", "http://[::1",
    ],
)  # fmt: skip
def test_parse_names_the_value_and_the_remedy(value: str) -> None:
    with pytest.raises(ListenerError, match=r"write |belongs in") as caught:
        Listener.parse(value)
    assert repr(value) in str(caught.value)


@given(st.one_of(st.text(), st.from_regex(r"(http|https|unix|fd):/{0,3}.*", fullmatch=True)))
def test_parse_gives_a_listener_or_its_error(value: str) -> None:
    try:
        found = Listener.parse(value)
    except ListenerError:
        return
    assert Listener.parse(str(found)) == found


def test_a_stale_socket_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    opened, bound = open_socket(Listener(Kind.UNIX, path=path, mode=0o660))
    assert path.stat().st_mode & 0o777 == 0o660
    with pytest.raises(OSError, match=f"cannot listen on unix:{path}: another process"):
        open_socket(Listener(Kind.UNIX, path=path))
    close_socket(opened, bound)
    assert not path.exists()


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_text("precious")
    with pytest.raises(OSError, match="not a socket"):
        open_socket(Listener(Kind.UNIX, path=path))
    assert path.read_text() == "precious"


def test_a_descriptor_must_be_a_listening_socket(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file, pytest.raises(OSError, match="cannot listen on fd://"):
        open_socket(Listener(Kind.FD, fd=file.fileno()))
    with socket.socket() as unbound, pytest.raises(OSError, match="not a listening"):
        open_socket(Listener(Kind.FD, fd=unbound.fileno()))
    with pytest.raises(OSError, match="cannot listen on fd://99999: Bad file descriptor"):
        open_socket(Listener(Kind.FD, fd=99_999))


@pytest.mark.parametrize(
    ("host", "family"), [("127.0.0.1", socket.AF_INET), ("0.0.0.0", socket.AF_INET), ("::", socket.AF_INET6)]
)
def test_where_a_descriptor_listens_can_be_told_before_it_is_taken(host: str, family: socket.AddressFamily) -> None:
    with socket.create_server((host, 0), family=family) as inherited:
        port = inherited.getsockname()[1]
        told = inherited_url(Listener(Kind.FD, fd=inherited.fileno()))
        assert told is not None
        assert Listener.parse(told) == Listener(Kind.HTTP, host, port)
        socket.create_connection((host, port)).close()  # it listens still


def test_a_descriptor_of_a_unix_socket_has_no_url(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as inherited:
        inherited.bind(str(tmp_path / "s"))
        with pytest.raises(OSError, match="not a listening"):
            inherited_url(Listener(Kind.FD, fd=inherited.fileno()))
        inherited.listen()
        assert inherited_url(Listener(Kind.FD, fd=inherited.fileno())) is None
    with pytest.raises(OSError, match="cannot listen on fd://99999: Bad file descriptor"):
        inherited_url(Listener(Kind.FD, fd=99_999))


async def test_a_listener_that_cannot_be_opened_is_named_and_the_others_are_closed(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        server = Server(sink, [Listener.parse(f"unix:{tmp_path / 's'}"), Listener.parse(address)])
        with pytest.raises(OSError, match=f"cannot listen on {address}: Address already in use"):
            await server.run(trio.Event())
    assert not (tmp_path / "s").exists()


def test_tls_files_are_checked_before_anything_is_opened(tmp_path: Path, certificates: Certificates) -> None:
    pair = certificates.server
    https = [Listener.parse("https://127.0.0.1:0")]
    with pytest.raises(ListenerError, match="needs a certificate"):
        Server(sink, https)
    with pytest.raises(ListenerError, match="cannot use certificate"):
        Server(sink, https, tls=TLS(pair.certificate, certificates.client.private_key))
    with pytest.raises(ListenerError, match="cannot use certificate"):
        Server(sink, https, tls=TLS(tmp_path / "none", pair.private_key))
    with pytest.raises(ListenerError, match="cannot use client_ca"):
        Server(sink, https, tls=TLS(pair.certificate, pair.private_key, Path(os.devnull)))
