"""Kernels take few arguments and are short: exchanged arrays type-check, and long kernels are read by nobody."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import framework

MOST_ARGUMENTS, MOST_LINES = 8, 100
DECORATORS = {"kernel", "allocating_kernel", "inlined_kernel"}
LEFT = {
    "covering/anchor_weights.py:bound_roots": 13,
    "covering/anchor_weights.py:search_anchor": 14,
    "covering/anchor_weights.py:walk_anchor": 12,
    "flow/max_flow.py:augment_flow": 13,
    "fluid/rounding.py:_place": 18,
    "nested_cuts/branching.py:_probe": 17,
    "nested_cuts/costs.py:set_capacities": 12,
    "poset/topological_orders.py:_order_by_cut": 13,
    "poset/width_reduction.py:_take_out": 9,
    "pricing/branch_and_bound.py:_search": 13,
    "pricing/branch_and_bound.py:_verify": 11,
    "pricing/greedy.py:_grow_all": 9,
    "pricing/vertex_bound.py:bound_vertex": 13,
    "pricing/vertex_bound.py:walk_tree": 12,
    "primal/slicing.py:_advance": 14,
    "primal/slicing.py:_prepare": 14,
    "reduction/coarsening.py:_match": 12,
    "reduction/dominance.py:_find_dominated": 17,
    "reduction/symmetry.py:_maps_tensors": 10,
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


def test_kernels_have_at_most_a_hundred_lines() -> None:
    long = [name for name, node in kernels() if (node.end_lineno or 0) - node.lineno >= MOST_LINES]
    assert not long
