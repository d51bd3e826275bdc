"""SIGHUP: the daemon takes up a renewed certificate and goes on; without one it just goes on."""

import shutil
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.certificates import make_certificates
from tests.support.cli_kit import lines_until, spawn

CONFIG = """
[box]
data_dir = "{folder}/data"
[store]
capacity = "256MiB"
[commitment]
evidence = "local"
"""


@contextmanager
def daemon(folder: Path, config: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """A daemon that is ready, and its URL; it must end in order, and its store goes with it."""
    path = folder / "edged.toml"
    path.write_text(CONFIG.format(folder=folder) + config)
    with spawn("run", "--config", path) as process:
        try:
            first, *_ = lines_until(process, "ready")
            yield process, first.removeprefix("listening on ")
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        finally:
            process.kill()
    shutil.rmtree(folder / "data")


def hang_up(process: "subprocess.Popen[str]", until: str) -> None:
    """Send SIGHUP and wait for what the log says of it."""
    process.send_signal(signal.SIGHUP)
    assert process.stderr is not None
    assert any(until in line for line in process.stderr)


def served(url: str) -> bytes:
    """The certificate that a new connection gets."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    where = urlsplit(url)
    with socket.create_connection((where.hostname, where.port)) as tcp, context.wrap_socket(tcp) as stream:
        return stream.getpeercert(binary_form=True) or b""


def test_a_renewed_certificate_is_taken_up(tmp_path: Path) -> None:
    pairs = []
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        pairs.append(make_certificates(tmp_path / name).server)
    certificate, key = tmp_path / "box.pem", tmp_path / "box.key"
    shutil.copy(pairs[0].certificate, certificate)
    shutil.copy(pairs[0].private_key, key)
    origin = f'[origin]\nbind = ["https://127.0.0.1:0"]\ncertificate = "{certificate}"\nprivate_key = "{key}"\n'
    with daemon(tmp_path, origin) as (process, url):
        assert served(url) == ssl.PEM_cert_to_DER_cert(pairs[0].certificate.read_text())
        shutil.copy(pairs[1].certificate, certificate)
        shutil.copy(pairs[1].private_key, key)
        hang_up(process, "the certificate was loaded again")
        assert served(url) == ssl.PEM_cert_to_DER_cert(pairs[1].certificate.read_text())


def test_without_a_certificate_the_daemon_goes_on(tmp_path: Path) -> None:
    with daemon(tmp_path, '[origin]\nbind = ["http://127.0.0.1:0"]\n') as (process, _):
        hang_up(process, "SIGHUP")
