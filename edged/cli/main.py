"""The program `edged`: its commands, and how their errors end it.

Exit status: 0 good, 1 the thing asked about is not good, 2 usage, 3 cannot reach (DESIGN §6). A command is imported
when it is called, so that `edged status` does not wait for what only the daemon needs.
"""

import importlib
import sys

import click

from edged import __version__

_COMMANDS = {
    "run": ("edged.cli.run", "Run the daemon."),
    "demo": ("edged.cli.demo", "Run a box and a small archive on this machine, real instances flowing."),
    "send": ("edged.cli.send", "Send PS3.10 files by STOW-RS."),
    "status": ("edged.cli.status", "Show how the box is."),
    "watch": ("edged.cli.watch", "Show what happens, as it happens."),
    "queue": ("edged.cli.queue", "Show what waits to be sent or committed, and decide about it."),
    "explain": ("edged.cli.explain", "Tell all that is known of an instance or a study."),
    "probe": ("edged.cli.probe", "Go the way to a destination step by step."),
    "token": ("edged.cli.token", "Make a bearer token or a password for the configuration."),
    "check-config": ("edged.cli.check_config", "Check a configuration file."),
    "check-store": ("edged.cli.check_store", "Check the store of a box that is not running."),
    "export": ("edged.cli.export", "Write the stored instances of a box that is not running as files."),
}


class _Commands(click.Group):
    """Loads a command when it is called for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands in the order of their use."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = importlib.import_module(_COMMANDS[cmd_name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="edged")
def main() -> None:
    """Keeps DICOM instances safe beside a modality, forwards them, and proves that the archive has them."""


_PIXEL_LIBRARIES = ("numpy", "gdcm", "openjpeg", "pylibjpeg", "PIL")


def program() -> None:
    """Run the program.

    pydicom imports whatever it finds of the libraries that decode pixels: 30 MiB, and half of the time of a start. No
    command decodes any; that is done by a process of its own (`services/transcode_worker.py`).
    """
    for name in _PIXEL_LIBRARIES:
        sys.modules[name] = None  # type: ignore[assignment]
    main()
