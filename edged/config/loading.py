"""One TOML file becomes settings, or an error that names everything that is wrong with it.

The environment tells what the file leaves out: systemd gives $STATE_DIRECTORY, $RUNTIME_DIRECTORY and
$CREDENTIALS_DIRECTORY. It is an argument everywhere, so that a test or a command can say what it is.
The only error that leaves this module is `ConfigError`.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path

from edged.config.checks import contradictions
from edged.config.reading import Reader
from edged.config.settings import Settings

SYSTEM_FILE = Path("/etc/edged/edged.toml")
LOCAL_FILE = Path("edged.toml")

_LARGEST_FILE_BYTES = 1024 * 1024


class ConfigError(Exception):
    """The configuration cannot be used; `problems` has one line for each reason."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def find(given: Path | None = None, env: Mapping[str, str] = os.environ) -> Path | None:
    """Return the file to load: the given one, $EDGED_CONFIG, ./edged.toml, /etc/edged/edged.toml, or None.

    A file that somebody named is returned whether or not it exists, so that loading it says so.
    """
    if given is not None:
        return given
    if env.get("EDGED_CONFIG"):
        return Path(env["EDGED_CONFIG"])
    return next((path for path in (LOCAL_FILE, SYSTEM_FILE) if path.is_file()), None)


def load(path: Path, env: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings from a file; raises ConfigError."""
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError([f"{path}: {error.strerror}"]) from None
    if len(content) > _LARGEST_FILE_BYTES:
        raise ConfigError([f"{path}: larger than 1 MiB, which no configuration is"])
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: not UTF-8 text (byte {error.start})"]) from None
    return parse(text, env)


def parse(text: str, env: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings from the text of a TOML file; raises ConfigError."""
    try:
        document: dict[str, object] = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # both leave tomllib: a wrong text, one nested too deep
        raise ConfigError([f"not a TOML file: {error}"]) from None
    reader = Reader(env)
    settings = reader.read(_with_places(document, env))
    problems = reader.problems + contradictions(settings, reader.unclean)
    if problems:
        raise ConfigError(problems)
    return settings


def default_settings(env: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings of an empty file."""
    return parse("", env)


def _with_places(document: dict[str, object], env: Mapping[str, str]) -> dict[str, object]:
    """Fill in where the box lives, as if the operator had written what the environment says."""
    box = document.get("box", {})
    if not isinstance(box, dict):
        return document
    state = env.get("STATE_DIRECTORY", "").partition(":")[0] or "edged-data"
    runtime = env.get("RUNTIME_DIRECTORY", "").partition(":")[0] or box.get("data_dir", state)
    places = {"data_dir": state, "control": f"{runtime}/control.sock"}
    return {**document, "box": {**places, **box}}
