"""The Store request of a batch (PS3.18 10.5): a body of known length that streams from the store."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from uuid import uuid4

from edged.http.multipart_writer import PART_TAIL, MultipartWriter
from edged.services.retrieve import WebForm
from edged.upstream.message import Request

_PART_HEAD = (("Content-Type", "application/dicom"),)


@dataclass(frozen=True, slots=True)
class StoreBody:
    """Instances as one multipart/related payload; `length` in bytes."""

    forms: Sequence[WebForm]
    writer: MultipartWriter

    @property
    def length(self) -> int:
        """Bytes in all."""
        head = len(self.writer.head(_PART_HEAD))
        return self.writer.content_length((head, form.length) for form in self.forms)

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


def store_request(forms: Sequence[WebForm], *, target: str, accept: str) -> Request:
    """Make the request: the media type quoted, the part's bare, one Accept (DICOM.md §4 "Sent")."""
    writer = MultipartWriter(f"edged-{uuid4().hex}")
    content_type = f'multipart/related; type="application/dicom"; boundary={writer.boundary}'
    return Request("POST", target, (("content-type", content_type), ("accept", accept)), StoreBody(forms, writer))
