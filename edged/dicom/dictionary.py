"""The VR of an element whose header does not tell it.

Implicit VR leaves the VR to the data dictionary, and the dictionary leaves some to other elements of the same data
set ("US or SS"). Here is the look-up in pydicom's dictionaries, and the choice by context (PS3.5 Annex A, 6.2.2).
A streaming reader knows only what came before, so the choice uses that, in this data set or in one around it;
without it the more usual VR is taken. The same bytes always give the same VR.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from pydicom.datadict import dictionary_VR, private_dictionary_VR

BITS_ALLOCATED: Final = 0x00280100
PIXEL_REPRESENTATION: Final = 0x00280103
LUT_DESCRIPTOR: Final = 0x00283002
WAVEFORM_BITS_ALLOCATED: Final = 0x54001004
PIXEL_DATA: Final = 0x7FE00010

CONTEXT: Final = frozenset((BITS_ALLOCATED, PIXEL_REPRESENTATION, LUT_DESCRIPTOR, WAVEFORM_BITS_ALLOCATED))
"""The elements on whose first 16-bit number the VR of a later one depends."""

Context = Mapping[int, int]
Creators = Mapping[int, str]
"""Private creators of one data set, by the upper 24 bits of the tags that each reserves."""


@lru_cache(maxsize=8192)
def _public(tag: int) -> bytes:
    if not tag & 0xFFFF:  # a group length (PS3.5 7.2)
        return b"UL"
    try:
        return dictionary_VR(tag).encode("ascii")
    except KeyError:
        return b"UN"


@lru_cache(maxsize=1024)
def _private(tag: int, creator: str) -> bytes:
    try:
        return private_dictionary_VR(tag, creator).encode("ascii")
    except KeyError:
        return b"UN"


def is_private_creator(tag: int) -> bool:
    """Whether the tag reserves a block of private elements (PS3.5 7.8.1)."""
    return bool(tag & 0x10000) and 0x10 <= tag & 0xFFFF <= 0xFF


def implicit_vr(tag: int, creators: Creators, context: Context) -> bytes:
    """The VR by the dictionaries; UN for what they do not know."""
    if not tag & 0x10000:
        vr = _public(tag)
    elif is_private_creator(tag):
        vr = b"LO"
    else:
        creator = creators.get(tag >> 8)
        vr = _private(tag, creator) if creator else b"UN"
    return vr if len(vr) == 2 else _chosen(vr, tag, context)


def _chosen(vr: bytes, tag: int, context: Context) -> bytes:
    if vr == b"US or SS":
        return b"SS" if context.get(PIXEL_REPRESENTATION) == 1 else b"US"
    if vr == b"US or OW":
        return b"US" if context.get(LUT_DESCRIPTOR) == 1 else b"OW"
    if vr == b"OB or OW":
        bits = WAVEFORM_BITS_ALLOCATED if tag >> 16 == 0x5400 else BITS_ALLOCATED
        is_overlay = tag >> 24 == 0x60
        return b"OB" if context.get(bits, 16) <= 8 and not is_overlay else b"OW"
    return b"OW" if vr.endswith(b"OW") else b"UN"
