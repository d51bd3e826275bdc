"""One file becomes settings: defaults, the environment, finding the file, and one kind of error."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.config import ConfigError, default_settings, find, load, parse
from edged.config.choices import Proof, ReasonVerdict, Role
from edged.config.settings import Settings

_FULL = """
[box]
name = "north wing"
data_dir = "/var/lib/edged"
[origin]
bind = ["https://0.0.0.0:8443", "unix:/run/edged/web.sock", "fd://3"]
base_path = "/dicom-web/"
base_url = "https://edge.example/dicom-web/"
certificate = "/etc/edged/tls.pem"
private_key = "/etc/edged/tls.key"
max_instance = "2 GB"
[access]
anonymous = []
[[access.token]]
name = "ct-room-2"
sha256 = "AB00000000000000000000000000000000000000000000000000000000000000"
roles = ["store", "read"]
[store]
capacity = "16GiB"
keep_committed = "36h"
[[destination]]
name = "archive"
url = "https://archive.example/dicom-web/"
commitment = ["dicomweb", "search"]
batch_seconds = 2.5
max_request = "500MB"
headers = { X-Site = "north", "X-Box" = "1" }
reasons = { A710 = "later", 272 = "verify", 0122H = "park" }
[destination.auth]
kind = "basic"
username = "edge"
password_file = "/etc/edged/password"
[destination.tls]
ca = "/etc/edged/ca.pem"
"""


def test_an_empty_file_is_a_whole_configuration() -> None:
    assert default_settings({}) == Settings()


def test_every_kind_of_value() -> None:
    settings = parse(_FULL, {})
    (archive,) = settings.destinations
    assert settings.origin.base_path == "/dicom-web"
    assert settings.origin.base_url == "https://edge.example/dicom-web"
    assert settings.origin.max_instance_bytes == 2 * 10**9
    assert settings.access.anonymous == ()
    assert settings.access.tokens[0].sha256.startswith("ab00")
    assert settings.access.tokens[0].roles == (Role.STORE, Role.READ)
    assert settings.store.capacity_bytes == 16 * 2**30
    assert settings.store.keep_committed_s == 36 * 3600
    assert archive.url == "https://archive.example/dicom-web"
    assert archive.commitment == (Proof.DICOMWEB, Proof.SEARCH)
    assert archive.batch_seconds == 2.5
    assert archive.max_request_bytes == 500_000_000
    assert archive.headers == (("x-site", "north"), ("x-box", "1"))
    assert archive.reasons == {
        0xA710: ReasonVerdict.LATER,
        272: ReasonVerdict.VERIFY,
        0x0122: ReasonVerdict.PARK,
    }
    assert archive.tls.ca == Path("/etc/edged/ca.pem")


def test_the_environment_tells_where_the_box_lives() -> None:
    env = {"STATE_DIRECTORY": "/var/lib/edged:/var/lib/other", "RUNTIME_DIRECTORY": "/run/edged"}
    box = default_settings(env).box
    assert box.data_dir == Path("/var/lib/edged")
    assert box.control == Path("/run/edged/control.sock")


def test_the_file_comes_before_the_environment() -> None:
    box = parse('[box]\ndata_dir = "/srv/box"', {"STATE_DIRECTORY": "/var/lib/edged"}).box
    assert box.data_dir == Path("/srv/box")
    assert box.control == Path("/srv/box/control.sock")


def test_settings_are_frozen() -> None:
    with pytest.raises(AttributeError):
        default_settings({}).box.name = "another"  # type: ignore[misc]


def test_the_file_is_found_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    named, local = Path("/nowhere/named.toml"), Path("edged.toml")
    assert find(named, {"EDGED_CONFIG": "/nowhere/env.toml"}) == named
    assert find(None, {"EDGED_CONFIG": "/nowhere/env.toml"}) == Path("/nowhere/env.toml")
    assert find(None, {}) in {None, Path("/etc/edged/edged.toml")}
    local.write_text("")
    assert find(None, {}) == local


def test_a_file_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file or directory"):
        load(tmp_path / "missing.toml")
    file = tmp_path / "edged.toml"
    file.write_bytes(b"name = '\xff'")
    with pytest.raises(ConfigError, match=r"not UTF-8 text \(byte 8\)"):
        load(file)
    file.write_bytes(b"#" * 2**21)
    with pytest.raises(ConfigError, match="larger than 1 MiB"):
        load(file)
    file.write_text("[store]\ncapacity = \n")
    with pytest.raises(ConfigError, match=r"not a TOML file: .*line 2"):
        load(file)
    file.write_text('[store]\ncapacity = "1GiB"\n')
    assert load(file).store.capacity_bytes == 2**30


@pytest.mark.parametrize("text", ["a = " + "[" * 50_000, "a = " + "9" * 5000, "a.b = 1\na.b.c = 2", "\0"])
def test_texts_that_break_parsers_are_errors_of_ours(text: str) -> None:
    with pytest.raises(ConfigError, match="not a TOML file"):
        parse(text, {})


_SECTIONS = st.sampled_from(
    ["box", "origin", "access", "store", "destination", "commitment", "notifications", "intake", "x"]
)
_KEYS = st.sampled_from(
    ["name", "url", "bind", "token", "auth", "tls", "kind", "capacity", "roles", "headers", "reasons", "rate", "y"]
)
_VALUES = st.recursive(
    st.one_of(st.text(st.characters(codec="utf-8"), max_size=8), st.integers(), st.floats(), st.booleans(), st.dates()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_KEYS, inner, max_size=3)),
    max_leaves=6,
)


@given(st.dictionaries(_SECTIONS, _VALUES, max_size=3))
def test_settings_or_a_config_error_from_any_document(document: dict[str, object]) -> None:
    _settings_or_error("\n".join(f"{key} = {_toml(value)}" for key, value in document.items()))


@given(st.text(max_size=60))
def test_settings_or_a_config_error_from_any_text(text: str) -> None:
    _settings_or_error(text)


@given(st.data())
def test_settings_or_a_config_error_from_a_file_with_one_line_changed(data: st.DataObject) -> None:
    lines = _FULL.splitlines()
    lines[data.draw(st.integers(0, len(lines) - 1))] = data.draw(st.text(max_size=20))
    _settings_or_error("\n".join(lines))


def _settings_or_error(text: str) -> None:
    problems: list[str] = []
    try:
        settings = parse(text, {})
    except ConfigError as error:
        problems = error.problems
    else:
        assert isinstance(settings, Settings)
    assert all(problem.isprintable() for problem in problems)


def _toml(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return '"' + "".join(f"\\U{ord(c):08x}" for c in value) + '"'
        case list():
            return "[" + ", ".join(_toml(one) for one in value) + "]"
        case dict():
            return "{" + ", ".join(f"{key} = {_toml(one)}" for key, one in value.items()) + "}"
        case _:
            return str(value)
