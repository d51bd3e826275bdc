"""The commands a person types; one file a command. `program` is the entry point."""

from edged.cli.main import main, program

__all__ = ["main", "program"]
