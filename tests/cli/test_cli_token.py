"""`edged token`: what it prints can be pasted, and what it made opens the box; the secret is shown once or never."""

import hashlib
import json
import os
import pty
import subprocess

import pytest
from click.testing import CliRunner, Result

from edged.cli import main
from edged.config import Role, parse
from tests.support.cli_kit import PROGRAM, invoke


def typed(line: str, *arguments: str) -> Result:
    """The command with a line on its standard input."""
    return CliRunner().invoke(main, ["token", *arguments], input=line, catch_exceptions=False)


def test_a_token_and_the_section_that_makes_it_known() -> None:
    lines = invoke("token", "--name", "ct-1", "--role", "store", "--role", "read", "--role", "store").output.split("\n")
    secret = lines[2].strip()
    assert len(secret) == 64
    section = "\n".join(lines[lines.index("[[access.token]]") :])
    (token,) = parse(section, {}).access.tokens
    assert (token.name, token.roles) == ("ct-1", (Role.STORE, Role.READ))
    assert token.sha256 == hashlib.sha256(secret.encode()).hexdigest()
    assert secret not in section


def test_two_tokens_differ() -> None:
    made = [invoke("token", "--name", "a", "--role", "read", "--json").output for _ in range(2)]
    assert len({json.loads(each)["token"] for each in made}) == 2


def test_json_of_a_token() -> None:
    made = json.loads(invoke("token", "--name", "a", "--role", "monitor", "--json").output)
    assert made.keys() == {"token", "name", "sha256", "roles", "toml"}
    assert parse(made["toml"], {}).access.tokens[0].sha256 == made["sha256"]


@pytest.mark.parametrize("extra", [(), ("--json",)])
def test_a_password_is_read_and_never_shown(extra: tuple[str, ...]) -> None:
    output = typed("Schlüssel 1\n", "--password", "--name", "ct-2", "--role", "store", *extra).output
    assert "Schlüssel" not in output
    toml = json.loads(output)["toml"] if extra else output[output.index("[[access.password]]") :]
    (password,) = parse(toml, {}).access.passwords
    assert password.roles == (Role.STORE,)
    assert password.scrypt.matches("Schlüssel 1")


@pytest.mark.parametrize("line", ["", "\n", "short\n", "with\ttab and more\n", "x" * 300 + "\n"])
def test_what_is_no_password(line: str) -> None:
    result = typed(line, "--password", "--name", "ct-2", "--role", "store")
    assert result.exit_code == 2
    assert "write a password of 8 to 256 visible characters" in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        ("--role", "read"),
        ("--name", "a"),
        ("--name", "A b", "--role", "read"),
        ("--name", "anonymous", "--role", "read"),
        ("--name", "a", "--role", "x"),
    ],
)
def test_usage(arguments: tuple[str, ...]) -> None:
    assert invoke("token", *arguments).exit_code == 2


def test_on_a_terminal_the_password_is_asked_for_twice_and_not_echoed() -> None:
    ours, theirs = pty.openpty()
    command = [*PROGRAM, "token", "--password", "--name", "a", "--role", "read"]
    with subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs, start_new_session=True) as made:
        os.close(theirs)
        shown = b""
        for prompt in (b"Password: ", b"confirmation: "):
            while not shown.endswith(prompt):
                shown += os.read(ours, 100)
            os.write(ours, b"open sesame\n")
        output = made.communicate(timeout=20)[0].decode()
    os.close(ours)
    assert b"sesame" not in shown
    assert parse(output[output.index("[[") :], {}).access.passwords[0].scrypt.matches("open sesame")
