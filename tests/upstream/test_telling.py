"""What a peer says in its own words: in the histories of instances, without secrets, and nowhere else.

The archive repeats a patient's name and the credential in every field of every answer that it gives to a store
request.
"""

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest
import trio

from edged.store.history import history_of
from edged.store.records import Happened, HistoryEntry
from tests.support.forwarding_kit import Forwarding, destination, forwarding
from tests.support.scripted_archive import Reply, Stow, report, scripted_archive
from tests.support.stow_kit import named

NAME = "DOE^JANE"
TOKEN = "SECRET-0123456789-token"
SAID = f"{NAME} sent Bearer {TOKEN}"
_FAILED = '{"00081198":{"vr":"SQ","Value":[{"00081155":{"vr":"UI","Value":["%s"]},"00081197":{"vr":"US","Value":[%s]},'
_COMMENT = '"00000902":{"vr":"LO","Value":["%s"]}}]},"00100010":{"vr":"PN","Value":[{"Alphabetic":"%s"}]}}'


def raw(status: str, body: str, *fields: str) -> bytes:
    head = "\r\n".join([f"HTTP/1.1 {status} {SAID}", f"Content-Length: {len(body)}", f"Server: {SAID}", *fields])
    return f"{head}\r\n\r\n{body}".encode()


def answers() -> dict[str, bytes]:
    uid = named(1).instance
    problem = f'{{"detail": "{SAID}", "title": "{SAID}"}}'
    statuses = (200, 204, 301, 307, 400, 401, 403, 404, 405, 407, 409, 411, 413, 415, 418, 422, 429, 500, 501, 503, 999)
    found = {
        f"{status} {kind}": raw(str(status), "" if status == 204 else body, f"Location: /{NAME}?{TOKEN}", f"X: {SAID}")
        for status in statuses
        for kind, body in (("text", SAID), ("problem", problem))
    }
    for reason in (0x0110, 0xA700, 0xC000, 0x0111, f'"{NAME}"'):
        body = (_FAILED + _COMMENT) % (uid, reason, SAID, NAME)
        found[f"failed {reason}"] = raw("409", body, "Content-Type: application/dicom+json")
    found["no status"] = f"HTTP/1.1 {SAID}\r\n\r\n".encode()
    found["no field"] = f"HTTP/1.1 200 OK\r\n{SAID}\r\n\r\n".encode()
    found["no HTTP"] = f"{SAID}\r\n".encode()
    found["cut"] = raw("200", SAID)[:-1]
    return found


class Echo:
    """A server that gives every request the same bytes, and closes."""

    def __init__(self, answer: bytes) -> None:
        self.asked = 0
        self._answer = answer

    async def serve(self, stream: trio.SocketStream) -> None:
        async with stream:
            data = b""
            while b"\r\n\r\n" not in data:
                if not (more := await stream.receive_some(1 << 16)):
                    return
                data += more
            head, _, body = data.partition(b"\r\n\r\n")
            fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
            left = int(fields.get(b"content-length", b"0")) - len(body)
            while left > 0:
                left -= len(await stream.receive_some(1 << 16))
            self.asked += 1
            await stream.send_all(self._answer)


def told(box: Forwarding, uid: str) -> list[HistoryEntry]:
    entries = box.store.read_now(partial(history_of, sop_instance_uid=uid))
    return [entry for _, entry in entries]


def everything(box: Forwarding, uids: Sequence[str], caplog: pytest.LogCaptureFixture) -> str:
    """All that is shown to whoever watches the box, and its log at the default level."""
    logged = [f"{each.getMessage()} {vars(each)}" for each in caplog.records if each.levelno >= logging.INFO]
    shown = [box.stands(), box.conditions.snapshot(), box.events(), [box.delivery(uid) for uid in uids], logged]
    return repr(shown)


@pytest.mark.parametrize("name", sorted(answers()))
async def test_what_a_peer_says_is_shown_nowhere_but_in_the_history(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "edged")
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    auth = f'{{kind = "bearer", token_file = "{tmp_path}/token"}}'
    echo = Echo(answers()[name])
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, echo.serve, 0, host="127.0.0.1"))
        port = listeners[0].socket.getsockname()[1]
        async with forwarding(tmp_path, destination(f"http://127.0.0.1:{port}", auth=auth)) as box:
            uids = await box.take_made(named(1))
            await box.until(lambda: echo.asked >= 1)
            for _ in range(6):
                await box.pass_time(400.0)
            shown = everything(box, uids, caplog)
            assert NAME not in shown
            assert "SECRET" not in shown
            history = told(box, uids[0])
            assert history
            assert all("SECRET" not in entry.text and len(entry.text) <= 400 for entry in history)
            if "text" in name and name[:3] not in {"204", "200", "401"}:
                assert any(NAME in entry.text for entry in history)
        nursery.cancel_scope.cancel()


async def test_every_answer_that_moves_nothing_is_told_and_the_same_again_is_counted(tmp_path: Path) -> None:
    async with scripted_archive() as (archive, _), forwarding(tmp_path, destination(archive.url)) as box:
        archive.on_store = lambda _: Reply(503, b"maintenance")
        [uid] = await box.take_made(named(1))
        await box.until(lambda: len(archive.stows) == 9, step_s=400.0)
        [entry] = told(box, uid)
        assert (entry.what, entry.status, entry.text) == (Happened.ANSWERED, 503, "maintenance")
        assert entry.times == 8
        assert entry.until > entry.time
        assert entry.batch
        archive.on_store = lambda stow: report(failed=dict.fromkeys(stow.uids, 0xA701), status=503)
        await box.until(lambda: len(told(box, uid)) == 2, step_s=400.0)
        assert told(box, uid)[1].reason == 0xA701


async def test_what_goes_well_writes_nothing_more(tmp_path: Path) -> None:
    async with scripted_archive() as (archive, _), forwarding(tmp_path, destination(archive.url)) as box:
        uids = await box.take_made(*(named(number) for number in range(1, 5)))
        await box.until(lambda: not box.at().keys() - {"sent", "committed"})
        assert [told(box, uid) for uid in uids] == [[], [], [], []]
        assert all(box.delivery(uid).batch for uid in uids)


async def test_looks_in_vain_and_refused_commitments_are_told(tmp_path: Path) -> None:
    config = '["dicomweb"]'
    async with scripted_archive() as (archive, _):
        archive.on_store = lambda _: Reply(200)
        async with forwarding(tmp_path, destination(archive.url, commitment=config)) as box:
            [uid] = await box.take_made(named(1))
            await box.until(lambda: len(told(box, uid)) >= 2)
            assert [(entry.what, entry.text) for entry in told(box, uid)] == [
                (Happened.ANSWERED, ""),
                (Happened.LOOKED, "it is not there"),
            ]

            def refuse(stow: Stow) -> Reply:
                archive.on_commitment = lambda asked: report(failed=dict.fromkeys(asked.listed, 0x0110), status=200)
                return archive.store_all(stow)

            archive.on_store = refuse
            await box.until(lambda: told(box, uid)[-1].what is Happened.ASKED, step_s=100.0)
            assert told(box, uid)[-1].reason == 0x0110
