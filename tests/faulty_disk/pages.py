"""Making pages of a store unreadable: the file is cut off under them, and whoever touches them gets SIGBUS."""

from pathlib import Path

PAGE = 4096
SEARCHED_BYTES = 64 << 20


def cut_under(data: Path, fill: bytes, share: float = 0.5) -> None:
    """Cut a store off within the chunks that hold this byte, behind a share of them; nothing else may be there."""
    with data.open("r+b") as file:
        pages = [file.read(PAGE) for _ in range(SEARCHED_BYTES // PAGE)]
        lost = [number for number, page in enumerate(pages) if page.count(fill) > PAGE // 2]
        first = lost[int(len(lost) * share)]
        assert all(page.count(fill) > PAGE // 2 or not any(page) for page in pages[first:])
        file.truncate(first * PAGE)
