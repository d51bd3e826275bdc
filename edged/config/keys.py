"""How a setting says what it is called in the file and what it may be.

Every field of a settings struct is annotated with one of five marks: `Key` (a value and its reader),
`FileKey` (a file, or a systemd credential by name), `FilesKey` (a table of such), `Table` (a section) or
`Tables` (a repeated section). That annotation is the only place where a key is declared: the reader, the list of known
keys and the check of the documentation all walk it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import get_type_hints

import msgspec


@dataclass(frozen=True, slots=True)
class Key:
    """A value: its name in the file, and its reader, which raises ValueError saying what is allowed.

    What was written for a key that is `secret` is never shown: somebody may have written the secret itself there.
    """

    name: str
    read: Callable[[object], object]
    secret: bool = False


@dataclass(frozen=True, slots=True)
class FileKey:
    """A file: a path, or without a slash the name of a systemd credential; "" is none."""

    name: str


@dataclass(frozen=True, slots=True)
class FilesKey:
    """A table of files: `read` takes the table and gives its keys, as they are to be, in order; raises ValueError."""

    name: str
    read: Callable[[object], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Table:
    """A section of its own."""

    name: str
    kind: type[msgspec.Struct]


@dataclass(frozen=True, slots=True)
class Tables:
    """A section that may come several times; `label` is the key that tells its copies apart in messages."""

    name: str
    kind: type[msgspec.Struct]
    label: str = "name"


Mark = Key | FileKey | FilesKey | Table | Tables


@dataclass(frozen=True, slots=True)
class Entry:
    """One field of a settings struct, with its mark; a default of NODEFAULT means that it must be given."""

    field: str
    mark: Mark
    default: object

    @property
    def required(self) -> bool:
        """Whether the key must be given."""
        return self.default is msgspec.NODEFAULT


@cache
def entries(kind: type[msgspec.Struct]) -> tuple[Entry, ...]:
    """Return the entries of a settings struct, in the order of its fields."""
    hints = get_type_hints(kind, include_extras=True)
    found = []
    for field in msgspec.structs.fields(kind):
        (mark,) = hints[field.name].__metadata__
        found.append(Entry(field=field.name, mark=mark, default=field.default))
    return tuple(found)


def walk(kind: type[msgspec.Struct], section: str = "") -> Iterator[tuple[str, Entry]]:
    """Yield each key below a settings struct with the path of its section, sections being walked into."""
    for entry in entries(kind):
        match entry.mark:
            case Table(name, inner) | Tables(name, inner):
                yield from walk(inner, f"{section}.{name}" if section else name)
            case _:
                yield section, entry
