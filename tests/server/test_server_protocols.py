"""Every protocol and every kind of listener: the same application behind all of them."""

import base64
import json
import os
import socket
import ssl
import stat
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import pytest
import trio

from edged.server import TLS
from edged.server.http2_settings import FRAME_BYTES
from tests.support.certificates import Certificates
from tests.support.server_kit import H2Wire, answer, curl, exchange_raw, http2, read_all, serving, sink

SETTINGS = bytes(3) + b"\x04" + bytes(5)  # an empty frame


async def describe(scope: Any, receive: Any, send: Any) -> None:
    """Answers with what the scope says."""
    extensions = {name: value for name, value in scope["extensions"].items() if name == "edged.peer"}
    tls = scope["extensions"].get("edged.tls")
    told = {
        "version": scope["http_version"],
        "scheme": scope["scheme"],
        "path": scope["path"],
        "query": scope["query_string"].decode(),
        "host": dict(scope["headers"]).get(b"host", b"").decode(),
        "extensions": extensions,
        "tls": tls and [tls["version"], tls["client_certificate"] is not None],
    }
    await answer(send, 200, json.dumps(told).encode())


async def told(*arguments: str) -> Any:
    return json.loads(await curl(*arguments))


@pytest.mark.parametrize(
    ("option", "version"),
    [("--http1.0", "1.0"), ("--http1.1", "1.1"), ("--http2", "2"), ("--http2-prior-knowledge", "2")],
)
async def test_plain(option: str, version: str) -> None:
    async with serving(describe) as running:
        found = await told(option, f"{running.url}/a%20b?c=%5E")
        assert found["version"] == version
        assert (found["scheme"], found["path"], found["query"]) == ("http", "/a b", "c=%5E")
        assert found["host"] == f"127.0.0.1:{running.port}"


@pytest.mark.parametrize(("option", "version"), [("--http1.1", "1.1"), ("--http2", "2")])
async def test_tls(option: str, version: str, certificates: Certificates) -> None:
    tls = TLS(certificates.server.certificate, certificates.server.private_key)
    async with serving(describe, ["https://127.0.0.1:0"], tls=tls) as running:
        found = await told(option, "--cacert", str(certificates.authority), running.url)
        assert (found["version"], found["scheme"]) == (version, "https")
        assert found["tls"] == ["TLSv1.3", False]
        found = await told(option, "--tls-max", "1.2", "--cacert", str(certificates.authority), running.url)
        assert found["tls"] == ["TLSv1.2", False]


