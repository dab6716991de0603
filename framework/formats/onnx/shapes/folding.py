"""Shapes that onnx's own inference leaves open although they are fixed: found node by node, bodies included.

Exporters write ``Shape -> Slice -> Concat -> Expand`` where a size is known once the inputs' sizes are; onnx's own
inference follows such chains through some operators only, and it stops at every operator of another domain. Here each
node of an inferred model is visited once, in order. Where its shapes are open, they are inferred from those of its
inputs (`onnx.shape_inference` for one node, `framework.formats.onnx.shapes.contrib` for onnxruntime's operators);
where its inputs are small and known, and it belongs to the arithmetic of shapes, it is run with onnx's reference
implementation, which also tells how often a Loop runs.

Nothing large is ever made: neither a value of more than `SMALL` elements, nor a shape of more than `MAX_RANK` entries.
"""

from __future__ import annotations

import math
from collections import ChainMap
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper, shape_inference

from framework.formats.onnx.operators.standard import attribute
from framework.formats.onnx.shapes.arithmetic import ARITHMETIC, compute
from framework.formats.onnx.shapes.contrib import Kind, contrib_kinds
from framework.formats.onnx.shapes.stand_ins import StandIn, stand_in
from framework.formats.onnx.wiring import all_graphs, scan_axes, subgraphs
from framework.input_files import check_deadline

SMALL = 1 << 14
"""Elements of the largest value that is computed: shapes, masks and positions are below."""

MAX_RANK = 64
"""Entries of the longest shape that is followed; a value that is to have more dimensions stays unknown."""

TRIPS = "pipebound.trips"
"""Metadata of a Loop node in a completed model: the constant number of trips that it is given."""

SHAPED_BY = {
    "AffineGrid": 1, "CenterCropPad": 1, "Col2Im": 1, "ConstantOfShape": 0, "Expand": 1, "MaxUnpool": 2, "Reshape": 1,
    "Unsqueeze": 1,
}  # fmt: skip
"""Operators whose result has as many dimensions as an input has entries, and which input that is."""

_STANDARD = ("", "ai.onnx")
_SHRINKING = frozenset({"Compress", "NonZero", "Unique"})
"""Operators that are run although their result's shape depends on the data: it is not much larger than these."""

_RUN = ARITHMETIC | _SHRINKING
_CHECKED_EVERY = 256

Known = MutableMapping[str, NDArray[Any]]
Types = MutableMapping[str, onnx.TypeProto]


def complete_shapes(model: onnx.ModelProto, dims: Mapping[str, int], where: str = "") -> onnx.ModelProto:
    """Add to an inferred model the shapes that were open, and how often its loops run.

    Parameters
    ----------
    model
        After shape inference, the sizes of its inputs bound; its nodes stay as they are. Changed in place.
    dims
        Sizes of dimensions by name; where a node's own inference leaves one open, it is called ``VALUE.AXIS``.
    where
        The file, for an error at the deadline.
    """
    graphs = list(all_graphs(model.graph))
    loops = any(node.op_type == "Loop" for graph in graphs for node in graph.node)
    if loops or any(_is_open(graph) for graph in graphs):
        _Walk(model, dims, where).visit(model.graph, _Scope(types=ChainMap(), known=ChainMap()))
    return model


def fixed_shape(kind: onnx.TypeProto | None) -> tuple[int, ...] | None:
    """Return the shape that a type states, None if it leaves a dimension open."""
    if kind is None or not kind.tensor_type.HasField("shape"):
        return None
    dims = kind.tensor_type.shape.dim
    fixed = all(dim.HasField("dim_value") and dim.dim_value >= 0 for dim in dims)
    return tuple(dim.dim_value for dim in dims) if fixed else None


def _has_shape(kind: onnx.TypeProto) -> bool:
    return bool(kind.tensor_type.HasField("shape"))


def _is_open(graph: onnx.GraphProto) -> bool:
    types = {value.name: value.type for value in (*graph.value_info, *graph.input, *graph.output)}
    return any(name and fixed_shape(types.get(name)) is None for node in graph.node for name in node.output)


