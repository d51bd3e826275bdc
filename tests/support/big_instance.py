"""Instances of gigabytes that are never in memory: made while they are sent, judged while they come back.

The data set is a multi-frame image whose pixel data is one block over and over, so that any part of it can be told by
its place. Explicit and Implicit VR Little Endian are made from the same elements, so that both are the same data set.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import trio

from edged.dicom import uids
from tests.support.dicom_samples import plain, ui

BLOCK = bytes(range(256)) * 4096
"""1 MiB."""

_BOUNDARY = b"big"
_HEAD = b"--big\r\nContent-Type: application/dicom\r\n\r\n"
_TAIL = b"\r\n--big--\r\n"
_MULTIFRAME = "1.2.840.10008.5.1.4.1.1.7.3"
_PIXEL_DATA = 0x7FE00010
_RECEIVE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class BigInstance:
    """A multi-frame image with `blocks` frames of 1 MiB; `implicit` is how it is sent."""

    uid: str
    blocks: int
    implicit: bool = False
    study: str = "1.2.826.0.1.77"

    @property
    def head(self) -> bytes:
        """The file up to the value of Pixel Data."""
        syntax = uids.IMPLICIT_VR_LITTLE_ENDIAN if self.implicit else uids.EXPLICIT_VR_LITTLE_ENDIAN
        meta = ui(0x00020010, syntax)
        length = plain(0x00020000, b"UL", len(meta).to_bytes(4, "little"))
        return bytes(128) + b"DICM" + length + meta + b"".join(map(self._element, self._values())) + self._pixels()

    @property
    def length(self) -> int:
        """Bytes of the file."""
        return len(self.head) + self.blocks * len(BLOCK)

    def _values(self) -> list[tuple[int, bytes, bytes]]:
        number = (512).to_bytes(2, "little")
        return [
            (0x00080016, b"UI", _padded(_MULTIFRAME)),
            (0x00080018, b"UI", _padded(self.uid)),
            (0x0020000D, b"UI", _padded(self.study)),
            (0x0020000E, b"UI", _padded(f"{self.study}.1")),
            (0x00280002, b"US", (1).to_bytes(2, "little")),
            (0x00280004, b"CS", b"MONOCHROME2 "),
            (0x00280008, b"IS", f"{2 * self.blocks:<12}".encode()),
            (0x00280010, b"US", number),
            (0x00280011, b"US", number),
            (0x00280100, b"US", (16).to_bytes(2, "little")),
            (0x00280101, b"US", (16).to_bytes(2, "little")),
            (0x00280102, b"US", (15).to_bytes(2, "little")),
            (0x00280103, b"US", (0).to_bytes(2, "little")),
        ]

    def _element(self, element: tuple[int, bytes, bytes]) -> bytes:
        tag, vr, value = element
        return _tag(tag) + len(value).to_bytes(4, "little") + value if self.implicit else plain(tag, vr, value)

    def _pixels(self) -> bytes:
        size = (self.blocks * len(BLOCK)).to_bytes(4, "little")
        return _tag(_PIXEL_DATA) + (size if self.implicit else b"OW\0\0" + size)

    def body(self) -> Iterator[bytes]:
        """The pieces of a Store request's body."""
        yield _HEAD + self.head
        for _ in range(self.blocks):
            yield BLOCK
        yield _TAIL

    @property
    def body_length(self) -> int:
        """Bytes of the body."""
        return len(_HEAD) + self.length + len(_TAIL)


def _tag(tag: int) -> bytes:
    return (tag >> 16).to_bytes(2, "little") + (tag & 0xFFFF).to_bytes(2, "little")


def _padded(text: str) -> bytes:
    return text.encode() + b"\0" * (len(text) % 2)


async def store(port: int, instance: BigInstance) -> bytes:
    """Send a Store request that is made while it is sent; the whole answer."""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        head = (
            b"POST /studies HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAccept: application/dicom+json\r\n"
            b'Content-Type: multipart/related; type="application/dicom"; boundary=%s\r\nContent-Length: %d\r\n\r\n'
        )
        await stream.send_all(head % (_BOUNDARY, instance.body_length))
        for piece in instance.body():
            await stream.send_all(piece)
        answer = bytearray()
        while data := await stream.receive_some(_RECEIVE_BYTES):
            answer += data
        return bytes(answer)


async def retrieve(port: int, instance: BigInstance) -> tuple[bytes, int, bool]:
    """Retrieve an instance: the answer's head, the bytes of its body, and whether the last frame is as it was sent."""
    path = f"/studies/{instance.study}/series/{instance.study}.1/instances/{instance.uid}"
    request = (
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        'Accept: multipart/related; type="application/dicom"; transfer-syntax=*\r\n\r\n'
    )
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(request.encode())
        received = bytearray()
        while b"\r\n\r\n" not in received:
            received += await stream.receive_some(_RECEIVE_BYTES)
        head, _, rest = bytes(received).partition(b"\r\n\r\n")
        size, tail = len(rest), rest
        while data := await stream.receive_some(_RECEIVE_BYTES):
            size += len(data)
            tail = (tail + bytes(data))[-len(BLOCK) - 200 :]
    return head, size, hashlib.sha256(BLOCK).digest() == hashlib.sha256(_last_block(tail)).digest()


def _last_block(tail: bytes) -> bytes:
    """The 1 MiB before the last delimiter."""
    end = tail.rindex(b"\r\n--", 0, len(tail) - 4)
    return tail[end - len(BLOCK) : end]
