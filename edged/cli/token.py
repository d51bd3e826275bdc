"""`edged token`: make a credential for the box, and the section of the configuration that makes it known.

A bearer token is made here and shown once; the box knows its digest only. With `--password` the password is asked for,
or read from standard input, and only its salted digest is printed.
"""

import hashlib
import json
import secrets
import sys
from collections.abc import Mapping

import click

from edged.cli.settings import fail
from edged.config import PasswordHash, Role
from edged.config.scrypt import SALT_BYTES
from edged.config.values import credential_name

TOKEN_BYTES = 32
LEAST_PASSWORD = 8
MOST_PASSWORD = 256


@click.command("token")
@click.option("--name", required=True, help="Who it is for: 1 to 64 of a-z, 0-9 and -. It stands in the log.")
@click.option(
    "--role",
    "roles",
    type=click.Choice([role.value for role in Role]),
    multiple=True,
    required=True,
    help="What its holder may do; may be given several times.",
)
@click.option("--password", is_flag=True, help="Make a user with a password (HTTP Basic) in place of a bearer token.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(name: str, roles: tuple[str, ...], *, password: bool, as_json: bool) -> None:
    """Make a credential and print what goes into the configuration file.

    A bearer token is shown once and kept nowhere: give it to its user. For --password the password is asked for, or
    read as one line from standard input.
    """
    try:
        credential_name(name)
    except ValueError as error:
        fail(2, f"--name {name!r}: {error}")
    different = list(dict.fromkeys(roles))
    if password:
        hashed = PasswordHash.of(_read_password(), secrets.token_bytes(SALT_BYTES))
        _print("password", {"name": name, "scrypt": str(hashed), "roles": different}, secret=None, as_json=as_json)
        return
    token = secrets.token_hex(TOKEN_BYTES)
    digest = hashlib.sha256(token.encode("ascii")).hexdigest()
    _print("token", {"name": name, "sha256": digest, "roles": different}, secret=token, as_json=as_json)


def _read_password() -> str:
    """Ask for a password, twice, or take a line of standard input; ends with 2 if it cannot be one (RFC 7617 2)."""
    if sys.stdin.isatty():
        password: str = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        password = sys.stdin.readline(MOST_PASSWORD + 3).rstrip("\r\n")
    if not LEAST_PASSWORD <= len(password) <= MOST_PASSWORD or not password.isprintable():
        fail(2, f"write a password of {LEAST_PASSWORD} to {MOST_PASSWORD} visible characters")
    return password


def _print(section: str, keys: Mapping[str, object], *, secret: str | None, as_json: bool) -> None:
    """A list or a text is written the same in TOML and JSON."""
    toml = "\n".join([f"[[access.{section}]]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items())])
    if as_json:
        click.echo(json.dumps({**({"token": secret} if secret else {}), **keys, "toml": toml}))
        return
    if secret is not None:
        click.echo("The token, shown this once; its user sends it as `Authorization: Bearer TOKEN`:\n")
        click.echo(f"  {secret}\n")
    click.echo("This goes into the configuration file; then restart edged:\n")
    click.echo(toml)
