"""An instance decompressed for an archive that refuses its transfer syntax, where the settings allow it (DICOM.md §4).

A process of its own does it (`decoding`), one at a time in the whole box, from one unlinked file in the store's folder
into another. The room for both is the disk's beside the store: what fills the store holds up nothing that is to leave.
So the length of what leaves is known before the first byte. What cannot be decompressed is parked with the reason; what
was not decompressed this time is tried again. A syntax that was refused for one instance of a class is not tried again
for the others, for a day; what cannot be decompressed has to be refused itself.
"""

import os
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from errno import EDQUOT, ENOSPC, EOPNOTSUPP
from functools import partial
from importlib.machinery import PathFinder
from tempfile import TemporaryFile
from typing import IO

import trio

from edged.config.choices import Transcode
from edged.dicom.reasons import FailureReason
from edged.store.allocation import KEPT_FREE
from edged.store.records import Instance
from edged.telemetry.conditions import Severity
from edged.upstream.decoding import LIMITS, CannotTranscode, Limits, NotTranscoded, decompress
from edged.upstream.destination import Destination
from edged.upstream.parking import Parking
from edged.upstream.stow import Form
from edged.upstream.verdict_values import Kind, Verdict

PIECE_BYTES = 1 << 20
REMEMBERED_S = 24 * 3600.0
"""How long a refused transfer syntax is not tried: archives learn."""

NOT_TRANSCODED = "not-transcoded"
FAILURES_TOLD = 3
"""Of one instance, in a row, before a condition says so: a service that is stopped cuts one off."""

_PLUG_INS = ("numpy", "gdcm", "openjpeg")
_NO_PLUG_INS = (
    "transcode is set and the plug-ins that decompress are not installed: {} missing. What the archive refuses for its "
    "transfer syntax is parked until edged[codecs] is installed."
)
_NO_ROOM = (
    "The archive refuses an instance as it is compressed, and the disk has no room beside the store to decompress it: "
    "{}. Free some space below data_dir; until then it waits."
)
_CUT_OFF = (
    "The archive refuses an instance as it is compressed, and decompressing it fails again and again: {}. It is tried "
    "ever more rarely. Look whether the machine is short of memory, and at its disk."
)


class NoRoom(NotTranscoded):
    """The disk has no room for it beside the store."""


@dataclass(frozen=True, slots=True)
class Transcoded:
    """An instance as it leaves decompressed; `length` in bytes."""

    number: int
    instance: Instance
    length: int
    file: IO[bytes]

    async def pieces(self) -> AsyncGenerator[bytes | memoryview, None]:
        """Give the bytes from the start."""
        for start in range(0, self.length, PIECE_BYTES):
            size = min(PIECE_BYTES, self.length - start)
            yield await trio.to_thread.run_sync(os.pread, self.file.fileno(), size, start)


