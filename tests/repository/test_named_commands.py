"""A command that a hint, an error or the documentation names is one that there is."""

import re
from pathlib import Path

from edged.cli.main import main

ROOT = Path(__file__).parents[2]
PLANNED = "queue probe explain watch bundle token update"
COMMAND = re.compile(rf"\bedged ({'|'.join(PLANNED.split())})\b")


def texts() -> list[Path]:
    return [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "edged").rglob("*.py"), *ROOT.glob("systemd/*")]


def test_no_text_names_a_command_that_does_not_exist() -> None:
    there = set(main.list_commands(None))  # type: ignore[arg-type]
    named = {(path.name, found) for path in texts() for found in COMMAND.findall(path.read_text())}
    assert {(name, found) for name, found in named if found not in there} == set()


def test_every_command_is_documented() -> None:
    page = (ROOT / "docs" / "operate.md").read_text()
    assert [name for name in main.list_commands(None) if f"`edged {name}" not in page] == []  # type: ignore[arg-type]
