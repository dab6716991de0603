"""Errors of the library name arguments; the command line puts its options in their place."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

from framework.cli import app
from framework.cli.spelling import OPTIONS, with_options
from tests.cli.conftest import Run
from tests.conftest import REPOSITORY


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("give a larger `budget`", "give a larger --budget"),
        ("give `dims={'N': 1, 'a b': 2}`", "give --dim N=1 --dim 'a b=2'"),
        ("give `dims={'N': 1, 'hei ... 'z': 3}`", "give --dim N=1 --dim z=3"),
        ("if it is meant: `PIPEBOUND_MAX_INPUT=5GB`", "if it is meant: pipebound --max-input 5GB"),
        ("at least `repetitions=3` and `warm_up=0`", "at least --repetitions 3 and --warm-up 0"),
        ("see `pipebound list` and `limits`", "see `pipebound list` and `limits`"),
    ],
)
def test_arguments_become_options(said: str, shown: str) -> None:
    assert with_options(said) == shown


def test_the_options_exist() -> None:
    known: set[str] = set()
    pending = [typer.main.get_command(app)]
    while pending:
        command = pending.pop()
        pending += getattr(command, "commands", {}).values()
        known |= {option for parameter in command.params for option in parameter.opts}
    assert {option.removeprefix("pipebound ") for option in OPTIONS.values()} <= known


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the texts in calls of UserError, and those assigned to `hint`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        named = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "UserError"
        hints = isinstance(node, ast.Assign) and any(getattr(target, "id", "") == "hint" for target in node.targets)
        for part in ast.walk(node) if named or hints else ():
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                yield part.lineno, part.value


def test_no_error_below_the_command_line_names_an_option() -> None:
    found = [
        f"{path.relative_to(REPOSITORY)}:{line}: {text}"
        for path in sorted((REPOSITORY / "framework").rglob("*.py"))
        if "cli" not in path.parts and path.parts[-2] != "report"
        for line, text in texts(path)
        if re.search(r"(?<![\w`-])--?[a-z]", text) and "`pipebound" not in text and "pipebound " not in text
    ]
    assert not found


def test_an_argument_is_an_option_where_a_command_fails(pipebound: Run, graph_file: Path) -> None:
    done = pipebound("solve", graph_file, "-k", "2", "--dim", "N=1")
    assert done.returncode == 2
    assert "--dim means nothing to a native file (leave --dim out)" in done.stderr
