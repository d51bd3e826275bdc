"""Files with secrets and certificates: where they are, and what is in them.

A setting that names a file may be a path, or, without a slash, the name of a systemd credential
(LoadCredential= in the unit), which lies in $CREDENTIALS_DIRECTORY; a name that is no credential is a
path relative to the working directory. Secrets are read when they are needed, so that a rotated one
is found without a restart; they are never part of the settings and never shown.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from edged.config.keys import FileKey, FilesKey, Table, Tables, entries
from edged.config.settings import Settings

_LONGEST_SECRET_BYTES = 64 * 1024  # a bearer token of several KiB is seen in the wild


class CredentialError(Exception):
    """A secret cannot be read; the text names the file, never what is in it."""


def locate(value: object, env: Mapping[str, str]) -> Path:
    """Return the file that a setting names; raises ValueError saying what is allowed."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("write a path, or the name of a systemd credential")
    folder = env.get("CREDENTIALS_DIRECTORY")
    if folder and "/" not in value and Path(folder, value).exists():
        return Path(folder, value)
    return Path(value)


def read_secret(path: Path) -> str:
    """Read a password or token: one line, without its end of line; raises CredentialError."""
    content = _content(path)
    try:
        secret = content.decode("ascii").rstrip("\r\n")
    except UnicodeDecodeError:
        raise CredentialError(f"{path}: not ASCII") from None
    if not secret or not secret.isprintable() or len(content) > _LONGEST_SECRET_BYTES:
        raise CredentialError(f"{path}: not one line of visible characters")
    return secret


def read_secret_lines(path: Path) -> bytes:
    """Read a secret of several lines, such as a private key; raises CredentialError."""
    content = _content(path)
    if len(content) > _LONGEST_SECRET_BYTES:
        raise CredentialError(f"{path}: longer than {_LONGEST_SECRET_BYTES} bytes")
    return content


def _content(path: Path) -> bytes:
    """Read a file, and of one that is too long one byte more than is allowed."""
    try:
        with path.open("rb") as file:
            return file.read(_LONGEST_SECRET_BYTES + 1)
    except OSError as error:
        raise CredentialError(f"{path}: {error.strerror}") from None


def missing_files(settings: Settings) -> list[str]:
    """Return one line for each file that the settings name and that cannot be read now."""
    return [f"{key}: {path} is not a readable file" for key, path in _files(settings) if not _readable(path)]


def _files(section: msgspec.Struct, prefix: str = "") -> Iterator[tuple[str, Path]]:
    for entry in entries(type(section)):
        value = getattr(section, entry.field)
        place = f"{prefix}{entry.mark.name}"
        match entry.mark:
            case FileKey() if value is not None:
                yield place, value
            case FilesKey():
                yield from ((f"{place}.{key}", path) for key, path in value)
            case Table():
                yield from _files(value, f"{place}.")
            case Tables(_, _, label):
                for inner in value:
                    yield from _files(inner, f"{place}[{getattr(inner, label)}].")


def _readable(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            file.read(1)
    except OSError:
        return False
    return True
