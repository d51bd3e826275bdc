"""The places a data set reader can be in: a data set or item, a sequence, the fragments of pixel data.

A frame is the reader's state for one of them, and knows how the elements in it are encoded. Here are also the
element headers, read for any encoding (PS3.5 7.1, 7.5), and the canonical items and delimiters.
"""

import enum
from struct import Struct
from typing import Final, Self

from edged.dicom.dictionary import Context, implicit_vr
from edged.dicom.vr import LONG_VRS, SHORT_VRS, looks_like_vr

ITEM: Final = 0xFFFEE000
ITEM_DELIMITATION: Final = 0xFFFEE00D
SEQUENCE_DELIMITATION: Final = 0xFFFEE0DD

_TRIPLE = Struct("<HHL").pack
OPEN_ITEM: Final = _TRIPLE(0xFFFE, 0xE000, 0xFFFFFFFF)
CLOSE_ITEM: Final = _TRIPLE(0xFFFE, 0xE00D, 0)
CLOSE_SEQUENCE: Final = _TRIPLE(0xFFFE, 0xE0DD, 0)

Header = tuple[int, bytes, int, int]
"""Tag, VR, length of the value, length of the header."""

ENDLESS: Final = 1 << 63
MOST_CREATORS: Final = 256
"""Private creators remembered in one data set; elements of further ones stay UN."""


def fragment_item(length: int) -> bytes:
    """The header of one fragment of encapsulated pixel data (PS3.5 A.4)."""
    return _TRIPLE(0xFFFE, 0xE000, length)


class Kind(enum.Enum):
    """What the frame holds."""

    DATA_SET = enum.auto()
    SEQUENCE = enum.auto()
    FRAGMENTS = enum.auto()


class Order:
    """The structs of one byte order."""

    __slots__ = ("long", "short", "tag")

    def __init__(self, mark: str) -> None:
        self.short = Struct(f"{mark}HH2sH").unpack_from
        self.long = Struct(f"{mark}L").unpack_from
        self.tag = Struct(f"{mark}HH").unpack_from


LITTLE: Final = Order("<")
BIG: Final = Order(">")


class Frame:
    """One open data set, sequence or run of fragments.

    `end` is its offset in the data set; for an undefined length the end of what encloses it, which it must not reach.
    `explicit` is None until its first element shows it: an item of an explicit data set may be implicit (PS3.5 6.2.2).
    """

    __slots__ = ("context", "creators", "end", "explicit", "has_length", "kind", "order")

    def __init__(self, kind: Kind, end: int, order: Order) -> None:
        self.kind = kind
        self.end = end
        self.has_length = False
        self.order = order
        self.explicit: bool | None = None
        self.creators: dict[int, str] = {}
        self.context: Context = {}

    def child(self, kind: Kind, end: int | None) -> Self:
        """A frame inside this one; `end` is None for an undefined length."""
        inner = type(self)(kind, self.end if end is None else end, self.order)
        inner.has_length = end is not None
        inner.context = self.context
        if kind is not Kind.DATA_SET or not self.explicit:
            inner.explicit = self.explicit
        return inner

    def remember_creator(self, tag: int, name: bytes) -> None:
        """Note who reserved a block of private elements in this data set (PS3.5 7.8.1)."""
        if len(self.creators) < MOST_CREATORS:
            self.creators[tag >> 16 << 8 | tag & 0xFF] = name[:64].decode("latin-1").strip(" \0")

    def order_of_item(self, view: memoryview, at: int, *, may_be_empty: bool) -> Order | None:
        """The byte order of the item at `at`, or of the delimiter of an empty sequence; None when neither is there."""
        for order in (self.order, LITTLE):
            group, element = order.tag(view, at)
            if group == 0xFFFE and (element == 0xE000 or (may_be_empty and element == 0xE0DD)):
                return order
        return None

    def settle(self, view: memoryview, at: int, *, declares_implicit: bool) -> None:
        """Find by its first element how a whole data set is encoded, once its header is here.

        Groups begin with small numbers, and 0008H in the wrong byte order is 0800H. Two capital letters are a VR, or
        part of an implicit length of 16 KiB and more: where that was declared, they must be the VR of this very tag.
        """
        if len(view) - at < 8:
            return
        if view[at] == 0 or view[at + 1] == 0:
            self.order = LITTLE if view[at + 1] == 0 else BIG
        group, element, vr, _ = self.order.short(view, at)
        if group != 0xFFFE:
            is_certain = not declares_implicit or vr == implicit_vr(group << 16 | element, {}, {})
            self.explicit = looks_like_vr(vr) and is_certain

    def header(self, view: memoryview | bytearray, at: int) -> Header | None:
        """The header at `at`; None when the view holds less than all of it.

        The VR is empty where the element tells none: items, and elements in implicit VR.
        """
        room = len(view) - at
        if room < 8:
            return None
        group, element, vr, length = self.order.short(view, at)
        tag = group << 16 | element
        if group == 0xFFFE:
            return tag, b"", self.order.long(view, at + 4)[0], 8
        if self.explicit is None:
            self.explicit = looks_like_vr(vr)
        if self.explicit and vr in SHORT_VRS:
            return tag, vr, length, 8
        if not self.explicit or not looks_like_vr(vr):
            return tag, b"", self.order.long(view, at + 4)[0], 8
        if length and vr not in LONG_VRS:
            return tag, vr, length, 8
        if room < 12:
            return None
        return tag, vr, self.order.long(view, at + 8)[0], 12
