"""The first part of an answer: the same however it comes in pieces, and never more than a bound."""

import pytest
import trio
from hypothesis import example, given
from hypothesis import strategies as st

from edged.http.multipart import MultipartError
from edged.upstream.retrieve import OVERHEAD_BYTES, FirstPart
from tests.support.stow_kit import BOUNDARY, MULTIPART, multipart

LIMIT = 1000
INSTANCE = bytes(range(256)) + b"\r\n--part of the tes\r\n"
FIRST = multipart([INSTANCE], closing=False) + f"\r\n--{BOUNDARY}\r\n".encode()
"""An answer up to where a second part begins."""


class Gathered:
    """Takes bytes."""

    limit = LIMIT

    def __init__(self) -> None:
        self.data = b""

    async def add(self, data: bytes | memoryview) -> None:
        self.data += data


def read(content_type: str, pieces: list[bytes]) -> tuple[bytes, bool | None]:
    """What the copy gets, and whether that was the whole; None where it was refused."""
    gathered = Gathered()
    part = FirstPart(gathered)

    async def run() -> bool | None:
        if not part.wants(200, {"content-type": content_type}):
            return None
        try:
            for piece in pieces:
                await part.add(piece)
            await part.finish()
        except MultipartError:
            return None
        return part.whole

    whole = trio.run(run)
    return gathered.data, whole


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    """The data in pieces of these sizes, the last as long as it must be."""
    pieces, at = [], 0
    for size in sizes:
        pieces.append(data[at : at + size])
        at += size
    return [*pieces, data[at:]]


@given(st.lists(st.integers(0, 40)), st.sampled_from([b"", b"preamble\r\n"]), st.sampled_from([b"", b"\r\nbehind"]))
def test_however_it_is_cut(sizes: list[int], before: bytes, after: bytes) -> None:
    body = before + multipart([INSTANCE, b"second"]) + after
    assert read(MULTIPART, cut(body, sizes)) == (INSTANCE, True)
    assert read("application/dicom", cut(INSTANCE, sizes)) == (INSTANCE, True)


@pytest.mark.parametrize("behind", [":\r\n\r\n", " folded\r\n\r\n", "a" * 9000, "x: \0\r\n\r\n", "", "\r\nmore"])
def test_what_follows_the_first_part_is_not_judged(behind: str) -> None:
    for pieces in ([FIRST + behind.encode()], [FIRST, behind.encode()], [FIRST[:-1], FIRST[-1:] + behind.encode()]):
        assert read(MULTIPART, pieces) == (INSTANCE, True)


PIECES_OF_BODIES = [
    b"--" + BOUNDARY.encode(),
    b"--\r\n",
    b"\r\n",
    b":\r\n\r\n",
    FIRST,
    bytes(LIMIT),
    bytes(OVERHEAD_BYTES),
]
BODIES = st.lists(st.one_of(st.sampled_from(PIECES_OF_BODIES), st.binary(max_size=9)), max_size=12).map(b"".join)


@given(BODIES, st.lists(st.integers(0, 40), max_size=9), st.integers(0, 1 << 17))
@example(FIRST + b":\r\n\r\n", [len(FIRST)], 0)
@example(FIRST + bytes(OVERHEAD_BYTES + LIMIT), [], LIMIT)
@example(bytes(OVERHEAD_BYTES + LIMIT + 1), [], LIMIT)
def test_any_bytes_are_the_same_in_any_pieces(body: bytes, sizes: list[int], at: int) -> None:
    for content_type in (MULTIPART, "application/dicom"):
        whole = read(content_type, [body])
        assert read(content_type, cut(body, sizes)) == whole
        assert read(content_type, [body[:at], body[at:]]) == whole


def test_one_byte_at_a_time() -> None:
    assert read(MULTIPART, [bytes([each]) for each in multipart([INSTANCE])]) == (INSTANCE, True)


@given(st.integers(0, len(multipart([INSTANCE])) - 1))
def test_what_breaks_off_is_not_whole(at: int) -> None:
    data, whole = read(MULTIPART, [multipart([INSTANCE])[:at]])
    assert not whole or data == INSTANCE


@given(st.binary(max_size=300), st.sampled_from([MULTIPART, "application/dicom", "text/html", "a/b; c", ""]))
def test_anything_is_read_or_refused(body: bytes, content_type: str) -> None:
    data, _ = read(content_type, [body])
    assert data in body


def test_it_ends_somewhere() -> None:
    part = multipart([INSTANCE])
    for endless in (bytes(1 << 14), part + bytes(1 << 14), part * 100):
        pieces = [endless] * (2 * (LIMIT + OVERHEAD_BYTES) // len(endless) + 1)
        assert read(MULTIPART, pieces)[1] is None


def test_only_an_answer_with_an_instance_is_wanted() -> None:
    for status, content_type in ((404, MULTIPART), (206, MULTIPART), (200, "multipart/related"), (200, "text/html")):
        assert not FirstPart(Gathered()).wants(status, {"content-type": content_type})
    assert not FirstPart(Gathered()).wants(200, {})
