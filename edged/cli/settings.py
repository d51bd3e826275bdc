"""Finding the settings for a command, and ending it with a clear word when they cannot be used."""

import sys
from pathlib import Path
from typing import NoReturn

import click

from edged.config import ConfigError, Settings, default_settings, find, load, missing_files
from edged.services.routing import problems_of


def fail(status: int, *lines: str) -> NoReturn:
    """End the program with an exit status and lines on standard error."""
    for line in lines:
        click.echo(f"edged: {line}", err=True)
    sys.exit(status)


def reread(config: Path | None) -> Settings:
    """Read the settings as `settings_for` does, for a daemon that runs. Raises ConfigError."""
    path = find(config)
    return load(path) if path is not None else default_settings()


def settings_for(config: Path | None) -> Settings:
    """Return the settings of the named file, of the one that is found, or the defaults; ends with 2 if they are bad."""
    path = find(config)
    try:
        settings = load(path) if path is not None else default_settings()
    except ConfigError as error:
        fail(2, *(f"{path}: {problem}" for problem in error.problems))
    if wrong := missing_files(settings) + problems_of(settings.routes):
        fail(2, *(f"{path}: {problem}" for problem in wrong))
    return settings
