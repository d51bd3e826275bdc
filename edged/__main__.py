"""`python -m edged`: the program."""

from edged.cli import program

program()
