"""The Store request of a batch (PS3.18 10.5): a body of known length that streams from the store."""

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol
from uuid import uuid4

from edged.http.multipart_writer import PART_TAIL, MultipartWriter
from edged.store.records import Instance
from edged.upstream.message import Request

_PART_HEAD = (("Content-Type", "application/dicom"),)


class Form(Protocol):
    """One instance as it leaves."""

    @property
    def number(self) -> int:
        """The instance number."""

    @property
    def instance(self) -> Instance:
        """What is stored; not what leaves, where that is another form of it."""

    @property
    def length(self) -> int:
        """Bytes that `pieces` gives in all."""

    def pieces(self) -> AsyncGenerator[bytes | memoryview, None]:
        """Give the bytes from the start, again for each try; raises InstanceGone."""


@dataclass(frozen=True, slots=True)
class StoreBody:
    """Instances as one multipart/related payload; `length` in bytes."""

    forms: Sequence[Form]
    writer: MultipartWriter

    @property
    def length(self) -> int:
        """Bytes in all."""
        head = len(self.writer.head(_PART_HEAD))
        return self.writer.content_length((head, form.length) for form in self.forms)

    def ends(self) -> Iterator[tuple[str, int]]:
        """Yield for each instance how many bytes of the payload have left when all of it has."""
        head, end = len(self.writer.head(_PART_HEAD)), 0
        for form in self.forms:
            end += head + form.length
            yield form.instance.sop_instance_uid, end
            end += len(PART_TAIL)

    async def pieces(self) -> AsyncGenerator[bytes | memoryview, None]:
        """Give the payload from its start; raises InstanceGone."""
        head = self.writer.head(_PART_HEAD)
        for form in self.forms:
            yield head
            async with aclosing(form.pieces()) as pieces:
                async for piece in pieces:
                    yield piece
            yield PART_TAIL
        yield self.writer.closing


def store_body(forms: Sequence[Form]) -> StoreBody:
    """Make the payload of a request, with a boundary of its own."""
    return StoreBody(forms, MultipartWriter(f"edged-{uuid4().hex}"))


def store_request(body: StoreBody, *, target: str, accept: str) -> Request:
    """Make the request: the media type quoted, the part's bare, one Accept (DICOM.md §4 "Sent")."""
    content_type = f'multipart/related; type="application/dicom"; boundary={body.writer.boundary}'
    return Request("POST", target, (("content-type", content_type), ("accept", accept)), body)
