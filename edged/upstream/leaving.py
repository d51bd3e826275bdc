"""In which form an instance may have left for a destination, for comparing it with what the destination shows.

Pure. What is compressed leaves decompressed where the settings allow it and the destination refuses it as it is
(`transcoding`). The attribute that decompression may change is not compared then; all others are.
"""

from msgspec import structs

from edged.config import Destination as Settings
from edged.config.choices import Transcode
from edged.dicom.uids import COMPRESSED_THAT_CAN_BE_UNDONE, EXPLICIT_VR_LITTLE_ENDIAN
from edged.store.records import Delivery, Instance
from edged.upstream.comparing import Purpose

TRANSCODED = f"transcoded {EXPLICIT_VR_LITTLE_ENDIAN}"
"""The answer in a delivery whose instance left decompressed."""

FOUND = "found"
"""The evidence in a delivery whose instance was not said to be stored, but was there."""

_CHANGED = "BitsAllocated"


def may_transcode(instance: Instance) -> bool:
    """Whether it is compressed in a way that can be undone."""
    return instance.transfer_syntax_uid in COMPRESSED_THAT_CAN_BE_UNDONE


def may_leave_decompressed(instance: Instance, settings: Settings) -> bool:
    """Whether it may have left decompressed, by the settings: before a restart or an eviction too."""
    return settings.transcode is Transcode.EXPLICIT and may_transcode(instance)


def in_either_form(instance: Instance, settings: Settings) -> Instance:
    """What may be compared of an instance, whichever way it left."""
    return _without_changed(instance) if may_leave_decompressed(instance, settings) else instance


def as_it_left(instance: Instance, delivery: Delivery | None, settings: Settings) -> tuple[Instance, Purpose]:
    """What to compare to prove an instance, and how.

    What was only found there may have left decompressed in an earlier life, whose notes are gone.
    """
    if delivery is not None and delivery.evidence == FOUND and may_leave_decompressed(instance, settings):
        return _without_changed(instance), Purpose.EITHER
    if delivery is not None and delivery.answer == TRANSCODED:
        plain = structs.replace(instance, transfer_syntax_uid=EXPLICIT_VR_LITTLE_ENDIAN, leaves_as_is=True)
        return _without_changed(plain), Purpose.PROOF
    return instance, Purpose.PROOF


def _without_changed(instance: Instance) -> Instance:
    kept = {name: value for name, value in instance.attributes.items() if name != _CHANGED}
    return structs.replace(instance, attributes=kept)
