"""docs/forwarding.md is what the program does."""

from pathlib import Path

from edged.upstream.published import page

PAGE = Path(__file__).parents[2] / "docs" / "forwarding.md"


def test_the_published_tables_are_the_programs() -> None:
    text = PAGE.read_text()
    assert page(text) == text, "run tools/verdict-table"
    assert text.count("\n| ") > 60
