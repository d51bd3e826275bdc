"""An archive that answers as a script says: a small real HTTP server on loopback (trio and h11).

By itself it behaves: it stores what it gets in memory, shows it to retrieve and search, gives it back, and offers no
storage commitment. A test replaces one of the rules (`on_store`, `on_look`, `on_retrieve`, `on_commitment`,
`on_options`) to make it lie, refuse, wait or break off. It reads requests independently of edged: parts by a plain
split, instances by pydicom. What it is asked is kept in `stows`, `looks`, `retrieves`, `commitments` and `options`, for
tests to count.
"""

import io
import json
import re
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any

import h11
import trio
import trio.testing
from pydicom import Dataset, dcmread

from tests.support.dicom_samples import unheard
from tests.support.stow_kit import MULTIPART, multipart, parts_of

BASE = "/dicom-web"
JSON = "application/dicom+json"
_INSTANCE = re.compile(r"/instances/[^/?]+$")
_SHOWN = ("SOPClassUID", "SOPInstanceUID", "Rows", "Columns", "NumberOfFrames", "ContentDate", "ContentTime")


@dataclass(frozen=True, slots=True)
class Asked:
    """One request."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = field(repr=False, default=b"")

    def all(self, name: str) -> list[str]:
        """Every value of a header field."""
        return [value for each, value in self.headers if each == name]

    @property
    def transaction_uid(self) -> str:
        """The last segment, which names a commitment transaction."""
        return self.path.rsplit("/", 1)[1]

    @property
    def listed(self) -> list[str]:
        """The SOP Instance UIDs that a commitment request lists."""
        return [item["00081155"]["Value"][0] for item in json.loads(self.body)["00081199"]["Value"]]


@dataclass(frozen=True, slots=True)
class Stow:
    """A store request: its parts in order, heads and bytes, and what is in them."""

    asked: Asked
    parts: list[tuple[dict[str, str], bytes]]
    data_sets: Sequence[Dataset]

    @property
    def uids(self) -> list[str]:
        """SOP Instance UIDs in the order of the parts."""
        return [str(each.SOPInstanceUID) for each in self.data_sets]


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer; `after` holds it back until the event; `reset` breaks the connection off instead."""

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    after: trio.Event | None = None
    reset: bool = False


StoreRule = Callable[[Stow], Reply]
Rule = Callable[[Asked], Reply]


def report(stored: Iterable[str] = (), failed: Mapping[str, int | None] | None = None, status: int = 0) -> Reply:
    """A Store Instances Response (PS3.18 Annex I)."""
    failed = failed or {}
    stored = list(stored)
    data_set: dict[str, Any] = {"00081190": {"vr": "UR"}}
    if stored:
        data_set["00081199"] = {"vr": "SQ", "Value": [_item(uid) for uid in stored]}
    if failed:
        data_set["00081198"] = {"vr": "SQ", "Value": [_item(uid, reason) for uid, reason in failed.items()]}
    usual = (202 if stored else 409) if failed else 200
    return Reply(status or usual, json.dumps(data_set).encode(), (("content-type", JSON),))


def committed(uids: Iterable[str] = (), failed: Mapping[str, int] | None = None) -> Reply:
    """A Storage Commitment Response (PS3.18 Annex J)."""
    return report(uids, failed, status=HTTPStatus.OK)


def _item(uid: str, reason: int | None = None) -> dict[str, Any]:
    item: dict[str, Any] = {
        "00081150": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.2"]},
        "00081155": {"vr": "UI", "Value": [uid]},
    }
    return item if reason is None else item | {"00081197": {"vr": "US", "Value": [reason]}}


