"""The budgets of the code: sizes, parameters, head notes, broad excepts, names.

Measured over the syntax trees of the package. A budget is not a target: what comes near one wants to
be taken apart. Each failure names the file, the line and what was found there.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

import pytest

_ROOT = Path(__file__).parents[2]
_FILE_LINES, _FILE_LINES_MEDIAN = 400, 150
_BODY_LINES, _BODY_LINES_P90, _BODY_LINES_MEDIAN = 50, 30, 8
_CLASS_LINES, _CLASS_METHODS = 250, 15
_PARAMETERS, _POSITIONAL = 5, 3
_HEAD_NOTE_LINES = range(1, 26)

# The guards: one bad thing is logged, counted and closed, and everything else goes on. Each entry is a
# function that may catch Exception, with what it guards. Nothing may catch BaseException.
GUARDS = {
    "edged/server/serving.py::_guard": "a connection",
    "edged/server/exchange.py::_run": "a request",
    "edged/origin/application.py::_answered": "a request",
    "edged/services/transcode_worker.py::_decompress": "a process that says how it ended",
    "edged/upstream/sender.py::_serve": "a forwarder item",
    "edged/upstream/prover.py::_guarded": "one step of a background job",
    "edged/upstream/reconciler.py::_guarded": "one step of a background job",
    "edged/store/writer.py::_together": "a group of operations: its members run again alone",
    "edged/store/writer.py::_alone": "an operation: its error goes to whoever asked for it",
}

_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Source:
    """One file of the package."""

    path: str
    lines: int
    tree: ast.Module

    def at(self, node: ast.AST) -> str:
        """Return where a node stands."""
        return f"{self.path}:{getattr(node, 'lineno', 1)}"


def _sources(folder: str) -> list[Source]:
    return [
        Source(str(path.relative_to(_ROOT)), len(text.splitlines()), ast.parse(text))
        for path in sorted((_ROOT / folder).rglob("*.py"))
        if (text := path.read_text())
    ]


PACKAGE = _sources("edged")
TESTS = _sources("tests")


def _functions(source: Source) -> Iterator[_Function]:
    return (node for node in ast.walk(source.tree) if isinstance(node, _Function))


def _body_lines(function: _Function) -> int:
    """Count the lines from the first statement after the docstring to the last."""
    body = function.body[1:] if ast.get_docstring(function, clean=False) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def _counted(parameters: list[ast.arg]) -> int:
    """Count the parameters but the first if it is the one that Python fills in."""
    return len(parameters) - (bool(parameters) and parameters[0].arg in {"self", "cls"})


def _report(problems: list[str]) -> None:
    if problems:
        pytest.fail("\n".join(problems), pytrace=False)


def test_files() -> None:
    _report([f"{s.path}: {s.lines} lines of {_FILE_LINES}" for s in PACKAGE + TESTS if s.lines > _FILE_LINES])
    middle = median(source.lines for source in PACKAGE)
    assert middle <= _FILE_LINES_MEDIAN


def test_function_bodies() -> None:
    sizes = {s.at(f) + f" {f.name}": _body_lines(f) for s in PACKAGE for f in _functions(s)}
    _report([f"{at}: {lines} lines of {_BODY_LINES}" for at, lines in sizes.items() if lines > _BODY_LINES])
    assert median(sizes.values()) <= _BODY_LINES_MEDIAN
    assert quantiles(sizes.values(), n=10)[-1] <= _BODY_LINES_P90


def test_parameters() -> None:
    problems = []
    for source in PACKAGE:
        for function in _functions(source):
            positional = _counted(function.args.posonlyargs + function.args.args)
            total = positional + len(function.args.kwonlyargs)
            if total > _PARAMETERS or positional > _POSITIONAL:
                found = f"{total} parameters of {_PARAMETERS}, {positional} positional of {_POSITIONAL}"
                problems.append(f"{source.at(function)} {function.name}: {found}")
    _report(problems)


def test_classes() -> None:
    problems = []
    for source in PACKAGE:
        for node in ast.walk(source.tree):
            if not isinstance(node, ast.ClassDef):
                continue
            lines = (node.end_lineno or 0) - node.lineno + 1
            methods = [f for f in node.body if isinstance(f, _Function) and not f.name.startswith("_")]
            if lines > _CLASS_LINES or len(methods) > _CLASS_METHODS:
                found = f"{lines} lines of {_CLASS_LINES}, {len(methods)} public methods of {_CLASS_METHODS}"
                problems.append(f"{source.at(node)} {node.name}: {found}")
    _report(problems)


def test_every_module_has_a_head_note() -> None:
    problems = []
    for source in PACKAGE + TESTS:
        note = ast.get_docstring(source.tree)
        if note is None:
            problems.append(f"{source.path}: no head note")
        elif len(note.splitlines()) not in _HEAD_NOTE_LINES:
            problems.append(f"{source.path}: a head note of {len(note.splitlines())} lines")
    _report(problems)


def _caught(handler: ast.ExceptHandler) -> set[str]:
    """Return the names that a handler catches; a bare one catches BaseException."""
    if handler.type is None:
        return {"BaseException"}
    return {node.id for node in ast.walk(handler.type) if isinstance(node, ast.Name)}


def _swallowed(handler: ast.ExceptHandler) -> set[str]:
    """Return the broad names that a handler keeps to itself: one that ends by raising keeps only the worst."""
    worst, broad = {"BaseException", "BaseExceptionGroup"}, {"Exception", "ExceptionGroup"}
    return _caught(handler) & (worst if isinstance(handler.body[-1], ast.Raise) else worst | broad)


def _broad_excepts() -> Iterator[tuple[str, str, set[str]]]:
    for source in PACKAGE:
        for function in [source.tree, *_functions(source)]:
            name = getattr(function, "name", "module")
            for node in _own_nodes(function):
                if isinstance(node, ast.ExceptHandler) and (broad := _swallowed(node)):
                    yield source.at(node), f"{source.path}::{name}", broad


def _own_nodes(scope: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a scope without those of the functions within it."""
    for child in ast.iter_child_nodes(scope):
        if not isinstance(child, _Function):
            yield child
            yield from _own_nodes(child)


def test_only_guards_catch_everything() -> None:
    _report(
        [
            f"{at}: catches {', '.join(sorted(broad))} and is not one of the guards"
            for at, function, broad in _broad_excepts()
            if function not in GUARDS or not broad <= {"Exception", "ExceptionGroup"}
        ]
    )


def test_every_named_guard_is_one() -> None:
    assert set(GUARDS) - {function for _, function, _ in _broad_excepts()} == set()


def _imported(source: Source) -> Iterator[tuple[ast.AST, str]]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node, node.module
            yield from ((node, f"{node.module}.{alias.name}") for alias in node.names)


def test_nothing_is_mocked() -> None:
    _report(
        [
            f"{source.at(node)}: imports {name}"
            for source in TESTS
            for node, name in _imported(source)
            if {"mock", "pytest_mock"} & set(name.split("."))
        ]
    )


def test_nothing_is_called_utils() -> None:
    vague = {"utils", "util", "helpers", "helper", "common", "misc"}
    paths = [Path(source.path) for source in PACKAGE + TESTS]
    _report([f"{path}: says nothing" for path in paths if vague & {part.lower() for part in (*path.parts, path.stem)}])
