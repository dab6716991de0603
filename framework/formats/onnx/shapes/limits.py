"""What a small ONNX file could blow up into, found beforehand.

A value that is to have as many dimensions as another has entries (Expand, Reshape, ...) takes memory in proportion;
functions that call each other twice double with every level. Where the length of a shape is stated, it is checked here;
what cannot be foreseen is met in `framework.formats.onnx.shapes.guard`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import onnx

from framework.errors import UserError
from framework.formats.onnx.shapes.folding import MAX_RANK, SHAPED_BY
from framework.formats.onnx.wiring import BROADCASTING, node_labels, subgraphs

MAX_NODES = 5_000_000
"""Nodes that functions may be inlined to."""

_SAFE_LENGTH = 1 << 12
"""A shape that may have so many entries still costs nothing to follow."""


def check_ranks(graph: onnx.GraphProto, where: str) -> None:
    """Refuse values that would have more than `MAX_RANK` dimensions, as far as lengths are stated.

    Raises
    ------
    UserError
        If there is one.
    """
    _check_ranks(graph, {}, where)


def check_functions(model: onnx.ModelProto, where: str) -> None:
    """Refuse functions that call themselves, or that would be inlined to more than `MAX_NODES` nodes.

    Raises
    ------
    UserError
        If they do.
    """
    bodies = {(f.domain, f.name, f.overload): f.node for f in model.functions}
    sizes: dict[tuple[str, str, str], int] = {}
    open_calls: set[tuple[str, str, str]] = set()

    def size(nodes: Iterable[onnx.NodeProto]) -> int:
        total = 0
        for node in nodes:
            key = (node.domain, node.op_type, node.overload)
            total += size_of(key) if key in bodies else 1
            total += sum(size(held.node) for held in subgraphs(node))
        return total

    def size_of(key: tuple[str, str, str]) -> int:
        if key in open_calls:
            raise UserError(
                f"the function {key[1]!r} calls itself", where=where, hint="ONNX has no recursion; the file is damaged"
            )
        if key not in sizes:
            open_calls.add(key)
            sizes[key] = size(bodies[key])
            open_calls.discard(key)
        return sizes[key]

    try:
        total = size(model.graph.node)
    except RecursionError:
        raise UserError(
            "its functions call each other too deep", where=where, hint="inline them before exporting"
        ) from None
    if total > MAX_NODES:
        raise UserError(
            f"its functions stand for {total:.3g} nodes", where=where, hint=f"at most {MAX_NODES} nodes are read"
        )


def _check_ranks(graph: onnx.GraphProto, outer: dict[str, float], where: str) -> None:
    types = {value.name: value.type for value in (*graph.value_info, *graph.input, *graph.output)}
    longest = dict(outer)
    longest.update((tensor.name, math.prod(tensor.dims)) for tensor in graph.initializer)
    longest.update((value.name, _stated(types.get(value.name))) for value in graph.input)
    labels: list[str] = []
    for position, node in enumerate(graph.node):
        index = SHAPED_BY.get(node.op_type)
        if index is not None and index < len(node.input) and node.input[index]:
            shaping = node.input[index]
            length = longest.get(shaping, math.inf)
            if length > _SAFE_LENGTH:
                labels = labels or node_labels(graph)
                stated = _stated(types.get(shaping))
                if MAX_RANK < min(length, stated) < math.inf:
                    raise UserError(
                        f"its result would have {min(length, stated):.6g} dimensions, one per entry of {shaping!r}",
                        where=f"{where}, node {labels[position]!r} ({node.op_type})",
                        hint=f"a tensor has at most {MAX_RANK}",
                    )
        for held in subgraphs(node):
            _check_ranks(held, longest, where)
        bound = _entries(node, longest)
        for name in node.output:
            longest[name] = min(bound, _stated(types.get(name)))


def _stated(kind: onnx.TypeProto | None) -> float:
    """Return the number of entries of a value of one dimension, as far as its type states it."""
    if kind is None or not kind.tensor_type.HasField("shape"):
        return math.inf
    dims = kind.tensor_type.shape.dim
    sizes = [float(d.dim_value) if d.HasField("dim_value") and d.dim_value >= 0 else math.inf for d in dims]
    return 0.0 if 0.0 in sizes else float(math.prod(sizes))


def _entries(node: onnx.NodeProto, longest: dict[str, float]) -> float:
    """Return the most entries that a node's outputs can have, for what exporters compute shapes with."""
    lengths = [longest.get(name, math.inf) for name in node.input if name]
    if node.op_type == "Shape":
        return MAX_RANK
    if node.op_type == "Size":
        return 1
    if node.op_type == "Constant":
        return _constant_entries(node)
    if not lengths:
        return math.inf
    if node.op_type == "Concat":
        return sum(lengths)
    if node.op_type in _NO_LONGER:
        return lengths[0]
    if node.op_type == "Gather" and len(lengths) > 1:
        # A shape is gathered from by a few positions; from a table of rows, more may come.
        return lengths[0] * lengths[1]
    return max(lengths) if node.op_type in BROADCASTING else math.inf


def _constant_entries(node: onnx.NodeProto) -> float:
    for held in node.attribute:
        if held.name == "value":
            return float(math.prod(held.t.dims))
        if held.name in ("value_ints", "value_floats"):
            return len(held.ints) + len(held.floats)
    return 1


_NO_LONGER = frozenset(
    {
        "Abs", "Cast", "Ceil", "Flatten", "Floor", "GatherElements", "Identity", "Neg", "Not", "ReduceMax",
        "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "Reshape", "Round", "ScatterElements", "ScatterND",
        "Sign", "Slice", "Split", "Sqrt", "Squeeze", "Transpose", "Unsqueeze",
    }
)  # fmt: skip
