"""Credentials over real TLS connections to a whole box: tokens, passwords, client certificates; its own certificate."""

import base64
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trio

from edged.app.box import Parts
from edged.config.scrypt import PasswordHash
from tests.origin.test_origin_access import access
from tests.support.box_kit import served_box
from tests.support.certificates import Certificates, Pair, make_certificates
from tests.support.http_client import Answered, Connection

STATUS = "/admin/status"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@asynccontextmanager
async def box(folder: Path, certificates: Certificates, credentials: str) -> AsyncIterator[Parts]:
    """A box with an https listener that may be shown client certificates."""
    origin = (
        f'[origin]\nbind = ["https://127.0.0.1:0"]\ncertificate = "{certificates.server.certificate}"\n'
        f'private_key = "{certificates.server.private_key}"\nclient_ca = "{certificates.authority}"\n'
        'client_certificate = "optional"\n'
    )
    async with served_box(folder, origin + access("anonymous = []") + credentials) as parts:
        yield parts


async def ask(
    parts: Parts, certificates: Certificates, headers: Mapping[str, str] | None = None, client: Pair | None = None
) -> Answered:
    """Ask for what monitors may see, on a connection of its own."""
    context = ssl.create_default_context(cafile=str(certificates.authority))
    if client is not None:
        context.load_cert_chain(client.certificate, client.private_key)
    url = urlsplit(parts.urls[0])
    tcp = await trio.open_tcp_stream(url.hostname or "", url.port or 0)
    async with trio.SSLStream(tcp, context, server_hostname="localhost", https_compatible=True) as stream:
        return await Connection(stream, url.netloc).ask("GET", STATUS, headers)  # type: ignore[arg-type]


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


async def test_every_credential_over_tls(tmp_path: Path, certificates: Certificates) -> None:
    line = PasswordHash.of("open sesame", b"0123456789abcdef", parallel=1)
    credentials = (
        f'[[access.password]]\nname = "viewer"\nscrypt = "{line}"\nroles = ["monitor"]\n'
        '[[access.certificate]]\nname = "ct-9"\nsubject = "client"\nroles = ["monitor"]\n'
    )
    async with box(tmp_path, certificates, credentials) as parts:
        nobody = await ask(parts, certificates)
        assert nobody.status == 401
        assert nobody.headers["www-authenticate"].startswith('Basic realm="edged"')
        assert (await ask(parts, certificates, basic("viewer", "open sesame"))).status == 200
        assert (await ask(parts, certificates, basic("viewer", "close sesame"))).status == 401
        assert (await ask(parts, certificates, {"Authorization": "Bearer monitor"})).status == 200
        answer = await ask(parts, certificates, client=certificates.client)
        assert answer.status == 200
        state = json.loads(answer.body)
        assert 0 < state["certificate_days"] <= 1
        assert ("certificate-expiring", "critical") in [
            (each["name"], each["severity"]) for each in state["conditions"]
        ]


async def test_a_certificate_without_a_row_has_no_role(tmp_path: Path, certificates: Certificates) -> None:
    async with box(tmp_path, certificates, "") as parts:
        answer = await ask(parts, certificates, client=certificates.client)
        assert (answer.status, answer.headers["www-authenticate"]) == (401, 'Bearer realm="edged"')
        token = {"Authorization": "Bearer monitor"}
        assert (await ask(parts, certificates, token, client=certificates.client)).status == 200
