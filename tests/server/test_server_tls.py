"""TLS of the listeners: the policy, client certificates, and renewed files that are taken up without a restart."""

import shutil
import ssl
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio
from cryptography.hazmat.primitives import serialization

from edged.server import TLS, ListenerError
from edged.server.tls import EXPIRING, RELOAD_FAILED, CertificateKeeper
from edged.telemetry.clock import ManualClock
from edged.telemetry.conditions import Conditions, Severity
from edged.telemetry.live import Live
from tests.conftest import ExpectedLogs
from tests.support.certificates import Certificates, Pair, make_certificates
from tests.support.server_kit import answer, serving

HTTPS = ["https://127.0.0.1:0"]
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Files:
    """The files of a listener, and what they can be replaced by."""

    tls: TLS
    old: Certificates
    new: Certificates

    def replace(self, pair: Pair) -> None:
        """Put another certificate and key in place, as a renewal does."""
        for source, target in ((pair.certificate, self.tls.certificate), (pair.private_key, self.tls.private_key)):
            beside = target.with_suffix(".new")
            shutil.copy(source, beside)
            beside.replace(target)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    made = []
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        made.append(make_certificates(tmp_path / name))
    found = Files(TLS(tmp_path / "box.pem", tmp_path / "box.key"), *made)
    found.replace(found.old.server)
    return found


async def describe(scope: dict[str, object], receive: object, send: object) -> None:
    """Answer with what is known of the client's certificate."""
    extensions: dict[str, dict[str, object]] = scope["extensions"]  # type: ignore[assignment]
    tls = extensions["edged.tls"]
    await answer(send, 200, repr((tls["version"], bool(tls["client_certificate"]), tls["client_names"])).encode())


async def opened(port: int, authority: Path, client: Pair | None = None) -> trio.SSLStream[trio.SocketStream]:
    """A TLS connection whose server's certificate is verified."""
    context = ssl.create_default_context(cafile=str(authority))
    if client is not None:
        context.load_cert_chain(client.certificate, client.private_key)
    stream = trio.SSLStream(await trio.open_tcp_stream("127.0.0.1", port), context, server_hostname="localhost")
    await stream.do_handshake()
    return stream


async def asked(stream: trio.SSLStream[trio.SocketStream]) -> str:
    """One request on a connection."""
    await stream.send_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    return (await stream.receive_some(4096)).decode().partition("\r\n\r\n")[2]


async def test_a_client_certificate_may_be_optional(files: Files) -> None:
    tls = TLS(files.tls.certificate, files.tls.private_key, files.old.authority, client_required=False)
    names = "('client', 'localhost')"
    async with serving(describe, HTTPS, tls=tls) as running:
        for client, told in ((None, "('TLSv1.3', False, ())"), (files.old.client, f"('TLSv1.3', True, {names})")):
            async with await opened(running.port, files.old.authority, client) as stream:
                assert await asked(stream) == told
        async with await trio.open_tcp_stream("127.0.0.1", running.port) as plain:  # one that nobody here has signed
            context = ssl.create_default_context(cafile=str(files.old.authority))
            context.load_cert_chain(files.new.client.certificate, files.new.client.private_key)
            stream = trio.SSLStream(plain, context, server_hostname="localhost")
            assert await _said_before_the_end(stream) == ""


async def _said_before_the_end(stream: trio.SSLStream[trio.SocketStream]) -> str:
    """What a connection says that is cut off; the versions of Python differ in how they tell that it was."""
    with suppress(trio.BrokenResourceError):
        return await asked(stream)
    return ""


@pytest.mark.parametrize(
    ("ciphers", "accepted"),
    [
        ("ECDHE-ECDSA-AES128-GCM-SHA256", True),
        ("ECDHE-ECDSA-CHACHA20-POLY1305", True),
        ("ECDHE-ECDSA-AES256-SHA384", False),
        ("ECDHE-ECDSA-AES128-SHA", False),
    ],
)
def test_the_ciphers_of_tls_1_2(files: Files, ciphers: str, *, accepted: bool) -> None:
    client = ssl.create_default_context(cafile=str(files.old.authority))
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers(ciphers)
    assert handshaken(files.tls.load().context, client) == accepted


def test_nothing_older_than_tls_1_2(files: Files) -> None:
    context = files.tls.load().context
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert context.options & ssl.OP_NO_COMPRESSION


