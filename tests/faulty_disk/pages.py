"""Making pages of a store unreadable: the file is cut off under them, and whoever touches them gets SIGBUS.

Or one page is found for the shim to call lost: that one LMDB can free, since it looks into the first page of a chunk.
"""

from pathlib import Path
from typing import IO

PAGE = 4096
SEARCHED_BYTES = 64 << 20


def cut_under(data: Path, fill: bytes, share: float = 0.5) -> None:
    """Cut a store off within the chunks that hold this byte, behind a share of them; nothing else may be there."""
    with data.open("r+b") as file:
        pages = _pages(file)
        lost = [number for number, page in enumerate(pages) if page.count(fill) > PAGE // 2]
        first = lost[int(len(lost) * share)]
        assert all(page.count(fill) > PAGE // 2 or not any(page) for page in pages[first:])
        file.truncate(first * PAGE)


def page_within(data: Path, fill: bytes, share: float = 0.5) -> int:
    """The number of a page of a store that holds nothing but this byte, so that no chunk begins in it."""
    with data.open("rb") as file:
        whole = [number for number, page in enumerate(_pages(file)) if page.count(fill) == PAGE]
    return whole[int(len(whole) * share)]


def _pages(file: IO[bytes]) -> list[bytes]:
    return [file.read(PAGE) for _ in range(SEARCHED_BYTES // PAGE)]