class ScriptedArchive:
    """What it has, what it was asked, and the rules by which it answers."""

    def __init__(self) -> None:
        self.port = 0
        self.stored: dict[str, bytes] = {}
        self.times: dict[str, int] = {}
        self.hidden: set[str] = set()
        self.stows: list[Stow] = []
        self.looks: list[Asked] = []
        self.retrieves: list[Asked] = []
        self.commitments: list[Asked] = []
        self.options: list[Asked] = []
        self.reset_after_bytes: int | None = None
        self.on_store: StoreRule = self.store_all
        self.on_look: Rule = self.show
        self.on_retrieve: Rule = self.give
        self.on_commitment: Rule = lambda _: Reply(404)
        self.on_options: Rule = lambda _: Reply(405)
        self._shown: dict[str, dict[str, Any]] = {}
        self._running: trio.CancelScope | None = None

    @property
    def url(self) -> str:
        """The Base URI."""
        return f"http://127.0.0.1:{self.port}{BASE}"

    @property
    def sent_uids(self) -> list[str]:
        """Every SOP Instance UID of every store request, in order."""
        return [uid for stow in self.stows for uid in stow.uids]

    def gated(self, gate: trio.Event) -> StoreRule:
        """The rule that stores everything and says so once the gate is open."""
        return lambda stow: replace(self.store_all(stow), after=gate)

    def keep(self, stow: Stow, uids: Iterable[str] | None = None) -> None:
        """Store the instances of a request, all or those named."""
        wanted = set(stow.uids if uids is None else uids)
        for (_, data), data_set in zip(stow.parts, stow.data_sets, strict=True):
            uid = str(data_set.SOPInstanceUID)
            if uid in wanted:
                self.stored[uid] = data
                self.times[uid] = self.times.get(uid, 0) + 1
                self._shown[uid] = _shown(data_set)

    def lose(self, uid: str) -> None:
        """Have an instance no longer."""
        del self.stored[uid], self._shown[uid]

    def store_all(self, stow: Stow) -> Reply:
        """Store everything and say so."""
        self.keep(stow)
        return report(stow.uids)

    def show(self, asked: Asked) -> Reply:
        """Answer retrieve metadata or search from what is stored and not hidden."""
        path, _, query = asked.path.partition("?")
        names = dict(pair.partition("=")[::2] for pair in query.split("&"))
        segments = path.removesuffix("/metadata").split("/")
        wanted = segments[-1] if path.endswith("/metadata") else names.get("SOPInstanceUID")
        shown = [
            data_set
            for uid, data_set in self._shown.items()
            if uid not in self.hidden and wanted in {None, uid} and data_set["0020000D"]["Value"][0] in path
        ]
        if not shown and path.endswith("/metadata"):
            return Reply(404)
        return Reply(200, json.dumps(shown).encode(), (("content-type", JSON),))

    def give(self, asked: Asked) -> Reply:
        """Answer the retrieve of an instance with the bytes that are stored."""
        data = self.stored.get(asked.path.rsplit("/", 1)[1])
        return Reply(404) if data is None else Reply(200, multipart([data]), (("content-type", MULTIPART),))

    async def up(self, nursery: trio.Nursery) -> None:
        """Listen, on the port of before."""
        await nursery.start(self._run)

    async def down(self) -> None:
        """Refuse connections and break those that are open."""
        assert self._running is not None
        self._running.cancel()
        self._running = None
        await trio.testing.wait_all_tasks_blocked()

    async def _run(self, task_status: trio.TaskStatus[list[trio.SocketListener]]) -> None:
        listeners = await trio.open_tcp_listeners(self.port, host="127.0.0.1")
        self.port = listeners[0].socket.getsockname()[1]
        with trio.CancelScope() as self._running:
            await trio.serve_listeners(self._serve, listeners, task_status=task_status)

    async def _serve(self, stream: trio.SocketStream) -> None:
        async with stream:
            try:
                connection = h11.Connection(h11.SERVER)
                while await self._exchange(connection, stream):
                    connection.start_next_cycle()
            except (trio.BrokenResourceError, trio.ClosedResourceError, h11.RemoteProtocolError, EOFError):
                return

    async def _exchange(self, connection: h11.Connection, stream: trio.SocketStream) -> bool:
        asked = await self._request(connection, stream)
        if asked is None:
            return False
        reply = self._answer(asked)
        if reply.after is not None:
            await reply.after.wait()
        if reply.reset:
            _reset(stream)
            return False
        sent = b"" if reply.status == HTTPStatus.NO_CONTENT else reply.body
        headers = [*reply.headers, ("content-length", str(len(sent)))]
        head = connection.send(h11.Response(status_code=reply.status, headers=headers, reason=b"X"))
        body = connection.send(h11.Data(data=sent))
        await stream.send_all((head or b"") + (body or b"") + (connection.send(h11.EndOfMessage()) or b""))
        return connection.our_state is h11.DONE and connection.their_state is h11.DONE

    async def _request(self, connection: h11.Connection, stream: trio.SocketStream) -> Asked | None:
        head: h11.Request | None = None
        body = bytearray()
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(bytes(await stream.receive_some(1 << 16)))
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
                if self.reset_after_bytes is not None and len(body) > self.reset_after_bytes:
                    _reset(stream)
                    return None
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                headers = tuple((name.decode(), value.decode()) for name, value in head.headers)
                return Asked(head.method.decode(), head.target.decode(), headers, bytes(body))
            else:
                return None

    def _answer(self, asked: Asked) -> Reply:
        assert asked.path.startswith(BASE), asked.path
        if asked.path.startswith(f"{BASE}/commitment-requests/"):
            self.commitments.append(asked)
            return self.on_commitment(asked)
        if asked.method == "OPTIONS":
            self.options.append(asked)
            return self.on_options(asked)
        if asked.method == "GET" and _INSTANCE.search(asked.path):
            self.retrieves.append(asked)
            return self.on_retrieve(asked)
        if asked.method == "GET":
            self.looks.append(asked)
            return self.on_look(asked)
        stow = _stow(asked)
        self.stows.append(stow)
        return self.on_store(stow)


def _stow(asked: Asked) -> Stow:
    parts = parts_of(asked.all("content-type")[0], asked.body)
    with unheard():
        data_sets = [dcmread(io.BytesIO(data), stop_before_pixels=True, force=True) for _, data in parts]
    return Stow(asked, parts, data_sets)


def _shown(data_set: Dataset) -> dict[str, Any]:
    with unheard():
        named = {keyword: getattr(data_set, keyword) for keyword in _SHOWN if keyword in data_set}
        subset = Dataset()
        for keyword, value in named.items():
            setattr(subset, keyword, value)
        subset.StudyInstanceUID, subset.SeriesInstanceUID = data_set.StudyInstanceUID, data_set.SeriesInstanceUID
        subset.AvailableTransferSyntaxUID = data_set.file_meta.TransferSyntaxUID
        shown: dict[str, Any] = subset.to_json_dict()
    return shown


def _reset(stream: trio.SocketStream) -> None:
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.socket.close()


@asynccontextmanager
async def scripted_archive() -> AsyncIterator[tuple[ScriptedArchive, trio.Nursery]]:
    """An archive that listens, and the nursery to bring it `up` in again."""
    archive = ScriptedArchive()
    async with trio.open_nursery() as nursery:
        await archive.up(nursery)
        yield archive, nursery
        nursery.cancel_scope.cancel()
