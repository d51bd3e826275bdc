"""Readers of single values: what a TOML value must look like to be taken for a setting.

A reader is a function from the parsed TOML value to the value that edged works with. It raises
ValueError, whose text says what is allowed (the caller adds where it stood), and nothing else. The
readers that need a parameter are made by a function (`choice`, `whole`, `size`). An empty text stands
for "not set" in the readers called `optional`.
"""

import re
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar
from urllib.parse import urlsplit

from edged.config.choices import ReasonVerdict
from edged.config.units import read_size, write_size

E = TypeVar("E", bound=StrEnum)

ANONYMOUS = "anonymous"
"""What the logs call whoever sends no credential."""

_NAME = re.compile(r"[a-z0-9-]{1,64}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")
_VISIBLE = re.compile(r"[\x20-\x7e]*")
_BASE_PATH = re.compile(r"(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._~-]+)*")
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,4}")
_HEXADECIMAL = re.compile(r"(?:0x)?([0-9A-Fa-f]{1,4})H?")

# What the forwarder itself writes into every request, and what must come from a file.
_OWN_HEADERS = frozenset(
    {
        "accept",
        "authorization",
        "connection",
        "content-length",
        "content-type",
        "expect",
        "host",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


def boolean(value: object) -> bool:
    """Read true or false."""
    if not isinstance(value, bool):
        raise ValueError("write true or false")
    return value


def text(value: object) -> str:
    """Read a text of visible ASCII characters that is not empty, at most 256 of them."""
    if not isinstance(value, str) or not value.strip() or len(value) > 256 or not _VISIBLE.fullmatch(value):
        raise ValueError("write a text of 1 to 256 visible ASCII characters")
    return value


def name(value: object) -> str:
    """Read a name that may stand in a URL, a file name and the name of a condition."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError("write 1 to 64 of a-z, 0-9 and -")
    return value


def credential_name(value: object) -> str:
    """Read the name of whoever holds a credential: none that the logs give to those without one."""
    if value == ANONYMOUS:
        raise ValueError(f'"{ANONYMOUS}" is what the logs call whoever sends no credential; write another name')
    return name(value)


def ae_title(value: object) -> str:
    """Read an AE title: PS3.5 6.2, value representation AE."""
    title = value.strip(" ") if isinstance(value, str) else ""
    if not 1 <= len(title) <= 16 or not _VISIBLE.fullmatch(title) or "\\" in title:
        raise ValueError("write 1 to 16 visible ASCII characters without a backslash")
    return title


def sha256(value: object) -> str:
    """Read a SHA-256 digest in hexadecimal; it comes out in lower case."""
    digest = value.lower() if isinstance(value, str) else ""
    if not _SHA256.fullmatch(digest):
        raise ValueError("write the 64 hexadecimal digits that `sha256sum` prints for the token")
    return digest


def fingerprint(value: object) -> str:
    """Read the SHA-256 fingerprint of a certificate, with or without colons; it comes out in lower case."""
    digest = value.replace(":", "").lower() if isinstance(value, str) else ""
    if not _SHA256.fullmatch(digest):
        raise ValueError("write the 64 hexadecimal digits that `openssl x509 -noout -fingerprint -sha256` prints")
    return digest


def path(value: object) -> Path:
    """Read a path."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("write a path")
    return Path(value)


def base_path(value: object) -> str:
    """Read the path of the Base URI: "/" or "/like/this"; a slash at the end is dropped.

    User agents resolve "." and ".." before they ask, so no segment is one of them. Source: RFC 3986 5.2.4.
    """
    stripped = value.rstrip("/") if isinstance(value, str) and value.startswith("/") else None
    if stripped is None or not _BASE_PATH.fullmatch(stripped):
        raise ValueError('write "/" or a path such as "/dicom-web"')
    return stripped or "/"


def url(value: object) -> str:
    """Read an absolute http or https URL without user, query and fragment; a slash at the end is dropped."""
    if not isinstance(value, str) or not _VISIBLE.fullmatch(value) or " " in value:
        raise ValueError("write a URL such as https://archive.example/dicom-web")
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"not a URL: {error}") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0:
        raise ValueError("write a URL that begins with http:// or https:// and a host")
    if "@" in parts.netloc:
        raise ValueError("user and password belong into auth, with the password in a file")
    if "?" in value or "#" in value:
        raise ValueError("write the URL without a query and without a fragment")
    return value.rstrip("/")


def notifications(value: object) -> str:
    """Read "auto" or "off", or a URL, in which ws and wss are other words for http and https (RFC 6455 3)."""
    if isinstance(value, str) and value in {"auto", "off"}:
        return value
    if isinstance(value, str) and value.startswith(("ws://", "wss://")):
        return url(f"http{value[2:]}")
    try:
        return url(value)
    except ValueError as error:
        raise ValueError(f'write "auto", "off" or a URL: {error}') from None


def optional_url(value: object) -> str | None:
    """Read a URL, or "" for none."""
    return None if value == "" else url(value)


def choice(kind: type[E]) -> Callable[[object], E]:
    """Make a reader of one word of an enumeration."""

    def read(value: object) -> E:
        if not isinstance(value, str) or value not in set(kind):
            raise ValueError(f"write {_alternatives(kind)}")
        return kind(value)

    return read


def choices(kind: type[E], *, least: int = 0) -> Callable[[object], tuple[E, ...]]:
    """Make a reader of a list of different words of an enumeration, in the order in which they stand."""

    def read(value: object) -> tuple[E, ...]:
        if not isinstance(value, list) or any(not isinstance(word, str) or word not in set(kind) for word in value):
            raise ValueError(f"write a list of {_alternatives(kind)}")
        if len(set(value)) != len(value):
            raise ValueError("write each word once")
        if len(value) < least:
            raise ValueError(f"write at least one of {_alternatives(kind)}")
        return tuple(kind(word) for word in value)

    return read


def whole(least: int, most: int) -> Callable[[object], int]:
    """Make a reader of a whole number between two bounds, both allowed."""

    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError(f"write a whole number from {least} to {most}")
        return value

    return read


def size(least: int = 0) -> Callable[[object], int]:
    """Make a reader of a size in bytes that is not smaller than `least`."""

    def read(value: object) -> int:
        size_bytes = read_size(value)
        if size_bytes < least:
            raise ValueError(f"write at least {write_size(least)}")
        return size_bytes

    return read


def optional_size(least: int = 0) -> Callable[[object], int | None]:
    """Make a reader of a size in bytes that is not smaller than `least`, or "" for none."""
    read = size(least)
    return lambda value: None if value == "" else read(value)


def headers(value: object) -> tuple[tuple[str, str], ...]:
    """Read a table of header fields (RFC 9110 5.1, 5.5); names come out in lower case."""
    if not isinstance(value, dict):
        raise ValueError('write a table such as {X-Site = "north"}')
    for field, content in value.items():
        if not _TOKEN.fullmatch(field) or not isinstance(content, str) or not _VISIBLE.fullmatch(content):
            raise ValueError(f"{field!r} is not a header field of visible ASCII characters")
        if field.lower() in _OWN_HEADERS:
            raise ValueError(f"{field!r} is written by edged itself")
    return tuple((field.lower(), content.strip()) for field, content in value.items())


def header_names(value: object) -> tuple[str, ...]:
    """Read the names of a table of header fields whose values stand in files, in lower case."""
    if not isinstance(value, dict):
        raise ValueError('write a table such as {X-Api-Key = "archive-key"}')
    return tuple(name for name, _ in headers(dict.fromkeys(value, "")))


def fingerprints(value: object) -> tuple[str, ...]:
    """Read one fingerprint of a certificate, or a list of them."""
    return tuple(fingerprint(each) for each in (value if isinstance(value, list) else [value]))


def share(value: object) -> float:
    """Read a share of a whole, from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError("write a number from 0 to 1")
    return float(value)


def reasons(value: object) -> MappingProxyType[int, ReasonVerdict]:
    """Read a table of failure reasons ("42752", "A700" or "0110H") and the verdict that each shall have."""
    if not isinstance(value, dict):
        raise ValueError('write a table such as {A710 = "later"}')
    verdict = choice(ReasonVerdict)
    read = {_reason(code): verdict(word) for code, word in value.items()}
    if len(read) != len(value):
        raise ValueError("write each reason once")
    return MappingProxyType(read)


def _reason(code: str) -> int:
    """Read a failure reason: decimal as in DICOM JSON, or hexadecimal as in PS3.18 Annex I."""
    if _DECIMAL.fullmatch(code) and int(code) <= 0xFFFF:
        return int(code)
    hexadecimal = _HEXADECIMAL.fullmatch(code)
    if hexadecimal is None:
        raise ValueError(f"{code!r} is not a failure reason such as 42752, A700 or 0110H")
    return int(hexadecimal[1], 16)


def _alternatives(kind: type[StrEnum]) -> str:
    return " | ".join(f'"{word}"' for word in kind)
