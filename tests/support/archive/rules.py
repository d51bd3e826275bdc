"""What an archive of the tests has and by which rules it answers, whatever the wire is.

By itself it behaves: it stores what it gets in memory, shows it to retrieve and search, gives it back, and offers no
storage commitment. A test replaces one of the rules (`on_store`, `on_look`, `on_retrieve`, `on_commitment`,
`on_options`) to make it lie, refuse or wait, and `on_head` to make something go wrong while a request comes; `on_early`
is told what had come of a request that is answered before its end. It reads requests independently of edged: parts by a
plain split, instances by pydicom. What it is asked is kept in `stows`, `looks`, `retrieves`, `commitments` and
`options`, for tests to count.
"""

import io
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import trio
from pydicom import Dataset, dcmread

from tests.support.archive.values import JSON, Asked, Fault, Kind, Reply, Stow, report
from tests.support.dicom_samples import unheard
from tests.support.stow_kit import MULTIPART, multipart, parts_of

BASE = "/dicom-web"
_INSTANCE = re.compile(r"/instances/[^/?]+$")
_SHOWN = ("SOPClassUID", "SOPInstanceUID", "Rows", "Columns", "NumberOfFrames", "ContentDate", "ContentTime")

StoreRule = Callable[[Stow], Reply]
Rule = Callable[[Asked], Reply]
HeadRule = Callable[[Asked], Fault | None]


class Archive:
    """What it has, what it was asked, and the rules by which it answers."""

    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {}
        self.times: dict[str, int] = {}
        self.hidden: set[str] = set()
        self.stows: list[Stow] = []
        self.looks: list[Asked] = []
        self.openings: list[Asked] = []
        """Handshakes of notification connections, which it does not have."""
        self.retrieves: list[Asked] = []
        self.commitments: list[Asked] = []
        self.options: list[Asked] = []
        self.reset_after_bytes: int | None = None
        self.on_head: HeadRule = self._resets
        self.on_early: Callable[[Asked], None] = lambda _: None
        self.on_store: StoreRule = self.store_all
        self.on_look: Rule = self.show
        self.on_opening: Rule = lambda _: Reply(404)
        self.on_retrieve: Rule = self.give
        self.on_commitment: Rule = lambda _: Reply(404)
        self.on_options: Rule = lambda _: Reply(405)
        self._shown: dict[str, dict[str, Any]] = {}

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
        path = asked.path.partition("?")[0]
        wanted = wanted_of(asked)
        found = self._shown if wanted is None else {wanted: self._shown[wanted]} if wanted in self._shown else {}
        shown = [
            data_set
            for uid, data_set in found.items()
            if uid not in self.hidden and data_set["0020000D"]["Value"][0] in path
        ]
        if not shown and path.endswith("/metadata"):
            return Reply(404)
        return Reply(200, json.dumps(shown).encode(), (("content-type", JSON),))

    def give(self, asked: Asked) -> Reply:
        """Answer the retrieve of an instance with the bytes that are stored."""
        data = self.stored.get(asked.path.rsplit("/", 1)[1])
        return Reply(404) if data is None else Reply(200, multipart([data]), (("content-type", MULTIPART),))

    def answer(self, asked: Asked) -> Reply:
        """Note a request and answer it by its rule."""
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
        if any(name.lower() == "upgrade" for name, _ in asked.headers):
            self.openings.append(asked)
            return self.on_opening(asked)
        if asked.method == "GET":
            self.looks.append(asked)
            return self.on_look(asked)
        stow = _stow(asked)
        self.stows.append(stow)
        return self.on_store(stow)

    def _resets(self, _: Asked) -> Fault | None:
        return None if self.reset_after_bytes is None else Fault(Kind.RESET, self.reset_after_bytes + 1)


def wanted_of(asked: Asked) -> str | None:
    """The SOP Instance UID that a retrieve of metadata or a search asks for."""
    path, _, query = asked.path.partition("?")
    if path.endswith("/metadata"):
        return path.removesuffix("/metadata").rsplit("/", 1)[1]
    return dict(pair.partition("=")[::2] for pair in query.split("&")).get("SOPInstanceUID")


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
