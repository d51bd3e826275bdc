"""The Base URI in answers: as whoever asks can reach it, whatever stands between (RFC 9110 7.2, RFC 7239)."""

from pathlib import Path

import pytest

from edged.app.box import Parts
from edged.config import parse
from edged.origin.base_url import Base, base_url
from tests.support.asgi_kit import Answer, Asked, call
from tests.support.box_kit import Box, opened_box, served_box
from tests.support.http_client import connected, connected_locally
from tests.support.server_kit import read_all
from tests.support.stow_kit import MULTIPART, STUDY, json_report, made, multipart, named

ONE = named(1)
PROXY = ("192.0.2.5", 40000)
BEHIND = """
[origin]
bind = ["http://127.0.0.1:0"]
base_path = "/box/dicom-web"
trusted_proxies = ["192.0.2.0/24", "unix"]
[access]
anonymous = ["store", "read", "monitor"]
"""


async def store(box: Box, path: str = "/studies", client: tuple[str, int] | None = PROXY, **headers: str) -> Answer:
    """Store an instance by way of somebody."""
    given = {"Content-Type": MULTIPART, **{name.replace("_", "-"): value for name, value in headers.items()}}
    asked = Asked("POST", path, given, multipart([made(ONE)]), client=client)
    return await call(box.application, asked)


def base_of(answer: Answer) -> str:
    """The Base URI that an answer's URLs begin with, which all agree."""
    url = answer.headers["content-location"].removesuffix(f"/studies/{STUDY}")
    assert answer.headers["location"].startswith(url)
    assert json_report(answer.body).stored[ONE.instance] == url + ONE.path
    return url


SERVER = ("192.0.2.1", 8080)


@pytest.mark.parametrize(
    ("scheme", "host", "server", "url"),
    [
        ("http", "box", SERVER, "http://box:8080"),
        ("http", "box:8080", SERVER, "http://box:8080"),
        ("http", "box:80", SERVER, "http://box:80"),
        ("https", "box", SERVER, "https://box:8080"),
        ("https", "box", ("192.0.2.1", 443), "https://box"),
        ("http", "box", ("192.0.2.1", 80), "http://box"),
        ("http", "[2001:db8::1]", SERVER, "http://[2001:db8::1]:8080"),
        ("http", "[2001:db8::1]:90", SERVER, "http://[2001:db8::1]:90"),
        ("http", "", SERVER, "http://192.0.2.1:8080"),
        ("http", "", ("2001:db8::1", 8080), "http://[2001:db8::1]:8080"),
        ("http", "box", None, "http://box"),
        ("http", "", None, "http://localhost"),
        ("http", "box:", SERVER, "http://box:8080"),
        ("https", "box:", ("192.0.2.1", 443), "https://box"),
        ("http", "[::1]:", SERVER, "http://[::1]:8080"),
        ("http", "box:", None, "http://box"),
    ],
)
def test_by_the_host_of_the_request(scheme: str, host: str, server: tuple[str, int] | None, url: str) -> None:
    assert base_url(scheme, host, server) == url


FORWARDED = [
    ({}, "http://localhost:8080"),
    ({"x_forwarded_for": "203.0.113.9"}, "http://localhost:8080"),
    ({"x_forwarded_proto": "https", "host": "pacs.example"}, "https://pacs.example"),
    ({"x_forwarded_proto": "https", "x_forwarded_host": "pacs.example"}, "https://pacs.example"),
    ({"x_forwarded_proto": "https", "x_forwarded_host": "pacs.example:8443"}, "https://pacs.example:8443"),
    ({"x_forwarded_port": "8443", "x_forwarded_proto": "https", "host": "pacs.example"}, "https://pacs.example:8443"),
    ({"forwarded": 'for=203.0.113.9;host="pacs.example:444";proto=https'}, "https://pacs.example:444"),
    ({"x_forwarded_host": "pacs.example", "x_forwarded_prefix": "/edge/one"}, "http://pacs.example/edge/one"),
    ({"forwarded": "host=a.example", "x_forwarded_host": "b.example"}, "http://localhost:8080"),
    ({"x_forwarded_host": "bad host/"}, "http://localhost:8080"),
    ({"x_forwarded_proto": "https", "host": "pacs.example:"}, "https://pacs.example"),
    ({"x_forwarded_port": "8443", "x_forwarded_proto": "https", "host": "pacs.example:"}, "https://pacs.example:8443"),
    ({"x_forwarded_proto": "https", "x_forwarded_host": "pacs.example:"}, "https://pacs.example"),
    ({"x_forwarded_host": "[2001:db8::1]:"}, "http://[2001:db8::1]"),
]


@pytest.mark.parametrize(("headers", "url"), FORWARDED)
@pytest.mark.parametrize("client", [PROXY, None])
async def test_what_trusted_proxies_tell(
    tmp_path: Path, headers: dict[str, str], url: str, client: tuple[str, int] | None
) -> None:
    async with opened_box(tmp_path, BEHIND) as box:
        answer = await store(box, "/box/dicom-web/studies", client, **headers)
        assert base_of(answer) == url + "/box/dicom-web"


