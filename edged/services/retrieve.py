"""An instance as it is stored, and as it leaves over the web: byte for byte, or through the converter (DICOM.md §1).

Implicit VR and Big Endian never leave as they are. The length and the digest of either form are known from the record,
before the first byte is read. Both can be read in ranges: what is stored from the chunk on that a range begins in, what
is converted from the beginning, in one pass over all ranges, up to the end of the last. Nothing is read ahead of them.
Conversion takes the processor for long: it goes chunk by chunk, one instance's after another's, and others between.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from edged.dicom.converter import CONVERTER_VERSION, Converter
from edged.dicom.uids import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    is_uid,
)
from edged.http.ranges import ByteRange, Cutter, Piece, Section, Window
from edged.store.read_ahead import Lane
from edged.store.records import Instance, Remembered
from edged.store.schema import CHUNK_BYTES, REMEMBERED, uid_key
from edged.store.store import Store
from edged.store.transaction import Transaction

_MADE_PLAIN = frozenset({IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN, DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN})


@dataclass(frozen=True, slots=True)
class StoredForm:
    """One stored instance as it came in; `length` in bytes, `lane` whose turns to read it uses.

    What is read in somebody's turns is read in blocks of several chunks: it is sent on.
    """

    store: Store
    number: int
    instance: Instance
    lane: Lane | None = None

    @property
    def length(self) -> int:
        """Bytes that `pieces` yields in all."""
        return self.instance.size

    @property
    def digest(self) -> bytes:
        """The stored file's digest."""
        return self.instance.file_digest

    def pieces(self, ranges: Sequence[ByteRange] | None = None) -> AsyncGenerator[Piece, None]:
        """Yield the bytes of ascending, separate ranges, None: all; no piece is of two.

        Raises InstanceGone when the store no longer has them all.
        """
        return self._stream(self.length) if ranges is None else self._ranges(ranges)

    async def _ranges(self, ranges: Sequence[ByteRange]) -> AsyncGenerator[Piece, None]:
        with self.store.pinned(self.number):
            for each in ranges:
                async with aclosing(self._range(each)) as pieces:
                    async for piece in pieces:
                        yield piece

    async def _range(self, wanted: ByteRange) -> AsyncGenerator[Piece, None]:
        first = wanted.start // CHUNK_BYTES
        window = Window(wanted.start, wanted.stop)
        window.seek(first * CHUNK_BYTES)
        async with aclosing(self._stream(wanted.stop, first)) as chunks:
            async for chunk in chunks:
                view = window.feed(chunk)
                if view is not None:
                    yield chunk if len(view) == len(chunk) else view  # bytes leave without a copy

    def _stream(self, stop: int, first: int = 0) -> AsyncGenerator[Piece, None]:
        return self.store.stream(self.number, stop, first=first, lane=self.lane, blocks=self.lane is not None)


@dataclass(frozen=True, slots=True)
class WebForm:
    """One stored instance in the form that leaves; `length` in bytes, `lane` whose turns to read it uses."""

    store: Store
    number: int
    instance: Instance
    lane: Lane | None = None

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
        """The stored file's digest, and by which converter it leaves: both make its bytes what they are."""
        return self.instance.file_digest + (b"" if self.instance.leaves_as_is else CONVERTER_VERSION)

    def pieces(self, ranges: Sequence[ByteRange] | None = None) -> AsyncGenerator[Piece, None]:
        """Yield the bytes of ascending, separate ranges, None: all; no piece is of two.

        Raises InstanceGone when the store no longer has them all.
        """
        if self.instance.leaves_as_is:
            return self._stored.pieces(ranges)
        return self._converted() if ranges is None else _cut(self._converted(), ranges)

    @property
    def _stored(self) -> StoredForm:
        return StoredForm(self.store, self.number, self.instance, self.lane)

    async def _converted(self) -> AsyncGenerator[Piece, None]:
        converter = Converter(
            sop_class_uid=self.instance.sop_class_uid, sop_instance_uid=self.instance.sop_instance_uid
        )
        async with aclosing(self._stored.pieces()) as pieces:
            async for piece in pieces:
                for start in range(0, len(piece), CHUNK_BYTES):
                    async with self.store.processor:
                        converted = converter.feed(piece[start : start + CHUNK_BYTES])
                    for each in converted:
                        yield each
        async with self.store.processor:
            converted = converter.finish()
        for each in converted:
            yield each


def leaving_transfer_syntax(instance: Instance) -> str:
    """Return the transfer syntax in which an instance leaves; what is compressed stays so also when it is converted."""
    stored = instance.transfer_syntax_uid
    return EXPLICIT_VR_LITTLE_ENDIAN if not instance.leaves_as_is and stored in _MADE_PLAIN else stored


def was_evicted(txn: Transaction, sop_instance_uid: str) -> bool:
    """Whether an instance with this UID is known to have been here, and was let go."""
    return is_uid(sop_instance_uid) and txn.record(REMEMBERED, uid_key(sop_instance_uid), Remembered) is not None


async def _cut(source: AsyncGenerator[Piece, None], ranges: Sequence[ByteRange]) -> AsyncGenerator[Piece, None]:
    """Yield what lies in the ranges; what comes after the last is not asked for."""
    cutter = Cutter([Section(b"", each) for each in ranges])
    async with aclosing(source) as pieces:
        while cutter.wanted is not None:
            piece = await anext(pieces, None)
            if piece is None:
                return
            for view in cutter.feed(piece):
                yield view
