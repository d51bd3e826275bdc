"""`edged check-config FILE`: say everything that is wrong with a configuration file, or that nothing is."""

from pathlib import Path

import click

from edged.cli.settings import settings_for
from edged.config import remarks


@click.command("check-config")
@click.argument("file", type=click.Path(path_type=Path))
def command(file: Path) -> None:
    """Check FILE: every problem is named at once; exit status 2 if there is any."""
    settings = settings_for(file)
    destinations = ", ".join(f"{each.name} ({each.url})" for each in settings.destinations) or "none"
    for remark in remarks(settings):
        click.echo(f"note: {remark}", err=True)
    click.echo(f"{file}: good. Listens on {', '.join(settings.origin.bind)}; destinations: {destinations}.")
