"""Kernels take few arguments: two arrays that are exchanged by mistake type-check."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import framework

MOST_ARGUMENTS = 8
DECORATORS = {"kernel", "allocating_kernel", "inlined_kernel"}


def kernels() -> Iterator[tuple[str, ast.FunctionDef]]:
    root = Path(framework.__file__).parent
    for path in sorted(root.rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        if "kernel" not in source:
            continue
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef) and any(
                isinstance(one, ast.Name) and one.id in DECORATORS for one in node.decorator_list
            ):
                yield f"{path.relative_to(root / 'structure')}:{node.name}", node


def test_kernels_take_at_most_eight_arguments() -> None:
    found = {name: len(node.args.args) for name, node in kernels()}
    assert len(found) > 100
    assert not {name: count for name, count in found.items() if count > MOST_ARGUMENTS}
