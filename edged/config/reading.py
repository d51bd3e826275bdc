"""From a parsed TOML document to settings, gathering every problem on the way.

A problem is one line: the key's path, what was written, what is allowed. The reader never stops at
the first: a section with a problem is left at its default (a repeated one is left out), so that the
rest can still be read and judged, and `Reader.unclean` names the sections whose values must not be
drawn conclusions from. Settings made with problems are never given to anybody.
"""

import difflib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from edged.config.credentials import locate
from edged.config.keys import Entry, FileKey, FilesKey, Key, Table, Tables, entries
from edged.config.settings import Settings
from edged.config.unavailable import unavailable_keys, unavailable_words

S = TypeVar("S", bound=msgspec.Struct)

NOT_AVAILABLE = "not available in this version"

_USER_INFO = re.compile(r"//[^/@\"]*@")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the reader is: as people see it (`destination[archive].auth`) and without indices."""

    shown: str = ""
    section: str = ""

    def at(self, name: str) -> "_Place":
        """Return the place of a key below this one."""
        return _Place(f"{self.shown}.{name}".lstrip("."), f"{self.section}.{name}".lstrip("."))

    def item(self, label: str) -> "_Place":
        """Return the place of one copy of a repeated section."""
        return _Place(f"{self.shown}[{label}]", self.section)


class Reader:
    """Reads one document; `problems` and `unclean` are complete when `read` has returned."""

    def __init__(self, env: Mapping[str, str]) -> None:
        """Look up credentials by name in the folder that `env` tells."""
        self.problems: list[str] = []
        self.unclean: frozenset[str] = frozenset()
        self._env = env

    def read(self, document: dict[str, object]) -> Settings:
        """Read a whole document, as far as it can be."""
        fields = self._fields(Settings, document, _Place())
        names = {entry.mark.name: entry.field for entry in entries(Settings)}
        self.unclean = frozenset(name for name in document if names.get(name) not in fields)
        self.problems = [_printable(problem) for problem in self.problems]
        return Settings(**fields)

    def _fields(self, kind: type[msgspec.Struct], table: dict[str, object], place: _Place) -> dict[str, Any]:
        """Read the keys of a section: what is good of them, by the name of the field."""
        known = {entry.mark.name: entry for entry in entries(kind)}
        later = unavailable_keys(place.section)
        fields = {}
        for name, value in table.items():
            if name in later:
                self._not_available(value, place.at(name))
                continue
            if name not in known:
                self._unknown(name, place=place, known=[*known, *later])
                continue
            before = len(self.problems)
            read = self._value(known[name], value, place.at(name))
            if len(self.problems) == before or isinstance(known[name].mark, Tables):
                fields[known[name].field] = read
        for name, entry in known.items():
            if entry.required and name not in table:
                self.problems.append(f"{place.at(name).shown}: must be given")
        return fields

    def _value(self, entry: Entry, value: object, place: _Place) -> object:
        match entry.mark:
            case Key(_, read, secret):
                return self._plain(read, value, place, secret=secret)
            case FileKey():
                return self._plain(self._file, value, place)
            case FilesKey(_, keys):
                return self._plain(lambda table: self._files(keys(table), table), value, place)
            case Table(_, kind):
                return self._section(kind, value, place)
            case Tables():
                return self._sections(entry.mark, value, place)

    def _plain(self, read: Callable[[object], object], value: object, place: _Place, *, secret: bool = False) -> object:
        words = unavailable_words(place.section, value)
        self.problems += [f"{place.shown}: {_shown(word)} is {NOT_AVAILABLE}" for word in words]
        try:
            return None if words else read(value)
        except ValueError as error:
            written = "" if secret else f" = {_shown(value)}"
            self.problems.append(f"{place.shown}{written}: {error}")
            return None

    def _file(self, value: object) -> Path | None:
        return None if value == "" else locate(value, self._env)

    def _files(self, keys: tuple[str, ...], table: object) -> tuple[tuple[str, Path], ...]:
        assert isinstance(table, dict)
        return tuple((key, locate(value, self._env)) for key, value in zip(keys, table.values(), strict=True))

    def _section(self, kind: type[S], value: object, place: _Place) -> S | None:
        """Read one section; None when anything in it is wrong."""
        if not isinstance(value, dict):
            self.problems.append(f"{place.shown} = {_shown(value)}: write a section [{place.section}]")
            return None
        before = len(self.problems)
        fields = self._fields(kind, value, place)
        return kind(**fields) if len(self.problems) == before else None

    def _sections(self, mark: Tables, value: object, place: _Place) -> tuple[msgspec.Struct, ...]:
        """Read a repeated section; copies with a problem are left out."""
        if not isinstance(value, list):
            self.problems.append(f"{place.shown} = {_shown(value)}: write a section [[{place.section}]]")
            return ()
        read = [
            self._section(mark.kind, table, place.item(_label(mark, table, number)))
            for number, table in enumerate(value, start=1)
        ]
        return tuple(section for section in read if section is not None)

    def _unknown(self, name: str, *, place: _Place, known: list[str]) -> None:
        nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
        where = f"[{place.section}]" if place.section else "the file"
        hint = f"the nearest in {where} is {nearest[0]}" if nearest else f"there are none in {where}"
        self.problems.append(f"{place.at(name).shown}: unknown key; {hint}")

    def _not_available(self, value: object, place: _Place) -> None:
        """Refuse what the contract promises for later, unless it says that it is not used."""
        if value != "":
            self.problems.append(f"{place.shown}: {NOT_AVAILABLE}")


def _label(mark: Tables, table: object, number: int) -> str:
    """Return what tells one copy of a repeated section apart: its name if it has one, else its number."""
    label = table.get(mark.label) if isinstance(table, dict) else None
    return label if isinstance(label, str) and 0 < len(label) <= 64 and label.isprintable() else f"#{number}"


def _shown(value: object) -> str:
    """Return a value as it could have been written, on one line, not longer than fits there, no user in its URL."""
    written = _USER_INFO.sub("//…@", _printable(json.dumps(value, ensure_ascii=False, default=str)))
    return written if len(written) <= 72 else f"{written[:69]}..."


def _printable(text: str) -> str:
    """Return a text that does nothing to a terminal."""
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")
