"""Many followers of one box in a process of their own, for the section on events; one of them may read nothing.

`python -m tests.bench.events_followers PORT COUNT STALLED` connects, prints `connected`, and acknowledges every report.
Each line of its standard input is the number of an event: when all but the stalled have been told of it, or at the end
of a deadline, it prints when reports came, as JSON: of each follower a list of (first event, last event, seconds of the
machine's monotonic clock). What comes is the same octets for all, so that each message is looked into once.
"""

import json
import re
import socket
import sys
import time
import zlib

import trio

WITHIN_S = 120.0
ACKNOWLEDGEMENT = b"\x82\x81\0\0\0\0" + b"1"
STALLED_WINDOW = 4096
NUMBERS = re.compile(rb'"0099100([12])":\{"vr":"UV","Value":\["?(\d+)')
HEAD = (
    "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Extensions: permessage-deflate\r\nAccept: application/dicom+json\r\n\r\n"
)
LONG, LONGER = 126, 127
TEXT, COMPRESSED_TEXT, PING = 0x81, 0xC1, 0x89

Came = tuple[int, int, float]


class Followers:
    """All of them; `known` has the numbers of every message that was seen."""

    def __init__(self) -> None:
        self.came: list[list[Came]] = []
        self.known: dict[bytes, tuple[int, int]] = {}
        self.told = trio.Event()

    async def follow(self, number: int, stream: trio.SocketStream) -> None:
        """Read and acknowledge for ever."""
        came: list[Came] = []
        self.came.append(came)
        held = bytearray()
        while data := await stream.receive_some(1 << 18):
            held += data
            now, answers = time.monotonic(), 0
            while (found := _frame(held)) is not None:
                opcode, payload = found
                if opcode in {TEXT, COMPRESSED_TEXT}:
                    came.append((*self._numbers(opcode, payload), now))
                    answers += 1
            if answers:
                await stream.send_all(ACKNOWLEDGEMENT * answers)
                self.told.set()

    def _numbers(self, opcode: int, payload: bytes) -> tuple[int, int]:
        if (found := self.known.get(payload)) is None:
            text = payload
            if opcode == COMPRESSED_TEXT:
                text = zlib.decompressobj(-zlib.MAX_WBITS).decompress(payload + b"\0\0\xff\xff")
            numbers = {each[1]: int(each[2]) for each in NUMBERS.finditer(text)}
            found = self.known[payload] = numbers[b"2"], numbers[b"1"]
        return found

    async def wait(self, last: int) -> None:
        """Wait until everybody was told of an event."""
        with trio.move_on_after(WITHIN_S):
            while not all(came and came[-1][1] >= last for came in self.came):
                self.told = trio.Event()
                await self.told.wait()


def _frame(held: bytearray) -> tuple[int, bytes] | None:
    """Take the first frame off what was read: of a server, so that it is not masked."""
    if len(held) < 2:
        return None
    size, begin = held[1], 2
    if size == LONG:
        size, begin = int.from_bytes(held[2:4]), 4
    elif size == LONGER:
        size, begin = int.from_bytes(held[2:10]), 10
    if len(held) < begin + size or len(held) < begin:
        return None
    opcode, payload = held[0], bytes(held[begin : begin + size])
    del held[: begin + size]
    return opcode, payload


async def _open(port: int, number: int, *, stalled: bool) -> trio.SocketStream:
    plain = trio.socket.socket()
    if stalled:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, STALLED_WINDOW)
    await plain.connect(("127.0.0.1", port))
    stream = trio.SocketStream(plain)
    path = "/" if stalled else f"/subscribers/follower-{number}"  # without a name there is no bound of what is sent
    await stream.send_all((HEAD % path).encode())
    head = b""
    while b"\r\n\r\n" not in head:
        head += await stream.receive_some(1)
    if not head.startswith(b"HTTP/1.1 101 "):
        raise SystemExit(head.decode())
    return stream


async def _run(port: int, count: int, stalled: int) -> None:
    followers = Followers()
    async with trio.open_nursery() as nursery:
        streams = [await _open(port, number, stalled=number < stalled) for number in range(count)]
        for number, stream in enumerate(streams[stalled:], stalled):
            nursery.start_soon(followers.follow, number, stream)
        print("connected", flush=True)
        while line := await trio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True):
            await followers.wait(int(line))
            print(json.dumps(followers.came), flush=True)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(_run, int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
