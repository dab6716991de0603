"""Kernels take few arguments: two arrays that are exchanged by mistake type-check."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import framework

MOST_ARGUMENTS = 8
DECORATORS = {"kernel", "allocating_kernel", "inlined_kernel"}
LEFT = {
    "covering/anchor_weights.py:bound_roots": 13,
    "covering/anchor_weights.py:search_anchor": 14,
    "covering/anchor_weights.py:walk_anchor": 12,
    "nested_cuts/branching.py:_probe": 17,
    "nested_cuts/costs.py:set_capacities": 12,
    "pricing/branch_and_bound.py:_search": 13,
    "pricing/branch_and_bound.py:_verify": 11,
    "pricing/greedy.py:_grow_all": 9,
    "pricing/vertex_bound.py:bound_vertex": 13,
    "pricing/vertex_bound.py:walk_tree": 12,
    "spreading/paths.py:survey": 11,
}
"""Kernels that still take more arguments, and how many: none may be added, and none may grow."""


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
    assert {name: count for name, count in found.items() if count > MOST_ARGUMENTS} == LEFT
