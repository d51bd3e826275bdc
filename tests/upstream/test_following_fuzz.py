"""Whatever a server says after a good handshake: it ends in Trouble or is refused, and the follower goes on."""

import hashlib
import re
from base64 import b64encode

import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from tests.support.following_kit import Script, Seen, in_memory, report
from tests.support.memory_wire import Half

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
MESSAGE = report(1).encode()
TEXT = b"\x81\x7e" + len(MESSAGE).to_bytes(2, "big") + MESSAGE
FRAMES = (TEXT, b"\x01\x01a", b"\x80\x00", b"\x82\x02{}", b"\x89\x02hi", b"\x8a\x00", b"\x88\x02\x03\xe8", b"\x88\x00")

OCTETS = st.lists(st.one_of(st.sampled_from(FRAMES), st.binary(max_size=40)), max_size=12)


def speaking(pieces: list[bytes]) -> Script:
    """A script that accepts and then says some octets, piece by piece."""

    async def script(half: Half) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += await half.receive_some()
        found = re.search(rb"(?i)sec-websocket-key: *(\S+)", head)
        assert found is not None
        key = b64encode(hashlib.sha1(found[1] + GUID, usedforsecurity=False).digest())
        accepted = (
            b"HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Type: application/dicom+json\r\n"
        )
        try:
            await half.send_all(accepted + b"Sec-WebSocket-Accept: " + key + b"\r\n\r\n")
            for piece in pieces:
                await half.send_all(piece)
                await trio.sleep(0.1)
        except trio.BrokenResourceError:
            return
        await half.aclose()

    return script


async def follow_twice(pieces: list[bytes]) -> Seen:
    seen = Seen(troubles=2)
    async with in_memory(speaking(pieces)) as source:
        await seen.see(source)
    return seen


@given(OCTETS, st.booleans())
def test_any_octets(pieces: list[bytes], by_one: bool) -> None:
    if by_one:
        pieces = [bytes([octet]) for octet in b"".join(pieces)]
    seen = trio.run(follow_twice, pieces, clock=trio.testing.MockClock(autojump_threshold=0))
    assert len(seen.lost_) == 2
    assert {followed.report.last for followed in seen.followed} <= {1, None}


def test_a_report_in_octets_one_by_one() -> None:
    pieces = [bytes([octet]) for octet in TEXT]
    seen = trio.run(follow_twice, pieces, clock=trio.testing.MockClock(autojump_threshold=0))
    assert seen.numbers == [(1, 1), (1, 1)]