@pytest.mark.parametrize("option", ["--http1.1", "--http2"])
async def test_large_bodies_over_tls(option: str, certificates: Certificates, tmp_path: Path) -> None:
    file = tmp_path / "upload"
    file.write_bytes(os.urandom(5_000_000))

    async def mirror(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        more = True
        while more:
            message = await receive()
            more = message["more_body"]
            await send({"type": "http.response.body", "body": message["body"], "more_body": more})

    tls = TLS(certificates.server.certificate, certificates.server.private_key)
    async with serving(mirror, ["https://127.0.0.1:0"], tls=tls) as running:
        back = tmp_path / "back"
        await curl(option, "--cacert", str(certificates.authority), "-T", str(file), "-o", str(back), running.url)
        assert back.read_bytes() == file.read_bytes()


async def test_mutual_tls(certificates: Certificates) -> None:
    tls = TLS(certificates.server.certificate, certificates.server.private_key, certificates.authority)
    client = certificates.client
    pair = ["--cert", str(client.certificate), "--key", str(client.private_key)]
    async with serving(describe, ["https://127.0.0.1:0"], tls=tls) as running:
        trust = ["--cacert", str(certificates.authority), running.url]
        assert (await told(*pair, *trust))["tls"] == ["TLSv1.3", True]
        refused = await trio.run_process(["curl", "-s", "-m", "20", *trust], capture_stdout=True, check=False)
        assert (refused.returncode, refused.stdout) != (0, b"")
        assert running.server.counters.failed == 0


async def test_unix(tmp_path: Path) -> None:
    path = tmp_path / "http.sock"
    async with serving(describe, [f"unix:{path}"]) as running:
        assert running.urls == [f"unix:{path}"]
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        found = await told("--unix-socket", str(path), "http://box/")
        peer = found["extensions"]["edged.peer"]
        assert (peer["uid"], peer["gid"]) == (os.getuid(), os.getgid())
        assert peer["pid"] > 0
        assert peer["listener"] == str(path)
    assert not path.exists()


async def test_inherited_descriptor() -> None:
    inherited = socket.create_server(("127.0.0.1", 0))
    port = inherited.getsockname()[1]
    async with serving(describe, [f"fd://{inherited.detach()}"]):
        assert (await told(f"http://127.0.0.1:{port}/"))["version"] == "1.1"


async def test_several_listeners(tmp_path: Path) -> None:
    addresses = ["http://127.0.0.1:0", "http://[::1]:0", f"unix:{tmp_path / 's'}"]
    async with serving(describe, addresses) as running:
        assert (await told(running.urls[0]))["version"] == "1.1"
        assert (await told(running.urls[1]))["host"].startswith("[::1]:")


@pytest.mark.parametrize("more", [b"", b"Content-Length: 0\r\n"])
async def test_upgrade_to_http2_answers_the_request(more: bytes) -> None:
    settings = base64.urlsafe_b64encode(b"\x00\x03\x00\x00\x00\x64").rstrip(b"=")
    async with serving(describe) as running, await running.open() as stream:
        head = b"GET /up HTTP/1.1\r\nHost: box\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        await stream.send_all(head + more + b"HTTP2-Settings: " + settings + b"\r\n\r\n")
        octets = b""
        while b"\r\n\r\n" not in octets:
            octets += await stream.receive_some(1)
        assert octets.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
        wire = H2Wire(stream)
        wire.codec = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding=None))
        wire.codec.initiate_upgrade_connection()
        await wire.flush()
        status, body = await wire.finish(1)
        assert (status, json.loads(body)["path"]) == (200, "/up")
        status, body = await wire.finish(await wire.request(b"/next"))
        assert (status, json.loads(body)["path"]) == (200, "/next")


@pytest.mark.parametrize("settings", [b"!!!!", b"AAM"])
async def test_upgrade_with_wrong_settings_is_answered_in_http1(settings: bytes) -> None:
    async with serving(describe) as running:
        head = b"GET / HTTP/1.1\r\nHost: box\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\n"
        octets = await exchange_raw(running, head + b"HTTP2-Settings: " + settings + b"\r\n\r\n")
        assert octets.startswith(b"HTTP/1.1 200 OK\r\n")


async def test_upgrade_with_settings_out_of_range_ends_the_connection() -> None:
    settings = base64.urlsafe_b64encode(b"\x00\x05\x00\x00\x00\x01")  # MAX_FRAME_SIZE 1
    async with serving(describe) as running:
        head = b"GET / HTTP/1.1\r\nHost: box\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        await exchange_raw(running, head + b"HTTP2-Settings: " + settings + b"\r\n\r\n")
        assert (await told(running.url))["version"] == "1.1"
        assert running.server.counters.failed == 0


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


async def test_http2_begins_a_connection_or_not_at_all() -> None:
    async with serving(describe) as running:
        octets = await exchange_raw(running, b"GET / HTTP/1.1\r\nHost: box\r\n\r\n" + PREFACE)
        assert octets.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"HTTP/1.1 505 " in octets