def handshaken(server: ssl.SSLContext, client: ssl.SSLContext) -> bool:
    """Whether two contexts come to terms, in memory."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname="localhost"),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    done = [False, False]
    for _ in range(4):
        for number, end in enumerate(ends):
            try:
                end.do_handshake()
                done[number] = True
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError:
                return False
    return all(done)


def test_a_key_with_a_password_is_refused_without_asking_for_it(files: Files) -> None:
    key = serialization.load_pem_private_key(files.tls.private_key.read_bytes(), None)
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    files.tls.private_key.write_bytes(key.private_bytes(pem, form, serialization.BestAvailableEncryption(b"sesame")))
    with pytest.raises(ListenerError, match="without a password"):
        files.tls.load()


async def test_new_connections_get_the_renewed_certificate_and_running_ones_go_on(files: Files) -> None:
    async with serving(describe, HTTPS, tls=files.tls) as running:
        keeper = running.server.certificates
        assert keeper is not None
        async with await opened(running.port, files.old.authority) as before:
            await asked(before)
            await keeper.look(settle_s=0)
            same = keeper.context
            files.replace(files.new.server)
            await keeper.look(settle_s=0)
            assert keeper.context is not same
            async with await opened(running.port, files.new.authority) as after:
                assert await asked(after)
            assert await asked(before)


async def test_authorities_are_renewed_too(files: Files, tmp_path: Path) -> None:
    authority = tmp_path / "clients.pem"
    shutil.copy(files.old.authority, authority)
    keeper = CertificateKeeper(TLS(files.tls.certificate, files.tls.private_key, authority))
    clients = []
    for made in (files.old, files.new):
        context = ssl.create_default_context(cafile=str(files.old.authority))
        context.load_cert_chain(made.client.certificate, made.client.private_key)
        clients.append(context)
    assert [handshaken(keeper.context, client) for client in clients] == [True, False]
    shutil.copy(files.new.authority, authority)
    await keeper.look(settle_s=0)
    assert [handshaken(keeper.context, client) for client in clients] == [False, True]


async def test_what_did_not_change_is_loaded_on_wish_only(files: Files) -> None:
    keeper = CertificateKeeper(files.tls)
    context = keeper.context
    await keeper.look(settle_s=0)
    assert keeper.context is context
    await keeper.look(asked=True)
    assert keeper.context is not context


class Watched:
    """A keeper that runs, step by step, and what it tells."""

    def __init__(self, files: Files) -> None:
        self.keeper = CertificateKeeper(files.tls)
        assert self.keeper.not_after is not None
        self.clock = ManualClock(self.keeper.not_after - 100 * DAY_S)
        self.conditions = Conditions(self.clock)
        self.live = Live()
        self._wishes, self._asked = trio.open_memory_channel[None](0)
        self._looked = trio.Event()

    async def asked(self, _: float) -> bool:
        """The operator's wish comes when the test says so."""
        self._looked.set()
        await self._asked.receive()
        return True

    async def look(self) -> None:
        """Have it look once, and tell."""
        await self._looked.wait()
        self._looked = trio.Event()
        await self._wishes.send(None)
        await self._looked.wait()

    async def run(self) -> None:
        await self.keeper.keep(self.conditions, self.live, self.clock, asked=self.asked)

    def standing(self) -> dict[str, Severity]:
        return {each.name: each.severity for each in self.conditions.snapshot()}


async def test_the_end_of_the_certificate_is_told_in_time(files: Files, nursery: trio.Nursery) -> None:
    watched = Watched(files)
    nursery.start_soon(watched.run)
    ends = watched.keeper.not_after
    assert ends is not None
    for days, severity in ((31, None), (29, Severity.WARNING), (6, Severity.CRITICAL), (-1, Severity.CRITICAL)):
        watched.clock.set_wall(ends - days * DAY_S)
        await watched.look()
        assert watched.standing() == ({EXPIRING: severity} if severity else {})
    assert "has ended" in watched.conditions.snapshot()[0].hint
    assert watched.live.listeners.certificate_not_after == ends
    watched.clock.set_wall(ends - 60 * DAY_S)
    await watched.look()
    assert watched.standing() == {}


async def test_files_that_cannot_be_used_leave_the_old_ones(
    files: Files, nursery: trio.Nursery, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("the certificate was not loaded again: cannot use certificate")
    watched = Watched(files)
    nursery.start_soon(watched.run)
    await watched.look()
    context = watched.keeper.context
    for break_ in (
        lambda: shutil.copy(files.new.server.certificate, files.tls.certificate),  # the key does not belong to it
        lambda: files.tls.certificate.write_text("nothing"),
        files.tls.certificate.unlink,
    ):
        break_()
        await watched.look()
        assert watched.standing() == {RELOAD_FAILED: Severity.WARNING}
        assert watched.keeper.context is context
    files.replace(files.new.server)
    await watched.look()
    assert watched.standing() == {}
    assert watched.keeper.context is not context


async def test_a_failed_file_is_tried_again_without_another_change(files: Files, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("the certificate was not loaded again")
    keeper = CertificateKeeper(files.tls)
    context = keeper.context
    files.tls.private_key.chmod(0o600)
    shutil.copy(files.new.server.certificate, files.tls.certificate)
    await keeper.look(settle_s=0)
    assert keeper.context is context
    shutil.copy(files.new.server.private_key, files.tls.private_key)
    await keeper.look(settle_s=0)
    assert keeper.context is not context
