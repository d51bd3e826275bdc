"""The commands a person types; one file a command. `main` is the program's entry point."""

from edged.cli.main import main

__all__ = ["main"]
