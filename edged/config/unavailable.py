"""What the configuration contract promises and this version does not have yet.

One table. Whoever adds a part deletes its rows here; where the key or the word is not in `settings` or
`choices` yet, it is added there and documented. A row without a word refuses the key or the section,
whatever it says, except for the empty text that means "not used"; a row with a word refuses that word
alone, also within a list. A setting that is read and has no effect would be worse than none.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Unavailable:
    """One key, by its path without indices, and the word if only that is meant."""

    path: str
    word: str | None = None


ROWS = (
    Unavailable("access.plain_off_loopback", "dimse"),
    Unavailable("destination.commitment", "dimse"),
    # the other ways in
    Unavailable("intake.serial"),
    Unavailable("intake.folder"),
    Unavailable("intake.dimse"),
)


def unavailable_words(path: str, value: object) -> list[str]:
    """Return the words within `value` that this version does not have yet for the key at `path`."""
    words = {row.word for row in ROWS if row.path == path and row.word is not None}
    given = value if isinstance(value, list) else [value]
    return [word for word in given if isinstance(word, str) and word in words]


def unavailable_keys(section: str) -> list[str]:
    """Return the names of the keys of a section that this version does not have yet."""
    parents = [(row.path.rpartition("."), row.word) for row in ROWS]
    return [name for (parent, _, name), word in parents if parent == section and word is None]
