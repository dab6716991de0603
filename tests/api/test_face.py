"""`import pipebound`: quick, complete, and what a person would guess."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import pipebound
from tests.conftest import REPOSITORY

GUESSED = {
    *("read_graph", "load_device", "solve", "compare", "recommend", "verify", "Constraints", "Settings", "Result"),
    *("Study", "register_formulation", "register_strategy", "ModelGraph", "Interval", "Device", "UserError"),
    *("__version__", "from_networkx", "from_torch", "read_result"),
}


def test_importing_it_loads_nothing_else() -> None:
    code = "import sys, pipebound; dir(pipebound); print(pipebound.__version__, *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    version, *loaded = done.stdout.split()
    assert version == pipebound.__version__
    heavy = {"numpy", "numba", "ortools", "cvxpy", "matplotlib", "rich", "typer", "scipy", "networkx", "onnx", "torch"}
    assert not heavy & set(loaded)
    assert {name for name in loaded if name.startswith("framework")} == {"framework"}


@pytest.mark.parametrize("name", sorted({*pipebound.__all__, *GUESSED}))
def test_every_name_is_there_and_documented(name: str) -> None:
    value = getattr(pipebound, name)
    assert name in dir(pipebound)
    assert name == "__version__" or value.__doc__
    # The second time it is no longer looked up.
    assert vars(pipebound)[name] is value


def test_type_checkers_see_the_same_names_from_the_same_places() -> None:
    tree = ast.parse(Path(pipebound.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    typed = {
        str(alias.asname): (str(node.module), alias.name)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert set(typed) == set(pipebound.__all__) - {"__version__"}
    for name, (module, original) in typed.items():
        assert getattr(importlib.import_module(module), original) is getattr(pipebound, name)
    assert (REPOSITORY / "pipebound" / "py.typed").exists()


def test_other_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'solv'"):
        pipebound.solv  # noqa: B018
