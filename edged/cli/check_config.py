"""`edged check-config FILE`: say everything that is wrong with a configuration file, or that nothing is.

With `--explain FILE.dcm` it says instead what the routing rules would do with a file.
"""

from collections.abc import Iterator
from pathlib import Path

import click

from edged.cli.explain_file import UnreadableFile, explain_file
from edged.cli.settings import fail, settings_for
from edged.config import AuthKind, CredentialError, Settings, remarks
from edged.services.routing import Source
from edged.telemetry.clock import SystemClock
from edged.upstream.jwt_bearer import SignedAssertion


@click.command("check-config")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--explain", "instance", metavar="FILE.dcm", type=click.Path(path_type=Path), help="Say where it would go."
)
@click.option("--source", "intake", default="stow", show_default=True, help="The intake that it would come from.")
@click.option("--sender", default="", help="The name of the credential, or the AE title, that it would come with.")
@click.option("--called-ae", default="", help="The AE title that would be called.")
def command(file: Path, instance: Path | None, intake: str, *, sender: str, called_ae: str) -> None:
    """Check FILE: every problem is named at once; exit status 2 if there is any."""
    settings = settings_for(file)
    for remark in remarks(settings):
        click.echo(f"note: {remark}", err=True)
    if wrong := list(_unusable_keys(settings)):
        fail(2, *(f"{file}: {problem}" for problem in wrong))
    if instance is None:
        _good(file, settings)
    else:
        _explain(settings, instance, Source(intake, sender=sender, called_ae=called_ae))


def _unusable_keys(settings: Settings) -> Iterator[str]:
    """Say which keys cannot sign; a daemon that finds one of them starts, tells so, and reads it again."""
    for each in settings.destinations:
        if each.auth.kind is AuthKind.JWT:
            try:
                SignedAssertion(each.auth, SystemClock()).request()
            except CredentialError as error:
                yield f"destination[{each.name}].auth: {error}"


def _good(file: Path, settings: Settings) -> None:
    destinations = ", ".join(f"{each.name} ({each.url})" for each in settings.destinations) or "none"
    click.echo(f"{file}: good. Listens on {', '.join(settings.origin.bind)}; destinations: {destinations}.")


def _explain(settings: Settings, instance: Path, source: Source) -> None:
    try:
        lines = explain_file(settings, instance, source)
    except UnreadableFile as error:
        fail(1, str(error))
    for line in lines:
        click.echo(line)
