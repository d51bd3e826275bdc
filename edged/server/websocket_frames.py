"""The frames of messages on their way out, made once for whoever is sent the same (RFC 6455 5.2, RFC 7692).

What may live here: whole messages as the octets of one frame; pure. Strategy: a server's frames are not masked, so that
a thousand sessions can send the same octets: those of larger messages are found by the message, for a while and for as
long as any session holds them. So whoever does not read holds a reference, not a copy, however large the message is.
Invariants: KEPT_BYTES at most are kept beyond what sessions hold; what is smaller than LEAST_BYTES is never compressed.
"""

from collections import OrderedDict
from typing import Final
from weakref import WeakValueDictionary

from wsproto.frame_protocol import Opcode

from edged.server.limits import KIB, MIB
from edged.server.websocket_deflate import deflated

KEPT_BYTES: Final = 4 * MIB
LEAST_BYTES: Final = KIB  # below, what is saved of a packet is not worth the work at both ends
FIN: Final = 0x80
RSV1: Final = 0x40
SHORT: Final = 126
LONG: Final = 127

Key = tuple[str | bytes, int | None]


class Frame:
    """A message on its way out; whoever sends it holds it until it is out."""

    __slots__ = ("__weakref__", "octets")

    def __init__(self, octets: bytes) -> None:
        self.octets = octets


class Frames:
    """Makes the frames of one server's sessions."""

    def __init__(self) -> None:
        self._held: WeakValueDictionary[Key, Frame] = WeakValueDictionary()
        self._kept: OrderedDict[Key, Frame] = OrderedDict()
        self._bytes = 0

    def of(self, message: str | bytes, window_bits: int | None) -> Frame:
        """Return a whole message, of text or octets, as one frame.

        It is compressed where `window_bits` were negotiated and it becomes smaller by that.
        """
        if len(message) < LEAST_BYTES:
            return Frame(frame(message, None))
        key = message, window_bits
        found = self._held.get(key)
        if found is None:
            found = self._held[key] = Frame(frame(message, window_bits))
        self._keep(key, found)
        return found

    def _keep(self, key: Key, made: Frame) -> None:
        """Keep it for those who are sent it later; one that is larger than all that may be kept drives nothing out."""
        size = _held_bytes(key, made)
        if key in self._kept:
            self._kept.move_to_end(key)
            return
        if size > KEPT_BYTES:
            return
        self._kept[key] = made
        self._bytes += size
        while self._bytes > KEPT_BYTES:
            self._bytes -= _held_bytes(*self._kept.popitem(last=False))


def frame(message: str | bytes, window_bits: int | None) -> bytes:
    """Return a whole message as one frame that is not masked; compressed if that makes it smaller."""
    opcode, payload = (Opcode.TEXT, message.encode()) if isinstance(message, str) else (Opcode.BINARY, message)
    first = FIN | opcode
    if window_bits is not None:
        smaller = deflated(payload, window_bits)
        if len(smaller) < len(payload):
            first, payload = first | RSV1, smaller
    return bytes((first,)) + _length(len(payload)) + payload


def _length(size: int) -> bytes:
    if size < SHORT:
        return bytes((size,))
    return bytes((SHORT,)) + size.to_bytes(2) if size < 1 << 16 else bytes((LONG,)) + size.to_bytes(8)


def _held_bytes(key: Key, made: Frame) -> int:
    """What it takes to keep a frame: the message is held as well."""
    return len(key[0]) + len(made.octets)
