"""Comparing data sets with a destination: it gives back what it has, and the digests are compared (DICOM.md §1, §4).

Nothing is kept of what comes: it is scanned on its way, one at a time with all else that takes the processor, and no
more of it than an instance of this size can have. What breaks off, or is no instance, tells nothing.
"""

from dataclasses import dataclass, field
from http import HTTPStatus

import trio

from edged.config import CredentialError
from edged.dicom.errors import DicomError
from edged.dicom.scanner import InstanceScanner
from edged.dicom.uids import COMPRESSED_THAT_CAN_BE_UNDONE
from edged.http.multipart import MultipartError
from edged.services.repair import MARGIN_BYTES
from edged.store.records import Instance
from edged.telemetry.live import Phase
from edged.upstream.asking import Asking
from edged.upstream.comparing import Finding
from edged.upstream.message import NoAnswer, Request
from edged.upstream.retrieve import ACCEPT, LEAST_BYTES_PER_S, NOT_THERE, PATIENCE_S, FirstPart, target_of

_UNREACHED = frozenset({Phase.DNS, Phase.TCP, Phase.TLS})


@dataclass(slots=True)
class _Scanned:
    """Takes what comes; `too_long` once it is more than the instance can be."""

    limit: int
    processor: trio.Lock
    too_long: bool = False
    _scanner: InstanceScanner = field(default_factory=InstanceScanner)
    _length: int = 0

    async def add(self, data: bytes | memoryview) -> None:
        """Take the next bytes; raises DicomError."""
        self._length += len(data)
        self.too_long = self._length > self.limit
        if not self.too_long:
            async with self.processor:
                self._scanner.feed(data)

    def compared(self, instance: Instance) -> Finding:
        """Say whether it was the same data set; raises DicomError."""
        if self.too_long:
            return Finding.DIFFERS
        scan = self._scanner.finish()
        if scan.sop_instance_uid != instance.sop_instance_uid:
            return Finding.UNKNOWN
        if scan.dataset_digest == instance.dataset_digest:
            return Finding.THERE
        theirs, ours = scan.transfer_syntax_uid, instance.transfer_syntax_uid
        is_recoded = theirs != ours and not COMPRESSED_THAT_CAN_BE_UNDONE.isdisjoint({theirs, ours})
        return Finding.RECODED if is_recoded else Finding.DIFFERS


async def compare_data_sets(asking: Asking, instance: Instance, processor: trio.Lock) -> Finding:
    """Say whether the destination gives back the same data set. Source: PS3.18 10.4."""
    scanned = _Scanned(max(instance.size, instance.exit_length) + MARGIN_BYTES, processor)
    part = FirstPart(scanned)
    with trio.move_on_after(PATIENCE_S + scanned.limit / LEAST_BYTES_PER_S):
        try:
            response = await asking.request(Request("GET", asking.target(target_of(instance)), ACCEPT, sink=part))
            if response.status in NOT_THERE:
                return Finding.ABSENT
            if response.status == HTTPStatus.OK:
                await part.finish()
                return scanned.compared(instance) if part.whole else Finding.UNKNOWN
        except NoAnswer as error:
            return Finding.SILENT if error.phase in _UNREACHED else Finding.UNKNOWN
        except CredentialError:
            return Finding.SILENT
        except (MultipartError, DicomError):
            return Finding.DIFFERS if scanned.too_long else Finding.UNKNOWN
    return Finding.UNKNOWN