async def test_what_strangers_tell_is_not_believed(tmp_path: Path) -> None:
    async with opened_box(tmp_path, BEHIND) as box:
        told = {"x_forwarded_host": "evil.example", "x_forwarded_proto": "https", "x_forwarded_prefix": "/x"}
        answer = await store(box, "/box/dicom-web/studies", ("198.51.100.1", 4), **told)
        assert base_of(answer) == "http://localhost:8080/box/dicom-web"


async def test_the_settings_decide_alone(tmp_path: Path) -> None:
    config = BEHIND.replace("[access]", 'base_url = "https://pacs.example/dicom/"\n[access]')
    async with opened_box(tmp_path, config) as box:
        answer = await store(box, "/box/dicom-web/studies", x_forwarded_host="other.example")
        assert base_of(answer) == "https://pacs.example/dicom"


@pytest.mark.parametrize("base_path", ["/", "/a", "/a/", "/a/b/c/d/e/f/g"])
def test_below_a_base_path(base_path: str) -> None:
    base = Base(parse(f'[origin]\nbase_path = "{base_path}"', {}).origin)
    stem = base_path.rstrip("/")
    assert base.below(stem + "/studies") == "/studies"
    assert base.below(stem + "/") == "/"
    assert base.below(stem) == "/"
    if stem:
        assert base.below("/studies") == base.below(stem + "b/studies") == base.below("/") == ""


@pytest.mark.parametrize(
    ("path", "below"),
    [
        ("/%61/b/studies/%2E%61", "/studies/%2E%61"),
        ("/a/%62", "/"),
        ("/%61%2fb/studies", ""),
        ("/%41/b/studies", ""),
        ("/%%36%31/b/studies", ""),
        ("/%2561/b/studies", ""),
        ("/%6/b/studies", ""),
        ("/a/./b/studies", ""),
        ("//a/b/studies", ""),
        ("%2Fa/b/studies", ""),
        ("*", "*"),
    ],
)
def test_what_needs_no_encoding_may_be_encoded(path: str, below: str) -> None:
    """RFC 3986 6.2.2.2."""
    assert Base(parse('[origin]\nbase_path = "/a/b"', {}).origin).below(path) == below


@pytest.mark.parametrize("code", range(0x21, 0x7F))
def test_characters_of_a_base_path_by_their_escapes(code: int) -> None:
    unreserved = chr(code).isalnum() or chr(code) in "-._~"
    for escape in (f"%{code:02x}", f"%{code:02X}"):
        base = Base(parse(f'[origin]\nbase_path = "/x{chr(code) if unreserved else ""}"', {}).origin)
        assert base.below(f"/x{escape}/studies") == ("/studies" if unreserved else "")


@pytest.mark.parametrize("trusted", ['["unix"]', '["192.0.2.5"]'])
async def test_the_control_socket_is_no_proxys(tmp_path: Path, trusted: str) -> None:
    """Whoever connects to a Unix socket may be a proxy, but not where the commands reach the box."""
    config = f'[origin]\nbind = ["unix:{tmp_path}/http.sock"]\ntrusted_proxies = {trusted}\n'
    async with served_box(tmp_path, config) as parts:
        async with connected_locally(str(parts.settings.box.control)) as control:
            assert (await control.ask("GET", "/admin/status")).status == 200
        async with connected_locally(str(tmp_path / "http.sock")) as proxied:
            assert (await proxied.ask("GET", "/admin/status")).status == (401 if "unix" in trusted else 200)


async def test_an_absolute_target(served: Parts) -> None:
    port = int(served.urls[0].rpartition(":")[2])
    async with connected(served.urls[0]) as connection:
        body = multipart([made(ONE)])
        head = f"POST http://127.0.0.1:{port}/studies HTTP/1.1\r\nHost: other.example\r\nConnection: close\r\n"
        await connection.stream.send_all(
            f"{head}Content-Type: {MULTIPART}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        )
        got = await read_all(connection.stream)
        assert got.startswith(b"HTTP/1.1 200 ")
        assert f"http://127.0.0.1:{port}/studies/{STUDY}".encode() in got
        assert b"other.example" not in got


async def test_options_of_an_absolute_target_without_a_path(served: Parts) -> None:
    """RFC 9112 3.2.4: it is of the server as a whole."""
    for path, expected in (("", b"allow: GET, HEAD, OPTIONS, POST"), ("/", b"allow: GET, HEAD, OPTIONS\r\n")):
        async with connected(served.urls[0]) as connection:
            head = f"OPTIONS http://localhost{path} HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n"
            await connection.stream.send_all(f"{head}Connection: close\r\n\r\n".encode())
            assert expected in await read_all(connection.stream)


async def test_a_deep_base_path_over_a_socket(tmp_path: Path) -> None:
    config = '[origin]\nbind = ["http://127.0.0.1:0"]\nbase_path = "/a/b/c/"\n'
    async with served_box(tmp_path, config) as parts, connected(parts.urls[0]) as connection:
        assert parts.urls[0].endswith("/a/b/c")
        answer = await connection.ask("POST", "/studies", {"Content-Type": MULTIPART}, multipart([made(ONE)]))
        url = json_report(answer.body).stored[ONE.instance]
        assert url == parts.urls[0] + ONE.path
        assert (await connection.ask("HEAD", ONE.path, {"Accept": "*/*"})).status == 200
