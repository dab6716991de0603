"""What a small ONNX file could blow up into: found beforehand, or met in a child process with limits.

onnx's shape inference cannot be interrupted. Its data propagation, which makes an entry for every element of a value of
one dimension, is not used at all: `framework.formats.onnx_folding` does its work. A value that is to have as many
dimensions as another has entries (Expand, Reshape, ...) takes memory in proportion; functions that call each other
twice double with every level. Where the length of a shape is stated, it is checked; where it cannot be foreseen, a
child process infers, within limits of time and memory.
"""

from __future__ import annotations

import math
import os
import resource
import subprocess
import sys
from collections.abc import Iterable

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import shape_inference

from framework.errors import UserError
from framework.formats.onnx_folding import MAX_RANK, SHAPED_BY
from framework.formats.onnx_structure import BROADCASTING, node_labels, subgraphs
from framework.input_files import remaining_seconds

MAX_NODES = 5_000_000
"""Nodes that functions may be inlined to."""

_SAFE_LENGTH = 1 << 12
"""A shape that may have so many entries still costs nothing to follow."""

_CHILD_SECONDS, _CHILD_BYTES = 60.0, 4 << 30
_NONE, _FAILED = 0, 3


def infer_shapes(model: onnx.ModelProto, where: str) -> onnx.ModelProto:
    """Return a model with the shapes that onnx infers, in a child process where a shape's length is open.

    Raises
    ------
    UserError
        If a value has more than `MAX_RANK` dimensions, or the child ran out of time or memory.
    InferenceError
        As `onnx.shape_inference.infer_shapes`.
    """
    suspect = _check_ranks(model.graph, {}, where)
    if suspect is None:
        return shape_inference.infer_shapes(model)
    return _in_child(model, suspect, where)


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
                f"the function {key[1]!r} calls itself", where=where, mend="ONNX has no recursion; the file is damaged"
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
            "its functions call each other too deep", where=where, mend="inline them before exporting"
        ) from None
    if total > MAX_NODES:
        raise UserError(
            f"its functions stand for {total:.3g} nodes", where=where, mend=f"at most {MAX_NODES} nodes are read"
        )


def _check_ranks(graph: onnx.GraphProto, outer: dict[str, float], where: str) -> str | None:
    """Bound the number of entries of every value that shapes another, and return a node for which there is no bound."""
    types = {value.name: value.type for value in (*graph.value_info, *graph.input, *graph.output)}
    longest = dict(outer)
    longest.update((tensor.name, math.prod(tensor.dims)) for tensor in graph.initializer)
    longest.update((value.name, _stated(types.get(value.name))) for value in graph.input)
    suspect = None
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
                        mend=f"a tensor has at most {MAX_RANK}",
                    )
                suspect = labels[position]
        for held in subgraphs(node):
            suspect = _check_ranks(held, longest, where) or suspect
        bound = _entries(node, longest)
        for name in node.output:
            longest[name] = min(bound, _stated(types.get(name)))
    return suspect


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


def _in_child(model: onnx.ModelProto, suspect: str, where: str) -> onnx.ModelProto:
    left = remaining_seconds()
    seconds = _CHILD_SECONDS if left is None else max(min(left, _CHILD_SECONDS), 1.0)
    failed = UserError(
        f"shape inference takes more than {seconds:.0f} s or {_CHILD_BYTES >> 30} GiB",
        where=f"{where}, node {suspect!r}",
        mend="no bound on the number of its dimensions is known; give its shape as a constant",
    )
    try:
        done = subprocess.run(
            [sys.executable, "-m", __name__],
            input=model.SerializeToString(),
            capture_output=True,
            timeout=seconds,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
    except subprocess.TimeoutExpired:
        raise failed from None
    if done.returncode == _FAILED:
        raise shape_inference.InferenceError(done.stderr.decode(errors="replace"))
    try:
        if done.returncode == _NONE:
            return onnx.load_model_from_string(done.stdout)
    except (DecodeError, ValueError):
        pass
    raise failed


def main() -> int:
    """Infer the shapes of the model on standard input, within a limit of memory; the result goes to standard output."""
    resource.setrlimit(resource.RLIMIT_AS, (_CHILD_BYTES, _CHILD_BYTES))
    model = onnx.load_model_from_string(sys.stdin.buffer.read())
    try:
        inferred = shape_inference.infer_shapes(model)
    except (shape_inference.InferenceError, RuntimeError, ValueError) as error:
        sys.stderr.write(str(error))
        return _FAILED
    sys.stdout.buffer.write(inferred.SerializeToString())
    return _NONE


if __name__ == "__main__":
    sys.exit(main())