@dataclass(frozen=True, slots=True)
class _Scope:
    """What is known inside a graph, and in those around it."""

    types: ChainMap[str, onnx.TypeProto]
    known: ChainMap[str, NDArray[Any]]

    def inside(self) -> _Scope:
        return _Scope(types=self.types.new_child(), known=self.known.new_child())

    def shape(self, name: str) -> tuple[int, ...] | None:
        return self.known[name].shape if name in self.known else fixed_shape(self.types.get(name))

    def kind(self, name: str) -> Kind | None:
        size = fixed_shape(self.types.get(name)) if name else None
        return None if size is None else (self.types[name].tensor_type.elem_type, size)


class _Walk:
    """One visit of all nodes of a model."""

    def __init__(self, model: onnx.ModelProto, dims: Mapping[str, int], where: str) -> None:
        self._dims = dims
        self._opsets = list(model.opset_import)
        self._version = next((o.version for o in model.opset_import if o.domain in _STANDARD), 1)
        self._where = where
        self._visited = 0

    def visit(self, graph: onnx.GraphProto, scope: _Scope) -> None:
        """Find the types of a graph's values, and write them into it."""
        types, known = scope.types, scope.known
        for value in (*graph.value_info, *graph.input, *graph.output):
            types[value.name] = value.type
        for tensor in (*graph.initializer, *(sparse.values for sparse in graph.sparse_initializer)):
            types[tensor.name] = helper.make_tensor_type_proto(tensor.data_type, tuple(tensor.dims))
        known.update((tensor.name, array) for tensor in graph.initializer if (array := _at_hand(tensor)) is not None)
        found: dict[str, onnx.TypeProto] = {}
        for node in graph.node:
            self._visited += 1
            if self._visited % _CHECKED_EVERY == 0:
                check_deadline(self._where)
            is_open = any(name and fixed_shape(types.get(name)) is None for name in node.output)
            new: Mapping[str, onnx.TypeProto] = {}
            if subgraphs(node):
                new = self._bodies(node, scope)
            elif is_open:
                new = self._inferred(node, scope)
            results = self._run(node, scope, new)
            known.update(results)
            new = {**new, **{name: _type_of(array) for name, array in results.items()}}
            for name, kind in new.items():
                if name not in node.output or fixed_shape(types.get(name)) is not None:
                    continue
                self._name_open(name, kind)
                if fixed_shape(kind) is not None or name not in types or not _has_shape(types[name]):
                    types[name] = found[name] = kind
        _write(graph, found)

    def _name_open(self, name: str, kind: onnx.TypeProto) -> None:
        """Name the open dimensions of a value, and set those that the user gave a size for."""
        for axis, dim in enumerate(kind.tensor_type.shape.dim):
            if not dim.HasField("dim_value"):
                dim.dim_param = dim.dim_param or f"{name}.{axis}"
                if dim.dim_param in self._dims:
                    dim.dim_value = self._dims[dim.dim_param]

    def _inferred(self, node: onnx.NodeProto, scope: _Scope) -> Mapping[str, onnx.TypeProto]:
        if node.domain in _STANDARD:
            return self._one(node, self._version, scope, scope.types)
        standing = stand_in(node)
        if standing is None:
            kinds = contrib_kinds(node, [scope.kind(name) for name in node.input], scope.known)
            return {
                name: helper.make_tensor_type_proto(*kind)
                for name, kind in zip(node.output, kinds, strict=False)
                if kind
            }
        return self._by_stand_in(standing, scope)

    def _by_stand_in(self, standing: StandIn, scope: _Scope) -> Mapping[str, onnx.TypeProto]:
        """Infer the shape of a standard operator, in floats where it knows no quantised ones."""
        node = standing.node
        kinds = {name: scope.kind(name) for name in node.input if name}
        first = kinds.get(node.input[0]) if node.input else None
        if first is None or (standing.channels_last and len(first[1]) < 2):
            return {}
        types = {
            name: helper.make_tensor_type_proto(
                TensorProto.FLOAT if kind[0] in (TensorProto.UINT8, TensorProto.INT8) else kind[0], kind[1]
            )
            for name, kind in kinds.items()
            if kind is not None
        }
        if standing.channels_last:
            size = first[1]
            types[node.input[0]] = helper.make_tensor_type_proto(TensorProto.FLOAT, (size[0], size[-1], *size[1:-1]))
        found = {}
        for name, kind in self._one(node, standing.opset, scope, types).items():
            size = fixed_shape(kind) or ()
            if fixed_shape(kind) is not None and (len(size) > 1 or not standing.channels_last):
                size = (size[0], *size[2:], size[1]) if standing.channels_last else size
                found[name] = helper.make_tensor_type_proto(first[0], size)
        return found

    def _one(
        self, node: onnx.NodeProto, version: int, scope: _Scope, types: Mapping[str, onnx.TypeProto]
    ) -> Mapping[str, onnx.TypeProto]:
        shaping = SHAPED_BY.get(node.op_type)
        if shaping is not None and shaping < len(node.input):
            length = scope.shape(node.input[shaping])
            if length is None or math.prod(length) > MAX_RANK:
                return {}
        names = [name for name in node.input if name]
        data = {name: numpy_helper.from_array(np.asarray(scope.known[name])) for name in names if name in scope.known}
        try:
            schema = onnx.defs.get_schema(node.op_type, version, "")
            return shape_inference.infer_node_outputs(
                schema,
                node,
                {name: types.get(name, onnx.TypeProto()) for name in names},
                data,
                opset_imports=[helper.make_opsetid("", version)],
            )
        except (
            onnx.defs.SchemaError,
            onnx.checker.ValidationError,
            shape_inference.InferenceError,
            RuntimeError,
            ValueError,
        ):
            return {}

    def _run(self, node: onnx.NodeProto, scope: _Scope, new: Mapping[str, onnx.TypeProto]) -> Known:
        """Compute a node's results if they are small, and all it needs is known."""
        if node.domain not in _STANDARD or subgraphs(node):
            return {}
        if node.op_type in ("Shape", "Size"):
            return _measured(node, scope.shape(node.input[0])) if node.input else {}
        if node.op_type not in _RUN or not all(name in scope.known for name in node.input if name):
            return {}
        sizes = [fixed_shape(new.get(name) or scope.types.get(name)) for name in node.output if name]
        if not all(node.op_type in _SHRINKING if size is None else math.prod(size) <= SMALL for size in sizes):
            return {}
        results = compute(node, scope.known, self._opsets)
        return dict(results) if all(array.size <= SMALL for array in results.values()) else {}

    def _bodies(self, node: onnx.NodeProto, scope: _Scope) -> Mapping[str, onnx.TypeProto]:
        """Visit the graphs that a node holds, and return what they tell of its outputs."""
        if node.op_type == "If":
            inner = [self._visited_body(body, scope, []) for body in subgraphs(node)]
            pairs = zip(node.output, *inner, strict=False)
            return {name: kinds[0] for name, *kinds in pairs if len({fixed_shape(kind) for kind in kinds}) == 1}
        body = subgraphs(node)[0]
        feeds = [scope.types.get(name, onnx.TypeProto()) for name in node.input]
        if node.op_type == "Loop":
            trips = _trips(node, scope)
            kinds = self._visited_body(body, scope, [onnx.TypeProto(), onnx.TypeProto(), *feeds[2:]])[1:]
            return _gathered(node, feeds[2:], kinds, trips, [0] * len(kinds))
        if node.op_type == "Scan" and len(node.input) == len(body.input):
            scanned = int(attribute(node, "num_scan_inputs", 0))
            states = len(feeds) - scanned
            axes = scan_axes(node, "scan_input_axes", scanned)
            sliced = [_without_axis(kind, axis) for kind, axis in zip(feeds[states:], axes, strict=True)]
            lengths = [
                size[axis] for kind, axis in zip(feeds[states:], axes, strict=True) if (size := fixed_shape(kind))
            ]
            kinds = self._visited_body(body, scope, [*feeds[:states], *sliced])
            out = scan_axes(node, "scan_output_axes", len(kinds) - states)
            return _gathered(node, feeds[:states], kinds, lengths[0] if lengths else None, [0] * states + out)
        for held in subgraphs(node):
            self._visited_body(held, scope, [])
        return {}

    def _visited_body(self, body: onnx.GraphProto, scope: _Scope, feeds: list[onnx.TypeProto]) -> list[onnx.TypeProto]:
        """Visit a body whose inputs have these types, and return its outputs'."""
        for value, kind in zip(body.input, feeds, strict=False):
            if fixed_shape(value.type) is None and fixed_shape(kind) is not None:
                value.type.CopyFrom(kind)
        inner = scope.inside()
        self.visit(body, inner)
        return [inner.types.get(value.name, onnx.TypeProto()) for value in body.output]


