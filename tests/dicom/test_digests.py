"""Digests of what is short, taken without letting go of the interpreter."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from edged.dicom.digests import new_digest, update_short

# hashlib keeps the interpreter below this (HASHLIB_GIL_MINSIZE of Modules/hashlib.h).
_LETS_GO = 2048


class _Watched:
    """A digest that notes how much it is given at once."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def update(self, data: bytes | memoryview, /) -> None:
        self.sizes.append(len(data))


@given(
    sizes=st.lists(st.one_of(st.integers(0, 5_000), st.sampled_from([1984, 1985, 2047, 2048, 32_768, 32_769, 70_000])))
)
def test_the_digest_is_that_of_the_bytes(sizes: list[int]) -> None:
    data = bytes(i * 7 & 0xFF for i in range(sum(sizes)))
    digest, at = new_digest(), 0
    for size in sizes:
        update_short(digest, memoryview(data)[at : at + size])
        at += size
    assert digest.digest() == hashlib.sha256(data).digest()


def test_what_is_short_is_hashed_without_letting_go_and_what_is_long_at_once() -> None:
    for size in (0, 1, 1984, 2048, 10_000, 32_768):
        digest = _Watched()
        update_short(digest, bytes(size))
        assert sum(digest.sizes) == size
        assert all(given < _LETS_GO for given in digest.sizes)
    digest = _Watched()
    update_short(digest, bytes(1 << 20))
    assert digest.sizes == [1 << 20]
