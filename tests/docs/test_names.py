"""Modules, files and symbols that docstrings and pages name in back quotes are there."""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.conftest import REPOSITORY

PACKAGES = ("framework", "formulations", "strategies")
PYTHON = [path for name in (*PACKAGES, "scripts") for path in sorted((REPOSITORY / name).rglob("*.py"))]
PAGES = [
    *sorted(REPOSITORY.glob("*.md")),
    *(path for path in sorted((REPOSITORY / "docs").glob("*.md")) if path.name != "methods.md"),
]
DOTTED = re.compile(r"(?<!`)`([\w/-]+(?:\.[\w-]+)+)(?:\(\))?`(?!`)")
FILE = re.compile(r"\b((?:docs|scripts|studies|tests|framework|formulations|strategies)/[\w/.-]+\w)")
INVENTED = re.compile(r"\.sqlite$|/(test_)?my_|/NAME\b")
"""Files that are made by running something, or that the reader is to write."""
OPTIONAL = {"torch", "torchvision", "accelerate", "transformers"}
"""Packages of others that need not be installed here."""
Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def definitions(body: list[ast.stmt]) -> Iterator[Definition]:
    """Return the classes and functions of a body, those inside others included."""
    for node in body:
        if isinstance(node, Definition):
            yield node
            yield from definitions(node.body)
        elif isinstance(node, ast.If | ast.Try):
            yield from definitions(node.body)


@cache
def classes() -> dict[str, list[ast.ClassDef]]:
    found: dict[str, list[ast.ClassDef]] = {}
    for path in PYTHON:
        for node in definitions(tree_of(path).body):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append(node)
    return found


def names_in(body: list[ast.stmt]) -> Iterator[str]:
    """Return what a module or class body binds, imports and ``if`` blocks included."""
    for node in body:
        if isinstance(node, Definition):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name))
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.If):
            yield from names_in(node.body)
            yield from names_in(node.orelse)


@cache
def attributes_of(definition: ast.ClassDef) -> frozenset[str]:
    own = set(names_in(definition.body))
    own |= {
        node.attr
        for node in ast.walk(definition)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    }
    for base in definition.bases:
        if isinstance(base, ast.Name):
            own |= {name for parent in classes().get(base.id, []) for name in attributes_of(parent)}
    return frozenset(own)


def inside_project(parts: list[str]) -> bool:
    """Whether a dotted name is a package, a module, a symbol of one, or an attribute of a class of one."""
    for end in range(len(parts), 0, -1):
        path = REPOSITORY.joinpath(*parts[:end])
        file = path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py"
        if path.is_dir() and end == len(parts):
            return True
        if file.is_file():
            rest = parts[end:]
            body = tree_of(file).body
            if not rest or rest[0] not in set(names_in(body)):
                return not rest
            return len(rest) == 1 or any(rest[1] in attributes_of(found) for found in classes().get(rest[0], []))
    return False


def exists(name: str, beside: Path) -> bool:
    parts = name.split(".")
    if "/" in name or parts[-1] in {"py", "sql", "toml", "md", "json", "csv", "css"}:
        return any((folder / name).exists() for folder in (REPOSITORY, beside.parent))
    if parts[0] in PACKAGES:
        return inside_project(parts)
    if parts[0] in classes():
        return any(parts[1] in attributes_of(found) for found in classes()[parts[0]])
    return parts[0] in OPTIONAL or importlib.util.find_spec(parts[0]) is not None


@cache
def docstrings() -> list[tuple[Path, str]]:
    return [
        (path, text)
        for path in PYTHON
        for node in (tree_of(path), *definitions(tree_of(path).body))
        if (text := ast.get_docstring(node))
    ]


def test_names_in_docstrings_exist() -> None:
    missing = [
        f"{path.relative_to(REPOSITORY)}: {name}"
        for path, text in docstrings()
        for name in DOTTED.findall(text)
        if not exists(name, path)
    ]
    assert not missing


def test_modules_on_pages_exist() -> None:
    """Pages also hold names of fields and files of other people: only names of our packages are checked."""
    missing = [
        f"{page.name}: {name}"
        for page in PAGES
        for name in DOTTED.findall(page.read_text(encoding="utf-8"))
        if name.split(".")[0] in PACKAGES and not exists(name, page)
    ]
    assert not missing


def test_files_that_are_named_exist() -> None:
    texts = [
        *docstrings(),
        *((page, page.read_text(encoding="utf-8")) for page in PAGES if page.name != "CHANGELOG.md"),
    ]
    missing = {
        f"{path.relative_to(REPOSITORY)}: {name}"
        for path, text in texts
        for name in FILE.findall(text)
        if not INVENTED.search(name) and not (REPOSITORY / name).exists() and not list(REPOSITORY.glob(f"{name}*"))
    }
    assert not missing


def test_no_docstring_refers_to_sections_that_users_do_not_have() -> None:
    assert not [path for path, text in docstrings() if re.search(r"methods\.md \(?[A-F]\d?", text)]


def test_the_checks_see_what_is_wrong() -> None:
    here = REPOSITORY / "framework" / "bounds.py"
    assert exists("framework.structure.fluid.core", here)
    assert exists("framework.structure.fluid.core.FluidCore.nodes", here)
    assert not exists("framework.structure.fluid.core.FluidCore.nought", here)
    assert not exists("framework.structure.nought", here)
    assert not exists("framework.nought.core", here)
    assert not exists("Feature.NOUGHT", here)
    assert not exists("scripts/nought.py", here)
    assert not exists("nought.core", here)