@pytest.mark.parametrize(("protocols", "begins"), [(["http/1.1"], b"HTTP/1.1 505 "), ([], b"\0"), (["h2"], b"\0")])
async def test_what_alpn_has_settled_is_kept(protocols: list[str], begins: bytes, certificates: Certificates) -> None:
    tls = TLS(certificates.server.certificate, certificates.server.private_key)
    context = ssl.create_default_context(cafile=str(certificates.authority))
    if protocols:
        context.set_alpn_protocols(protocols)
    async with (
        serving(describe, ["https://127.0.0.1:0"], tls=tls) as running,
        trio.SSLStream(await running.open(), context, server_hostname="localhost", https_compatible=True) as stream,
    ):
        await stream.send_all(PREFACE + SETTINGS)
        assert (await stream.receive_some()).startswith(begins)


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with serving(describe) as running:
        request = b"GET /%d HTTP/1.1\r\nHost: box\r\n\r\n"
        last = b"GET /3 HTTP/1.1\r\nHost: box\r\nConnection: close\r\n\r\n"
        octets = await exchange_raw(running, request % 1 + b"\r\n" + request % 2 + last)
        assert [octets.find(b'"path": "/%d"' % number) > 0 for number in (1, 2, 3)] == [True] * 3
        assert octets.count(b"HTTP/1.1 200 OK\r\n") == 3
        assert octets.count(b"date: ") == 3


async def test_absolute_form() -> None:
    async with serving(describe) as running:
        head = b"GET http://other:81/p?q HTTP/1.1\r\nHost: box\r\nConnection: close\r\n\r\n"
        found = json.loads((await exchange_raw(running, head)).partition(b"\r\n\r\n")[2])
        assert (found["path"], found["query"], found["host"]) == ("/p", "q", "other:81")


@pytest.mark.parametrize(
    ("octets", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\nHost: box\n\n", b"400"),
        (b"GET / HTTP/9.9\r\nHost: box\r\n\r\n", b"505"),
        (b"\x16\x03\x01\x02\x00\x01", b"400"),
        (b"GET / HTTP/1.1\r\nHost: box\r\nA: " + b"a" * 40_000, b"431"),
        (b"CONNECT box:80 HTTP/1.1\r\nHost: box\r\n\r\n", b"501"),
    ],
)
async def test_refused_heads(octets: bytes, status: bytes) -> None:
    async with serving(describe) as running:
        seen = await exchange_raw(running, octets)
        assert seen.startswith(b"HTTP/1.1 " + status + b" ")
        assert b"\r\nconnection: close\r\n" in seen


@pytest.mark.parametrize("arguments", [["-m", "32"], ["--h1"]])
async def test_h2load_sees_no_failure(arguments: list[str]) -> None:
    async with serving(describe) as running:
        done = await trio.run_process(["h2load", "-n", "2400", "-c", "2", *arguments, running.url], capture_stdout=True)
        assert b"2400 succeeded, 0 failed, 0 errored" in done.stdout


async def test_nghttp() -> None:
    async with serving(describe) as running:
        done = await trio.run_process(["nghttp", "-m", "5", running.url], capture_stdout=True)
        assert done.stdout.count(b'"version": "2"') == 5


async def test_a_head_request_has_no_body() -> None:
    async with serving(describe) as running:
        octets = await exchange_raw(running, b"HEAD / HTTP/1.1\r\nHost: box\r\nConnection: close\r\n\r\n")
        head, _, body = octets.partition(b"\r\n\r\n")
        assert b"content-length: " in head
        assert body == b""


async def test_a_keep_alive_connection_serves_again_after_an_error_status() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, 404, b"none")

    async with serving(app) as running, await running.open() as stream:
        await stream.send_all(b"POST / HTTP/1.1\r\nHost: box\r\nContent-Length: 3\r\n\r\nabc")
        assert b"none" in await stream.receive_some()
        await stream.send_all(b"GET / HTTP/1.1\r\nHost: box\r\nConnection: close\r\n\r\n")
        assert b"none" in await read_all(stream)


async def test_a_frame_of_the_announced_size_is_taken() -> None:
    async with serving(sink) as running, http2(running) as wire:
        stream_id = await wire.request(method=b"POST", end=False)
        while wire.codec.remote_settings.max_frame_size < FRAME_BYTES:
            await wire.next_event()
        wire.codec.max_outbound_frame_size = FRAME_BYTES
        window = wire.codec.local_flow_control_window(stream_id)
        size = min(FRAME_BYTES, window)
        wire.codec.send_data(stream_id, bytes(size), end_stream=True)
        await wire.flush()
        assert size > 16_384
        assert await wire.finish(stream_id) == (200, b"%d" % size)
