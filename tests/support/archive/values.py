"""What an archive of the tests is asked and what it answers, whatever the wire is."""

import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from http import HTTPStatus
from typing import Any
from xml.etree import ElementTree

import trio
from pydicom import Dataset

JSON = "application/dicom+json"
NATIVE_ATTRIBUTE = "{http://dicom.nema.org/PS3.19/models/NativeDICOM}DicomAttribute"


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
        """The SOP Instance UIDs that a commitment request lists, in either form, as JSON or XML."""
        if self.body.lstrip().startswith(b"<"):
            return [
                value.text or ""
                for attribute in ElementTree.fromstring(self.body).iter(NATIVE_ATTRIBUTE)
                if attribute.get("tag") == "00081155"
                for value in attribute
            ]
        return list(_named(json.loads(self.body)))


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


class Kind(Enum):
    """What goes wrong; the last three are of HTTP/2 and break the connection off on HTTP/1.1."""

    CUT = auto()  # the peer's end closes, as a process that ends
    RESET = auto()
    STALL = auto()  # nothing more is read or sent, until the other side gives up
    GARBAGE = auto()
    EARLY = auto()  # an answer, while the request is still coming
    TRICKLE = auto()  # a few bytes at a time
    STREAM_RESET = auto()
    REFUSED_STREAM = auto()
    GOAWAY = auto()


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens after so many bytes of a request's body, or of an answer with its head."""

    kind: Kind
    at: int = 0
    reply: "Reply | None" = None
    """The early answer."""
    seconds: float = 0.1
    """Between the bytes that trickle."""

    def garbage(self) -> bytes:
        """Bytes that mean nothing, the same for the same fault."""
        return random.Random(self.at).randbytes(self.at % 300 + 1)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, after a while or once an event is set; `reset` breaks the connection off instead.

    `fault` is what happens while it is sent.
    """

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    after: trio.Event | None = None
    reset: bool = False
    delay_s: float = 0.0
    fault: Fault | None = None
    arrived: Callable[[], None] = lambda: None
    """Called when all of it is out."""

    @property
    def content(self) -> bytes:
        """What is sent as its body."""
        return b"" if self.status == HTTPStatus.NO_CONTENT else self.body

    @property
    def fields(self) -> list[tuple[str, str]]:
        """Its header fields."""
        return [*self.headers, ("content-length", str(len(self.content)))]

    async def ready(self) -> None:
        """Wait until it may be sent."""
        if self.after is not None:
            await self.after.wait()
        if self.delay_s:
            await trio.sleep(self.delay_s)


def _named(data_set: dict[str, Any]) -> Iterator[str]:
    for tag, element in data_set.items():
        if tag == "00081155":
            yield element["Value"][0]
        elif element["vr"] == "SQ":
            for item in element["Value"]:
                yield from _named(item)


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
