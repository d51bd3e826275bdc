"""docs/configure.md and the settings say the same: every key, its default, and examples that can be used."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from edged.config import parse
from edged.config.keys import Entry, FileKey, FilesKey, Key, entries, walk
from edged.config.settings import Settings
from edged.config.unavailable import ROWS, Unavailable, unavailable_keys
from edged.config.units import read_duration

_TEXT = (Path(__file__).parents[2] / "docs" / "configure.md").read_text()

_SECTION = re.compile(r"^##+ \[\[?([a-z.]+)\]\]?$")
_ROW = re.compile(r"^\| `([a-z0-9_]+)` \| (.+?) \| .{10,} \|$")
_EXAMPLES = re.findall(r"```toml\n(.*?)```", _TEXT, re.DOTALL)


def _documented() -> Iterator[tuple[str, str, str]]:
    section = ""
    for line in _TEXT.splitlines():
        if match := _SECTION.match(line):
            section = match[1]
        elif match := _ROW.match(line):
            yield section, match[1], match[2]


_ENTRIES = [(section, entry) for section, entry in walk(Settings)]
_DOCUMENTED = {f"{section}.{name}": default for section, name, default in _documented()}


def test_every_key_is_documented_once_and_in_the_order_of_the_settings() -> None:
    assert [f"{section}.{name}" for section, name, _ in _documented()] == [
        f"{section}.{entry.mark.name}" for section, entry in _ENTRIES
    ]


@pytest.mark.parametrize(("section", "entry"), _ENTRIES, ids=lambda part: getattr(part, "field", part))
def test_the_documented_default_is_the_default(section: str, entry: Entry) -> None:
    documented = _DOCUMENTED[f"{section}.{entry.mark.name}"]
    if documented == "required":
        assert entry.required
    elif documented == "not set":
        assert entry.default is None
    else:
        assert _read(entry, tomllib.loads(f"x = {documented.strip('`')}")["x"]) == entry.default


def _read(entry: Entry, value: object) -> object:
    match entry.mark:
        case Key(_, read):
            return read(value)
        case FileKey():
            assert value == ""
            return None
        case FilesKey(_, keys):
            return keys(value)
        case _:
            raise AssertionError("sections have no default of their own")


def test_every_field_that_may_be_none_can_be_written_so() -> None:
    unset = [entry for _, entry in _ENTRIES if entry.default is None and isinstance(entry.mark, Key)]
    assert {entry.field for entry in unset} > {"base_url", "capacity_bytes"}


def test_there_are_two_examples_and_they_can_be_used() -> None:
    minimal, full = (parse(example, {}) for example in _EXAMPLES)
    assert len(minimal.destinations) == 1
    assert [destination.name for destination in full.destinations] == ["archive", "research"]


def test_the_full_example_shows_every_section() -> None:
    full = parse(_EXAMPLES[-1], {})
    plain = Settings()
    shown = {name for name in plain.__struct_fields__ if getattr(full, name) != getattr(plain, name)}
    later = {entry.field for entry in entries(Settings) if entry.mark.name in unavailable_keys("")}
    assert shown == set(plain.__struct_fields__) - {"intake"} - later


@pytest.mark.parametrize("row", ROWS)
def test_what_is_not_available_is_said_to_be(row: Unavailable) -> None:
    section = row.path in {each for each, _ in _ENTRIES}
    assert section or row.path in _DOCUMENTED or f"`{row.path}`" in _TEXT
    assert row.word is None or f'`"{row.word}"`' in _TEXT


def test_units_stand_in_the_names_of_the_fields() -> None:
    for _, entry in _ENTRIES:
        if isinstance(entry.mark, Key) and entry.mark.read is read_duration:
            assert entry.field.endswith(("_s", "_seconds"))
        if entry.mark.name.startswith(("capacity", "max_instance", "max_request", "batch_bytes")):
            assert entry.field.endswith("_bytes") or entry.mark.name == "max_requests"


_ARCHIVES = re.findall(
    r"```toml\n(.*?)```", (Path(__file__).parents[2] / "docs" / "archives.md").read_text(), re.DOTALL
)


@pytest.mark.parametrize("example", _ARCHIVES)
def test_the_settings_for_archives_can_be_used(example: str) -> None:
    (destination,) = parse(example, {}).destinations
    assert destination.url.startswith("https://")
