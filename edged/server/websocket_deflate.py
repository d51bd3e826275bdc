"""Compression of messages (RFC 7692): what of an offer is taken, and messages made smaller and larger again.

What may live here: permessage-deflate and nothing of a session; pure. Strategy: no context is kept from one message to
the next in either direction. So a message is the same for whoever is sent it, and an open session that is silent holds
no window of 32 KiB. Invariants: of a message that comes compressed no more is made than `limit_bytes` and an octet,
however small it was; a frame of control in the middle of a message changes nothing.
"""

import re
import zlib
from dataclasses import dataclass
from typing import Final

from wsproto.extensions import Extension
from wsproto.frame_protocol import CloseReason, FrameDecoder, FrameProtocol, Opcode, RsvBits

NAME: Final = "permessage-deflate"
LARGEST_WINDOW: Final = 15
SMALLEST_WINDOW: Final = 9  # zlib has none of 8 bits for what it compresses
LEVEL: Final = 1  # reports repeat themselves: more effort takes twice as long and saves a tenth more
TAIL: Final = b"\x00\x00\xff\xff"  # of a flushed block; not sent (RFC 7692 7.2.1)
FINAL_TAIL: Final = b"\x00" + TAIL  # what follows a block that was the last of its stream (RFC 7692 7.2.3.4)

_TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - of HTTP
_PARAMETER: Final = re.compile(rf'[ \t]*({_TOKEN})[ \t]*(?:=[ \t]*(?:({_TOKEN})|"({_TOKEN})"))?[ \t]*')
_BITS: Final = re.compile("[89]|1[0-5]")


class OfferError(ValueError):
    """A field of offers that cannot be read."""


@dataclass(frozen=True, slots=True)
class Agreed:
    """What was negotiated: the window of what the server compresses; the client may use the largest one."""

    window_bits: int = LARGEST_WINDOW
    named: bool = False  # the client has asked for that window

    @property
    def answer(self) -> str:
        """What is said to the client of it (RFC 7692 7.1)."""
        asked = f"; server_max_window_bits={self.window_bits}" if self.named else ""
        return f"{NAME}; server_no_context_takeover; client_no_context_takeover{asked}"


def agreed_of(values: list[bytes]) -> Agreed | None:
    """Return what is taken of the extensions that a client offers; None: nothing.

    The first offer of this one that can be met is taken, other extensions are not known. Raises OfferError for what is
    no list of extensions. Source: RFC 6455 9.1, RFC 7692 5.1.
    """
    offered = [each for each in b",".join(values).split(b",") if each.strip(b" \t")]
    agreed = [_agreed(*_extension(each)) for each in offered]
    return next((each for each in agreed if each is not None), None)


def deflated(octets: bytes, window_bits: int) -> bytes:
    """Return a whole message compressed, for a frame with RSV1 (RFC 7692 7.2.1)."""
    compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, -window_bits)
    return (compressor.compress(octets) + compressor.flush(zlib.Z_SYNC_FLUSH)).removesuffix(TAIL)


class Inflating(Extension):
    """Messages that come compressed, for wsproto: frame by frame, and piece by piece of a frame."""

    name = NAME

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._inflater: zlib._Decompress | None = None  # of the message that has begun, if it is compressed
        self._left_bytes = 0
        self._control = False  # the frame is one of control

    def enabled(self) -> bool:
        """Whether it was negotiated."""
        return True

    def offer(self) -> bool | str:
        """Servers offer nothing."""
        return False

    def frame_inbound_header(
        self, proto: FrameDecoder | FrameProtocol, opcode: Opcode, rsv: RsvBits, *_: object
    ) -> CloseReason | RsvBits:
        """Return which of the reserved bits the frame may have."""
        self._control = opcode.iscontrol()
        begins = not self._control and opcode is not Opcode.CONTINUATION
        if begins:
            self._inflater = zlib.decompressobj(-LARGEST_WINDOW) if rsv.rsv1 else None
            self._left_bytes = self._limit_bytes
        return RsvBits(begins, False, False)

    def frame_inbound_payload_data(self, proto: FrameDecoder | FrameProtocol, data: bytes) -> bytes | CloseReason:
        """Return what a piece of a frame is."""
        return data if self._control or self._inflater is None else self._inflated(self._inflater, data)

    def frame_inbound_complete(self, proto: FrameDecoder | FrameProtocol, fin: bool) -> bytes | CloseReason | None:
        """Return what of a frame is known only at its end."""
        if self._control or self._inflater is None or not fin:
            return None
        inflater, self._inflater = self._inflater, None
        return self._inflated(inflater, TAIL)

    def _inflated(self, inflater: "zlib._Decompress", data: bytes) -> bytes | CloseReason:
        try:
            inflated = inflater.decompress(data, self._left_bytes + 1)
        except zlib.error:
            return CloseReason.INVALID_FRAME_PAYLOAD_DATA
        if len(inflated) > self._left_bytes:
            return CloseReason.MESSAGE_TOO_BIG
        if inflater.unused_data and not FINAL_TAIL.startswith(inflater.unused_data):  # no known sender does that
            return CloseReason.INVALID_FRAME_PAYLOAD_DATA
        self._left_bytes -= len(inflated)
        return inflated


def _extension(offer: bytes) -> tuple[str, list[tuple[str, str | None]]]:
    """The name of an extension and its parameters; raises OfferError."""
    parts = [_PARAMETER.fullmatch(each) for each in offer.decode("latin-1").split(";")]
    (name, value), *parameters = [(part[1].lower(), part[2] or part[3]) if part else ("", None) for part in parts]
    if None in parts or value is not None:
        raise OfferError("not a list of extensions")
    return name, parameters


def _agreed(name: str, parameters: list[tuple[str, str | None]]) -> Agreed | None:
    """What can be met of an offer: a parameter that is unknown, twice there or out of range makes it none."""
    if name != NAME or len(dict(parameters)) < len(parameters):
        return None
    agreed = Agreed()
    for parameter, value in parameters:
        match parameter, value:
            case "client_no_context_takeover" | "server_no_context_takeover" | "client_max_window_bits", None:
                continue
            case "client_max_window_bits", str(bits) if _BITS.fullmatch(bits):
                continue
            case "server_max_window_bits", str(bits) if _BITS.fullmatch(bits) and int(bits) >= SMALLEST_WINDOW:
                agreed = Agreed(int(bits), named=True)
            case _:
                return None
    return agreed