def _gathered(
    node: onnx.NodeProto, states: list[onnx.TypeProto], kinds: list[onnx.TypeProto], trips: int | None, axes: list[int]
) -> dict[str, onnx.TypeProto]:
    """Return the outputs' types of a Loop or Scan: states that keep their shape, and what each trip adds, stacked."""
    found = {}
    for i, (name, kind) in enumerate(zip(node.output, kinds, strict=False)):
        size = fixed_shape(kind)
        if size is None:
            continue
        if i < len(states):
            if fixed_shape(states[i]) == size:
                found[name] = kind
        elif trips is not None:
            axis = axes[i] + len(size) + 1 if axes[i] < 0 else axes[i]
            found[name] = helper.make_tensor_type_proto(kind.tensor_type.elem_type, (*size[:axis], trips, *size[axis:]))
    return found


def _trips(node: onnx.NodeProto, scope: _Scope) -> int | None:
    """Return the constant that a Loop is given as its number of trips, and note it in the node."""
    bound = scope.known.get(node.input[0]) if node.input else None
    if bound is None or bound.size != 1 or not np.issubdtype(bound.dtype, np.integer):
        return None
    trips = max(0, int(bound.item()))
    if not any(entry.key == TRIPS for entry in node.metadata_props):
        node.metadata_props.add(key=TRIPS, value=str(trips))
    return trips


