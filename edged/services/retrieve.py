"""An instance as it leaves over the web: byte for byte, or through the converter (DICOM.md §1).

Implicit VR and Big Endian never leave as they are. The length and the entity tag of the leaving form are known from
the record, before the first byte is read.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from edged.dicom.converter import Converter
from edged.dicom.uids import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
)
from edged.store.records import Instance
from edged.store.store import Store

_MADE_PLAIN = frozenset({IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN, DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN})


@dataclass(frozen=True, slots=True)
class WebForm:
    """One stored instance in the form that leaves; `length` in bytes."""

    store: Store
    number: int
    instance: Instance

    @property
    def length(self) -> int:
        """Bytes that `pieces` yields in all."""
        return self.instance.exit_length

    @property
    def transfer_syntax_uid(self) -> str:
        """The transfer syntax of what leaves."""
        return leaving_transfer_syntax(self.instance)

    @property
    def digest(self) -> bytes:
        """The stored file's digest: the same file leaves as the same bytes, converted or not."""
        return self.instance.file_digest

    async def pieces(self) -> AsyncGenerator[bytes | memoryview, None]:
        """Yield the bytes; raises InstanceGone when the store no longer has them all."""
        async with aclosing(stored_pieces(self.store, self.number, self.instance)) as pieces:
            if self.instance.leaves_as_is:
                async for piece in pieces:
                    yield piece
                return
            converter = Converter(
                sop_class_uid=self.instance.sop_class_uid, sop_instance_uid=self.instance.sop_instance_uid
            )
            async for piece in pieces:
                for converted in converter.feed(piece):
                    yield converted
            for converted in converter.finish():
                yield converted


def leaving_transfer_syntax(instance: Instance) -> str:
    """Return the transfer syntax in which an instance leaves; what is compressed stays so also when it is converted."""
    stored = instance.transfer_syntax_uid
    return EXPLICIT_VR_LITTLE_ENDIAN if not instance.leaves_as_is and stored in _MADE_PLAIN else stored


async def stored_pieces(store: Store, number: int, instance: Instance) -> AsyncGenerator[bytes | memoryview, None]:
    """Yield the bytes as they came in."""
    async with aclosing(store.stream(number, instance.size)) as batches:
        async for batch in batches:
            for chunk in batch:
                yield chunk