class Transcoding:
    """Makes the forms that leave in place of others, for one destination."""

    def __init__(self, destination: Destination, parking: Parking, *, limits: Limits = LIMITS) -> None:
        self._destination = destination
        self._parking = parking
        self._limits = limits
        self._refused: dict[tuple[str, str], float] = {}
        missing = [name for name in _PLUG_INS if PathFinder.find_spec(name) is None]
        if missing and destination.settings.transcode is Transcode.EXPLICIT:
            hint = _NO_PLUG_INS.format(", ".join(missing))
            destination.box.conditions.raise_(f"no-codecs:{destination.name}", Severity.WARNING, hint)

    @asynccontextmanager
    async def applied(self, forms: Sequence[Form]) -> AsyncIterator[list[Form]]:
        """Give what leaves in place of forms, as long as the block runs; without what cannot, which is parked.

        Raises StoreError, NotTranscoded.
        """
        async with AsyncExitStack() as files:
            leaving: list[Form] = []
            for form in self._without_company(forms):
                if not self._is_due(form):
                    leaving.append(form)
                    continue
                try:
                    leaving.append(await files.enter_async_context(self._transcoded(form)))
                    self._note(form.number, transcode=True)
                except CannotTranscode as error:
                    leaving.extend(await self._impossible(form, str(error)))
                except NotTranscoded as error:
                    self._blame(form.number, error)
                    raise
            yield leaving

    def _without_company(self, forms: Sequence[Form]) -> Sequence[Form]:
        """What is to be decompressed goes alone, the next time: a batch is made by the lengths as they are."""
        due = [form.number for form in forms if self._is_due(form)] if len(forms) > 1 else []
        for number in due:
            self._note(number, alone=True)
        return [form for form in forms if form.number not in due]

    def _is_due(self, form: Form) -> bool:
        """Whether it leaves decompressed: it was refused as it is, or others like it were."""
        note, now = self._destination.notebook.of(form.number), self._destination.now()
        like = form.instance.sop_class_uid, form.instance.transfer_syntax_uid
        if note.transcode:
            self._refused.setdefault(like, now)
            return True
        if now - self._refused.get(like, now) >= REMEMBERED_S:
            del self._refused[like]
        return like in self._refused and not note.as_it_is

    async def _impossible(self, form: Form, why: str) -> list[Form]:
        """Park what was refused as it is; what was not leaves as it is."""
        if not self._destination.notebook.of(form.number).transcode:
            self._note(form.number, as_it_is=True)
            return [form]
        reason, text = FailureReason.TRANSFER_SYNTAX_NOT_SUPPORTED, f"refused as it is, and {why}"
        await self._parking.park(form.number, Verdict(Kind.PARK, reason, text=text))
        return []

    def _blame(self, number: int, error: NotTranscoded) -> None:
        failures = self._destination.notebook.of(number).backoff.failures + 1
        if isinstance(error, NoRoom):
            self._destination.blame(number, NOT_TRANSCODED, _NO_ROOM.format(error))
        elif failures >= FAILURES_TOLD:
            self._destination.blame(number, NOT_TRANSCODED, _CUT_OFF.format(error))

    def _note(self, number: int, **changes: bool) -> None:
        notebook = self._destination.notebook
        notebook.keep(number, replace(notebook.of(number), **changes))  # type: ignore[arg-type]

    @asynccontextmanager
    async def _transcoded(self, form: Form) -> AsyncIterator[Transcoded]:
        with self._file() as out:
            await self._decompress(form, out)
            yield Transcoded(form.number, form.instance, os.fstat(out.fileno()).st_size, out)

    async def _decompress(self, form: Form, out: IO[bytes]) -> None:
        async with self._destination.box.decoding:
            with self._file() as source:
                await _claim(source, form.length)
                try:
                    await _write(form, source)
                except OSError as error:
                    raise NotTranscoded(f"{error.strerror}") from None
                await decompress(source, out, limits=self._limits, allow=partial(_claim, out))

    def _file(self) -> IO[bytes]:
        try:
            return TemporaryFile(dir=self._destination.box.store.allocation.data.parent)
        except OSError as error:
            raise NotTranscoded(f"{error.strerror}") from None


async def _claim(file: IO[bytes], length: int) -> None:
    """Have the disk promise a file its bytes, some being left for others. Raises NoRoom, NotTranscoded."""

    def claimed() -> None:
        free = os.fstatvfs(file.fileno())
        if free.f_bavail * free.f_frsize < length + KEPT_FREE:
            raise NoRoom(f"{length} bytes are needed")
        os.posix_fallocate(file.fileno(), 0, length)

    try:
        await trio.to_thread.run_sync(claimed)
    except OSError as error:
        if error.errno in {ENOSPC, EDQUOT}:
            raise NoRoom(f"{length} bytes are needed") from None
        if error.errno != EOPNOTSUPP:  # some promise nothing: then it is written as it comes
            raise NotTranscoded(f"{error.strerror}") from None


async def _write(form: Form, file: IO[bytes]) -> None:
    async for piece in form.pieces():
        await trio.to_thread.run_sync(file.write, piece)
    await trio.to_thread.run_sync(file.flush)
    file.seek(0)