def _at_hand(tensor: onnx.TensorProto) -> NDArray[Any] | None:
    """Return the data of a small initializer; None if it is large, external or absent."""
    if tensor.data_location == onnx.TensorProto.EXTERNAL or math.prod(tensor.dims) > SMALL:
        return None
    fields = ("raw_data", "int64_data", "int32_data", "float_data", "double_data", "uint64_data")
    if math.prod(tensor.dims) and not any(len(getattr(tensor, field)) for field in fields):
        return None
    try:
        return numpy_helper.to_array(tensor)
    except (TypeError, ValueError):
        # Data that is too short for its shape, or of a type that numpy lacks.
        return None


def _measured(node: onnx.NodeProto, size: tuple[int, ...] | None) -> Known:
    if size is None or max(size, default=0) >= 1 << 63:
        return {}
    if node.op_type == "Size":
        whole = math.prod(size)
        return {node.output[0]: np.array(whole, np.int64)} if whole < 1 << 63 else {}
    part = size[slice(attribute(node, "start", 0), attribute(node, "end", None))]
    return {node.output[0]: np.array(part, np.int64)}


def _type_of(array: NDArray[Any]) -> onnx.TypeProto:
    return helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)


def _without_axis(kind: onnx.TypeProto, axis: int) -> onnx.TypeProto:
    size = fixed_shape(kind)
    if size is None or not -len(size) <= axis < len(size):
        return onnx.TypeProto()
    rest = [length for i, length in enumerate(size) if i != axis % len(size)]
    return helper.make_tensor_type_proto(kind.tensor_type.elem_type, rest)


def _write(graph: onnx.GraphProto, found: Mapping[str, onnx.TypeProto]) -> None:
    """Store types in a graph: in its outputs where they are such, else beside the others."""
    for value in (*graph.output, *graph.value_info):
        if value.name in found:
            value.type.CopyFrom(found[value.name])
    stated = {value.name for value in (*graph.output, *graph.value_info, *graph.input)}
    for name, kind in found.items():
        if name not in stated:
            graph.value_info.add(name=name, type=kind)
