"""Unique identifiers: the ones edged names, and what a UID may look like.

Only constants and pure functions live here. A new UID is made from a UUID that the caller brings (PS3.5 B.2),
because this folder has no source of randomness.
Invariants: nothing here is ever renamed to another UID once released; `IMPLEMENTATION_CLASS_UID` is fixed for ever.
"""

import re
import uuid
from typing import Final

IMPLICIT_VR_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2"
EXPLICIT_VR_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2.1"
DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2.1.99"
EXPLICIT_VR_BIG_ENDIAN: Final = "1.2.840.10008.1.2.2"
JPEG_BASELINE: Final = "1.2.840.10008.1.2.4.50"
JPEG_EXTENDED: Final = "1.2.840.10008.1.2.4.51"
JPEG_LOSSLESS: Final = "1.2.840.10008.1.2.4.57"
JPEG_LOSSLESS_SV1: Final = "1.2.840.10008.1.2.4.70"
JPEG_LS_LOSSLESS: Final = "1.2.840.10008.1.2.4.80"
JPEG_LS_NEAR_LOSSLESS: Final = "1.2.840.10008.1.2.4.81"
JPEG_2000_LOSSLESS: Final = "1.2.840.10008.1.2.4.90"
JPEG_2000: Final = "1.2.840.10008.1.2.4.91"
HTJ2K_LOSSLESS: Final = "1.2.840.10008.1.2.4.201"
HTJ2K_LOSSLESS_RPCL: Final = "1.2.840.10008.1.2.4.202"
HTJ2K: Final = "1.2.840.10008.1.2.4.203"
RLE_LOSSLESS: Final = "1.2.840.10008.1.2.5"

VERIFICATION: Final = "1.2.840.10008.1.1"
STORAGE_COMMITMENT_PUSH_MODEL: Final = "1.2.840.10008.1.20.1"
STORAGE_COMMITMENT_PUSH_MODEL_INSTANCE: Final = "1.2.840.10008.1.20.1.1"
BASIC_TEXT_SR: Final = "1.2.840.10008.5.1.4.1.1.88.11"

COMPRESSED_THAT_CAN_BE_UNDONE: Final = frozenset(
    {
        "1.2.840.10008.1.2.4.50",  # JPEG baseline
        "1.2.840.10008.1.2.4.51",  # JPEG extended
        "1.2.840.10008.1.2.4.57",  # JPEG lossless, any predictor
        "1.2.840.10008.1.2.4.70",  # JPEG lossless, first-order prediction
        "1.2.840.10008.1.2.4.80",  # JPEG-LS lossless
        "1.2.840.10008.1.2.4.81",  # JPEG-LS near-lossless
        "1.2.840.10008.1.2.4.90",  # JPEG 2000 lossless
        "1.2.840.10008.1.2.4.91",  # JPEG 2000
        "1.2.840.10008.1.2.5",  # RLE
    }
)
"""The transfer syntaxes that can be undone."""

IMPLEMENTATION_CLASS_UID: Final = "2.25.234728649022361063139146932721446220688"
IMPLEMENTATION_VERSION_NAME: Final = "EDGED_1"

_UID = re.compile(r"(?=.*[0-9])[0-9.]{1,64}", re.ASCII)


def is_uid(text: str) -> bool:
    """Whether `text` can stand as a UID: 1 to 64 digits and dots, and not dots alone, which no path can name.

    Components with leading zeros and the like pass: they are wrong by PS3.5 9.1, and in use.
    """
    return _UID.fullmatch(text) is not None


def uid_from_uuid(value: uuid.UUID) -> str:
    """The UID that stands for a UUID (PS3.5 B.2)."""
    return f"2.25.{value.int}"


def uid_text(raw: bytes) -> str:
    """The text of a UI value without its padding; any other bytes give a text that is no UID (PS3.5 6.2, UI)."""
    return raw.decode("latin-1").strip("\0 ")
