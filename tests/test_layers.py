"""Imports may only point down the layers of the house."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

# Each layer may import itself and the layers after it.
LAYERS = [
    "framework.cli",
    "framework.report",
    "framework.deploy",
    "framework.testing",
    "framework.study",
    "framework.portfolio",
    "framework.registry",
    "framework.entry_spec",
    "framework.contracts",
    "framework.bounds",
    "framework.structure",
    "framework.testbed",
    "framework.formats",
    "framework.environment",
    "framework.model",
    "framework.fields",
    "framework.input_files",
    "framework.units",
    "framework.signals",
    "framework.errors",
    "framework.wording",
]
HEAVY = {"numba", "ortools", "cvxpy", "matplotlib", "highspy", "onnx", "onnxruntime", "networkx", "scipy", "torch"}
PACKAGES = ("framework", "formulations", "strategies")
FILES = sorted(path for package in PACKAGES for path in (REPOSITORY / package).rglob("*.py"))


def module_of(path: Path) -> str:
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path, *, top_level_only: bool = False) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if top_level_only else list(ast.walk(tree))
    names: list[str] = []
    for node in nodes:
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def layer_of(module: str) -> int | None:
    for rank, layer in enumerate(LAYERS):
        if module == layer or module.startswith(layer + "."):
            return rank
    return None


def test_there_are_files_to_check() -> None:
    assert len(FILES) > 40


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_imports_point_down(path: Path) -> None:
    module = module_of(path)
    for name in imports_of(path):
        top = name.split(".")[0]
        if module.startswith("framework"):
            assert top not in ("formulations", "strategies"), f"{module} imports {name}"
            if module in ("framework", "framework.__main__") or top != "framework":
                continue
            here, there = layer_of(module), layer_of(name)
            assert here is not None, f"{module} belongs to no layer"
            assert there is None or there >= here, f"{module} imports {name}, which is above it"
        elif module.startswith("formulations"):
            assert top != "strategies", f"{module} imports {name}"
        elif module.startswith("strategies"):
            assert top != "formulations", f"{module} imports {name}: name it through the registry"


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_heavy_packages_are_imported_where_they_are_used(path: Path) -> None:
    module = module_of(path)
    if module.startswith("framework.structure") or module == "framework.portfolio.preload":
        return
    heavy = {name.split(".")[0] for name in imports_of(path, top_level_only=True)} & HEAVY
    if module.startswith("framework.formats.onnx") or module == "framework.formats.networkx":
        heavy -= {"onnx", "networkx"}
    if module.startswith("framework.formats.torch_"):
        heavy -= {"torch"}
    if module.startswith("framework.deploy"):
        heavy -= {"onnx"}
    assert not heavy, f"{module} imports {heavy} when it is loaded"


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_no_file_outgrows_a_reader(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 420
