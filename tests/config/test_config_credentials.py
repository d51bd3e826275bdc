"""Files with secrets: where they are looked for, what may be in them, which are missing."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.config import CredentialError, locate, missing_files, parse, read_secret

_CONFIG = """
[[destination]]
name = "archive"
url = "https://archive.example"
auth = {kind = "bearer", token_file = "archive-token"}
tls = {ca = "/nowhere/ca.pem"}
"""


def test_a_name_is_a_credential_if_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "archive-token").write_text("secret")
    env = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert locate("archive-token", env) == tmp_path / "archive-token"
    assert locate("other", env) == Path("other")
    assert locate("./archive-token", env) == Path("archive-token")
    assert locate("archive-token", {}) == Path("archive-token")
    (destination,) = parse(_CONFIG, env).destinations
    assert destination.auth.token_file == tmp_path / "archive-token"


def test_a_secret_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(b"opens = sesame\r\n")
    assert read_secret(file) == "opens = sesame"


@pytest.mark.parametrize("content", [b"", b"\n", b"two\nlines", b"\xff", b"a\0b", b"x" * 70_000])
def test_what_is_no_secret_is_refused_without_showing_it(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "secret"
    file.write_bytes(content)
    with pytest.raises(CredentialError) as refused:
        read_secret(file)
    assert str(refused.value).startswith(f"{file}: not ")
    assert "lines" not in str(refused.value).removeprefix(f"{file}: not one line of visible characters")


def test_a_secret_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CredentialError, match="No such file or directory"):
        read_secret(tmp_path / "secret")


def test_missing_files_are_named_with_their_keys(tmp_path: Path) -> None:
    (tmp_path / "archive-token").write_text("secret")
    settings = parse(_CONFIG, {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert missing_files(settings) == [
        "destination[archive].tls.ca: /nowhere/ca.pem is not a readable file",
    ]


@given(st.binary(max_size=40))
def test_a_secret_or_a_credential_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "any-secret"
    file.write_bytes(content)
    try:
        secret = read_secret(file)
    except CredentialError:
        return
    assert secret.isprintable()
