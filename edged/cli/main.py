"""The program `edged`: its commands, and how their errors end it.

Exit status: 0 good, 1 the thing asked about is not good, 2 usage, 3 cannot reach (DESIGN §6). A command is imported
when it is called, so that `edged status` does not wait for what only the daemon needs.
"""

import importlib

import click

from edged import __version__

_COMMANDS = {
    "run": ("edged.cli.run", "Run the daemon."),
    "demo": ("edged.cli.demo", "Run a box and a small archive on this machine, real instances flowing."),
    "send": ("edged.cli.send", "Send PS3.10 files by STOW-RS."),
    "status": ("edged.cli.status", "Show how the box is."),
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
