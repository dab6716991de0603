"""Whether a split computes what the unsplit model does: how far results may differ, by the types they come from.

The difference of a result is the largest one of its elements, over its largest magnitude. What is allowed depends on
the coarsest floating type on the way to it. Each operator rounds by half a unit in the last place, and onnxruntime
rounds at other places where it sees less of the graph (it keeps float32 between operators of half precision, fuses, and
moves layouts). Such errors add up like a random walk: sixteen units cover a thousand operators in a row.

    float64, float32   1e-4       far above sixteen units: sums of many terms, in another order, lose more
    float16            7.8e-3     16 * 2^-11
    bfloat16           6.3e-2     16 * 2^-8
    float8, float4     0.25       sixteen units would be more than everything

Integers and booleans must be equal. Quantised models, and whatever else turns a rounding into a step, are judged a
second time, see `framework.deploy.pipeline.verdict`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from framework.deploy.onnx_model import ModelFile
from framework.formats.onnx.operators.standard import attribute
from framework.formats.onnx.shapes.values import type_name
from framework.formats.onnx.wiring import all_graphs, subgraphs, used_values

TOLERANCE = 1e-4
UNITS = 16
COARSEST = 0.25

Results = Mapping[str, NDArray[Any]]

_PRECISION = {
    "float16": 11,
    "bfloat16": 8,
    "float8e4m3": 4,
    "float8e5m2": 3,
    "float8e8m0": 1,
    "float6e": 3,
    "float4e": 2,
}
"""Bits of the significand, the hidden one included, by the beginning of a type's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How far the results of a split are from those of the unsplit model.

    Attributes
    ----------
    value
        The largest of all results' differences.
    name
        The result that exceeds what it is allowed most; empty if there are no results.
    allowed
        How far that result may differ.
    worst
        The difference of that result.
    """

    value: float = 0.0
    name: str = ""
    allowed: float = TOLERANCE
    worst: float = 0.0

    @property
    def equal(self) -> bool:
        """Whether no result differs by more than it may."""
        return self.worst <= self.allowed


def allowed_differences(model: ModelFile) -> dict[str, float]:
    """Return how far each result of a model may differ, from the types of all that it depends on."""
    graph = model.proto.graph
    kinds = {name: kind.tensor_type.elem_type for name, kind in model.open_types.items()}
    kinds |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    found: dict[str, float] = {}
    for node in graph.node:
        names = used_values(node)
        types = [kinds.get(name, 0) for name in (*names, *node.output)] + list(_inner_types(node))
        allowed = max([_allowed(kind) for kind in types] + [found.get(name, TOLERANCE) for name in names])
        found |= {name: allowed for name in node.output if name}
    return {value.name: found.get(value.name, _allowed(kinds.get(value.name, 0))) for value in graph.output}


def compare(found: Results, expected: Sequence[tuple[str, NDArray[Any]]], allowed: Mapping[str, float]) -> Difference:
    """Compare results; those that `allowed` does not name are left out."""
    rows = [(difference(found.get(name), array), name) for name, array in expected if name in allowed]
    if not rows:
        return Difference()
    worst, name = max(rows, key=lambda row: _excess(row[0], allowed[row[1]]))
    return Difference(value=max(row[0] for row in rows), name=name, allowed=allowed[name], worst=worst)


def worst_of(differences: Iterable[Difference]) -> Difference:
    """Return the one that exceeds what is allowed most, with the largest value of all."""
    rows = list(differences)
    if not rows:
        return Difference()
    top = max(rows, key=lambda row: _excess(row.worst, row.allowed))
    return Difference(value=max(row.value for row in rows), name=top.name, allowed=top.allowed, worst=top.worst)


def difference(ours: NDArray[Any] | None, reference: NDArray[Any]) -> float:
    """Return the largest difference of an element, relative to the largest magnitude of the reference.

    What is missing, of another shape or type, integers that differ, and NaN or infinities at other places are
    infinitely far.
    """
    if ours is None or ours.shape != reference.shape or ours.dtype != reference.dtype:
        return math.inf
    if reference.dtype.kind in "biuSUO":
        return 0.0 if np.array_equal(ours, reference) else math.inf
    wide = np.complex128 if reference.dtype.kind == "c" else np.float64
    a, b = ours.astype(wide), reference.astype(wide)
    finite = np.isfinite(b)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return math.inf
    largest = float(np.abs(b[finite]).max(initial=0.0)) or 1.0
    apart = float(np.abs(a[finite] - b[finite]).max(initial=0.0))
    return apart / largest if math.isfinite(apart) else math.inf


def _excess(value: float, allowed: float) -> float:
    return 0.0 if math.isinf(allowed) else value / allowed


def _allowed(kind: int) -> float:
    name = type_name(kind)
    bits = next((bits for start, bits in _PRECISION.items() if name.startswith(start)), None)
    return TOLERANCE if bits is None else min(COARSEST, UNITS * 2.0**-bits)


def _inner_types(node: onnx.NodeProto) -> Iterable[int]:
    """Iterate over the element types that the bodies of a node mention."""
    for held in subgraphs(node):
        for graph in all_graphs(held):
            yield from (tensor.data_type for tensor in graph.initializer)
            for value in (*graph.input, *graph.output, *graph.value_info):
                yield value.type.tensor_type.elem_type
            yield from (attribute(inner, "to", 0) for inner in graph.node if inner.op_type == "Cast")
