"""Every standing problem that the program can raise is a symptom in docs/operate.md."""

import ast
from collections.abc import Iterator
from pathlib import Path

from edged.upstream.verdict_values import ConditionName

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "edged").rglob("*.py"))
RAISES = {"raise_": 0, "raise_condition": 0, "blame": 1}
"""Who raises a condition, and at which place its name stands."""


def names() -> set[str]:
    """The names of conditions that stand in calls, as words or as constants, and those of the verdicts."""
    trees = [ast.parse(path.read_text()) for path in SOURCES]
    constants = {name: word for tree in trees for name, word in words_of(tree)}
    found = {word for tree in trees for each in named_in(tree) for word in (constants.get(each, each),) if word}
    return {word.partition(":")[0] for word in found if word.islower()} | {each.value for each in ConditionName}


def words_of(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """The constants of a module that are strings."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield ast.unparse(node.targets[0]), node.value.value


def named_in(tree: ast.Module) -> Iterator[str]:
    """What stands where a name is expected: a word, the beginning of a formatted one, or a constant's name."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        place = RAISES.get(node.func.attr)
        if place is None or len(node.args) <= place:
            continue
        name = node.args[place]
        if isinstance(name, ast.JoinedStr):
            first = name.values[0]
            name = first.value if isinstance(first, ast.FormattedValue) else first
        if isinstance(name, ast.Constant):
            yield str(name.value)
        elif isinstance(name, ast.Name) and name.id.isupper():
            yield name.id


def test_every_condition_is_a_symptom() -> None:
    page = (ROOT / "docs" / "operate.md").read_text()
    symptoms = " ".join(line for line in page.splitlines() if line.startswith("**"))
    known = names()
    assert {"store-failed", "no-proof", "destination-down", "unreadable", "study-inconsistent"} <= known
    assert {each for each in known if f"`{each}`" not in symptoms} == set()
