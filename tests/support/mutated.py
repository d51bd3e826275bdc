"""Octets that were requests, or never were: pieces deleted, doubled, replaced, taken from elsewhere.

What may live here: how requests are damaged; which ones is each test's. The same `random_` gives the same.
"""

import random
from collections.abc import Sequence

from tests.support.http2_raw import PREFACE, settings

TOKENS = [b"\r\n", b"\r", b"\n", b":", b" ", b"\x00", b"0", b"ffffffff", b"\xff" * 9, b"Content-Length: 1\r\n", b"%"]


def mutated_octets(random_: random.Random, whole: Sequence[bytes]) -> bytes:
    """One of the requests `whole` after some accidents, or noise."""
    if random_.random() < 0.05:
        return random_.randbytes(random_.randrange(1, 3000))
    octets = bytearray(random_.choice(whole))
    for _ in range(random_.randrange(6)):
        at = random_.randrange(len(octets) + 1)
        end = min(len(octets), at + random_.randrange(1, 20))
        match random_.randrange(5):
            case 0:
                del octets[at:end]
            case 1:
                octets[at:at] = random_.choice(TOKENS)
            case 2:
                octets[at:end] = random_.randbytes(end - at)
            case 3:
                octets[at:at] = octets[at:end] * random_.choice([1, 2, 1000])
            case _:
                octets[at:] = random_.choice(whole)[at:]
    return bytes(octets)


def mutated_frames(random_: random.Random, frames: Sequence[bytes]) -> bytes:
    """An HTTP/2 connection that begins well, and then has `frames` in any order, some of them damaged."""
    pieces = [PREFACE, settings()] if random_.random() < 0.95 else [PREFACE]
    for _ in range(random_.randrange(1, 20)):
        octets = bytearray(random_.choice(frames))
        at = random_.randrange(len(octets))
        match random_.randrange(10):
            case 0:
                octets[at] = random_.randrange(256)
            case 1:
                octets[random_.randrange(9)] = random_.randrange(256)
            case 2:
                octets[8] = random_.randrange(20)  # another stream
            case 3:
                octets[at:at] = random_.randbytes(random_.randrange(20))
            case 4:
                del octets[at:]
            case 5:
                octets = bytearray(random_.randbytes(random_.randrange(200)))
            case 6:
                octets *= random_.choice([2, 50])
        pieces.append(bytes(octets))
    return b"".join(pieces)
