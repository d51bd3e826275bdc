"""Output as edits of the input: what is not replaced leaves as slices of what was fed, without a copy.

`Edits` holds one piece of input at a time and the position in it, and passes values of any length through: kept,
dropped, or with their numbers in the other byte order. It knows no structure; `dataset.py` does.
Invariant: between two pieces of input it holds no more than the bytes that the reader did not take yet.
"""

from array import array
from typing import Final

Piece = bytes | memoryview

DROP: Final = 0
KEEP: Final = 1
_ARRAYS: Final[dict[int, str]] = {2: "H", 4: "I", 8: "Q"}


def swapped(raw: bytes | memoryview, width: int) -> bytes:
    """The same numbers of `width` bytes in the other byte order; an incomplete last one stays as it is."""
    whole = len(raw) - len(raw) % width
    numbers = array(_ARRAYS[width])
    numbers.frombytes(raw[:whole])
    numbers.byteswap()
    return numbers.tobytes() + bytes(raw[whole:])


class Edits:
    """One piece of input, the position `at` in it, the `pieces` of output so far, and what is `left` of a value.

    `has_edits` says whether anything was replaced; who wants to know from when on clears it.
    """

    __slots__ = ("_kept", "_mode", "at", "has_edits", "left", "pieces", "view")

    def __init__(self) -> None:
        self.view = memoryview(b"")
        self.at = 0
        self.pieces: list[Piece] = []
        self._kept = 0
        self.left = 0
        self.has_edits = False
        self._mode = KEEP

    def begin(self, view: memoryview) -> None:
        """Go on with the next piece of input."""
        self.view = view
        self.at = self._kept = 0

    def end(self) -> bytes:
        """Give out what was kept; returns the bytes that were not taken."""
        self.replace(self.at, self.at, b"")
        rest = bytes(self.view[self.at :])
        self.view = memoryview(b"")
        return rest

    def replace(self, start: int, end: int, new: bytes) -> None:
        """Give out `new` instead of the input from `start` to `end`."""
        if start > self._kept:
            self.pieces.append(self.view[self._kept : start])
        if new:
            self.pieces.append(new)
        self.has_edits = self.has_edits or bool(new) or end > start
        self._kept = end

    def value(self, length: int, mode: int) -> None:
        """The next `length` bytes are a value; `mode` is DROP, KEEP, or the width of the numbers to swap."""
        self.left = length
        self._mode = mode

    def pass_unseen(self, size: int) -> bool:
        """Take the next `size` bytes, which were not begun, if all of them are a value's and leave as they are."""
        if size > self.left or self._mode != KEEP:
            return False
        self.left -= size
        return True

    def pass_value(self) -> bool:
        """Take what is here of the value; False when more of it is needed first."""
        at = self.at
        have = min(len(self.view) - at, self.left)
        if self._mode > KEEP and have < self.left:
            have -= have % self._mode
        if not have:
            return False
        if self._mode != KEEP:
            new = b"" if self._mode == DROP else swapped(self.view[at : at + have], self._mode)
            self.replace(at, at + have, new)
        self.at = at + have
        self.left -= have
        return True
