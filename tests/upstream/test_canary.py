"""No secret of any kind is ever shown, though the peer that gets it repeats all that it is sent, wherever it can."""

import json
import re
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import quote, unquote_plus

import pytest
import trio
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from edged.store.history import history_of
from tests.support.forwarding_kit import Forwarding, destination, forwarding
from tests.support.stow_kit import named

CANARY = "CANARY-{}-0123456789abcdef"
TOKEN = CANARY.format("token")
ROUNDS = 6


@dataclass
class Parrot:
    """A proxy, a token endpoint and an archive in one: it repeats what any of them was sent, wherever it can."""

    status: int
    gives_token: bool = True
    sent: list[bytes] = field(default_factory=list)

    async def serve(self, stream: trio.SocketStream) -> None:
        while request := await _whole(stream):
            self.sent.append(request)
            if request.startswith(b"CONNECT"):
                await stream.send_all(b"HTTP/1.1 200 X\r\n\r\n")
            else:
                await stream.send_all(self._answer(request))

    def _answer(self, request: bytes) -> bytes:
        all_heads = [each.partition(b"\r\n\r\n")[0].decode() for each in self.sent[-5:]]
        bare = [_bare(value) for head in all_heads for value in re.findall(r"(?i)basic (\S+)", head)]
        said = "\n".join([*bare, *all_heads, request.partition(b"\r\n\r\n")[2].decode("ascii", "replace")])
        if request.startswith(b"POST /token"):
            granted = {"access_token": TOKEN} if self.gives_token else {"error": "denied", "error_description": said}
            return _response(200 if self.gives_token else 400, json.dumps(granted), said)
        return _response(self.status, said, said)


def _bare(credential: str) -> str:
    """A password as it stands in the file."""
    return unquote_plus(b64decode(credential).decode().partition(":")[2])


def _response(status: int, body: str, said: str) -> bytes:
    line = " ".join(said.split())[:2000]
    head = f"HTTP/1.1 {status} {line}\r\nLocation: /studies?{quote(line)}\r\nWarning: 299 x {line}\r\n"
    return f"{head}Content-Length: {len(body.encode())}\r\n\r\n{body}".encode("ascii", "replace")


async def _whole(stream: trio.SocketStream) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data or len(data.partition(b"\r\n\r\n")[2]) < _length(data):
        if not (more := bytes(await stream.receive_some())):
            return b""
        data += more
        if data.lower().find(b"expect: 100-continue") >= 0 and data.endswith(b"\r\n\r\n"):
            await stream.send_all(b"HTTP/1.1 100 Continue\r\n\r\n")
    return data


def _length(data: bytes) -> int:
    lines = [line.partition(b":") for line in data.partition(b"\r\n\r\n")[0].split(b"\r\n")]
    return sum(int(value) for name, _, value in lines if name.lower() == b"content-length")


@asynccontextmanager
async def parrot(status: int, *, gives_token: bool = True) -> AsyncIterator[tuple[Parrot, str]]:
    bird = Parrot(status, gives_token)
    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, bird.serve, 0, host="127.0.0.1"))
        yield bird, f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


def settings(kind: str, folder: Path, url: str) -> str:
    """A destination of which every secret is a canary."""
    for name in ("password", "token", "secret", "key"):
        (folder / name).write_text(CANARY.format(name))
    key = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "key.pem").write_bytes(key)
    kinds = {
        "basic": {"auth": f'{{kind = "basic", username = "u", password_file = "{folder}/password"}}'},
        "bearer": {"auth": f'{{kind = "bearer", token_file = "{folder}/token"}}'},
        "oauth2": {
            "auth": f'{{kind = "oauth2", token_url = "{url}/token", client_id = "c", '
            f'client_secret_file = "{folder}/secret"}}'
        },
        "jwt": {"auth": f'{{kind = "jwt", token_url = "{url}/token", issuer = "i", key_file = "{folder}/key.pem"}}'},
        "header": {"header_files": f'{{X-Key = "{folder}/key"}}'},
        "proxy": {"proxy": f'{{url = "{url}", username = "u", password_file = "{folder}/password"}}'},
    }
    return destination(url, **kinds[kind])


def everything(box: Forwarding, uid: str) -> str:
    """All that is told of a destination and of an instance, anywhere."""
    past = box.store.read_now(partial(history_of, sop_instance_uid=uid))
    return repr((box.stands(), box.conditions.snapshot(), box.events(), box.delivery(uid), list(past)))


@pytest.mark.parametrize("status", [301, 400, 401, 503])
@pytest.mark.parametrize("kind", ["basic", "bearer", "oauth2", "jwt", "header", "proxy"])
async def test_a_canary_is_heard_nowhere(
    tmp_path: Path, kind: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    async with (
        parrot(status, gives_token=status != 503) as (bird, url),
        forwarding(tmp_path, settings(kind, tmp_path, url)) as box,
    ):
        [uid] = await box.take_made(named(1))
        shown = ""
        for number in range(ROUNDS):
            await box.until(lambda: box.stands().last_error is not None, step_s=10.0)
            shown += everything(box, uid)
            told, error = len(bird.sent), box.stands().last_error
            box.clock.advance(60.0 * number)
            await box.until(lambda: len(bird.sent) > told or box.stands().last_error != error, step_s=30.0)  # noqa: B023
        sent = b"".join(bird.sent).decode("ascii", "replace")
        assert any(each in sent for each in ("CANARY", "Basic ", "eyJ")), "it was told"
    for heard in (shown, caplog.text):
        assert not [each for each in ("CANARY", "Q0FOQVJZ", "dTpDQU5BUl", "eyJ") if each in heard]
