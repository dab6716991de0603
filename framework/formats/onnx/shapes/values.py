"""Types and shapes of the values of an ONNX model: symbolic dimensions bound, the rest inferred.

Weights are never looked at, only their shapes; external data is never opened.
"""

from __future__ import annotations

from collections.abc import Mapping

import onnx
from onnx import shape_inference

from framework.errors import UserError
from framework.formats.onnx.dims import check_names, check_sizes, dims_argument, to_give, with_derived
from framework.formats.onnx.shapes.folding import complete_shapes
from framework.formats.onnx.shapes.guard import guarded
from framework.formats.onnx.shapes.limits import check_ranks
from framework.formats.onnx.tensor_types import TensorType as TensorType
from framework.formats.onnx.tensor_types import element_bits as element_bits
from framework.formats.onnx.tensor_types import type_name as type_name
from framework.formats.onnx.wiring import STANDARD_DOMAINS, all_graphs, loop_names

_HEAVY_BYTES = 1 << 16
"""Initializers above this are emptied before shape inference: no shape is computed from that much data."""


class Values:
    """The tensor types of one graph's values; a subgraph's fall back on those of the graph around it."""

    def __init__(self, graph: onnx.GraphProto, dims: Mapping[str, int], outer: Values | None = None) -> None:
        self._dims = dims
        self._outer = outer
        self._types: dict[str, onnx.TypeProto] = {}
        for value in (*graph.input, *graph.output, *graph.value_info):
            self._types[value.name] = value.type
        self._known: dict[str, TensorType | None] = {}
        self._element_types: dict[str, int] = {}
        for tensor in (*graph.initializer, *(sparse.values for sparse in graph.sparse_initializer)):
            bits = element_bits(tensor.data_type)
            self._known[tensor.name] = None if bits is None else TensorType(bits, tuple(tensor.dims))
            self._element_types[tensor.name] = tensor.data_type

    def inside(self, graph: onnx.GraphProto) -> Values:
        """Return the values of a subgraph of this graph."""
        return Values(graph, self._dims, self)

    def get(self, name: str) -> TensorType | None:
        """Return the type of a value if its shape is known."""
        if name not in self._known:
            self._known[name] = self._look_up(name)
        return self._known[name]

    def _look_up(self, name: str) -> TensorType | None:
        if name not in self._types:
            return None if self._outer is None else self._outer.get(name)
        tensor = self._types[name].tensor_type
        bits = element_bits(tensor.elem_type)
        if bits is None or not tensor.HasField("shape"):
            return None
        shape = [_resolved(dim, self._dims) for dim in tensor.shape.dim]
        return TensorType(bits, tuple(size for size in shape if size is not None)) if None not in shape else None

    def nbytes(self, name: str) -> int:
        """Return the size of a value; 0 if it is unknown, or the name is empty."""
        found = self.get(name)
        return 0 if found is None else found.nbytes

    def element_type(self, name: str) -> int:
        """Return the ONNX code of a value's element type; 0 (undefined) if it is unknown."""
        if name in self._element_types:
            return self._element_types[name]
        return self._types[name].tensor_type.elem_type if name in self._types else 0

    def why_unknown(self, name: str) -> tuple[str, str]:
        """Return what is known of a value without a shape, and what the user can do about it."""
        kind = self._types[name].WhichOneof("value") if name in self._types else None
        if kind is not None and kind != "tensor_type":
            return f"is a {kind.removesuffix('_type')}", "only tensors have a size; rewrite the model without it"
        tensor = self._types[name].tensor_type if name in self._types else None
        if tensor is not None and tensor.HasField("shape"):
            if not tensor.elem_type:
                return "has no type of elements", "store its type in the file's value_info"
            if element_bits(tensor.elem_type) is None:
                return "holds strings", "only numbers have a size; rewrite the model without it"
            symbols = [dim.dim_param for dim in tensor.shape.dim if _resolved(dim, self._dims) is None]
            if all(symbols):
                return (
                    f"is {_spelled(tensor.shape, self._dims)}",
                    f"give {dims_argument(dict.fromkeys(to_give(symbols, self._dims), 1))}",
                )
            return f"is {_spelled(tensor.shape, self._dims)}", "store its shape in the file's value_info"
        return "is unknown", "store its shape in the file's value_info; the operator has no shape inference here"


def _resolved(dim: onnx.TensorShapeProto.Dimension, dims: Mapping[str, int]) -> int | None:
    if dim.HasField("dim_value"):
        return dim.dim_value if dim.dim_value >= 0 else None
    return dims.get(dim.dim_param) if dim.dim_param else None


def _spelled(shape: onnx.TensorShapeProto, dims: Mapping[str, int]) -> str:
    sizes = [_resolved(dim, dims) for dim in shape.dim]
    entries = [
        str(size) if size is not None else dim.dim_param or "?" for dim, size in zip(shape.dim, sizes, strict=True)
    ]
    return f"[{', '.join(entries)}]"


def _bound(model: onnx.ModelProto, dims: Mapping[str, int]) -> onnx.ModelProto:
    """Set dimensions by name, those that inference named included."""
    for held in all_graphs(model.graph):
        for value in (*held.input, *held.output, *held.value_info):
            for dim in value.type.tensor_type.shape.dim:
                if dim.dim_param in dims:
                    dim.dim_value = dims[dim.dim_param]
    return model


def infer(model: onnx.ModelProto, dims: Mapping[str, int], where: str) -> onnx.ModelProto:
    """Bind the symbolic dimensions of the inputs and infer all shapes that follow.

    A dimension without a name is called ``INPUT.AXIS``; one that is an expression of others follows from them.
    Data-dependent sizes keep the names that shape inference
    gives them; they are looked up in `dims` where they matter (see `Values`).

    Raises
    ------
    UserError
        If a dimension of an input stays open, a name in `dims` occurs nowhere, or shape inference fails.
    """
    graph = model.graph
    weights = {tensor.name for tensor in graph.initializer}
    feeds = [value for value in graph.input if value.name not in weights]
    for value in feeds:
        for axis, dim in enumerate(value.type.tensor_type.shape.dim):
            if not dim.dim_param and dim.dim_value <= 0:
                # Old exporters write an unknown size as 0 or -1.
                dim.dim_param = f"{value.name}.{axis}"
    check_sizes(dims, where)
    known = _symbols(model)
    given, dims = dims, with_derived(dims, sorted(known), where)
    bound = {dim.dim_param for value in feeds for dim in value.type.tensor_type.shape.dim} & set(dims)
    _check_feeds(feeds, dims, where)
    declared = onnx.GraphProto(output=graph.output)
    if bound:
        _forget_inferred(graph)
    _bound(model, dims)
    for tensor in graph.initializer:
        if len(tensor.raw_data) > _HEAVY_BYTES:
            tensor.ClearField("raw_data")
    check_ranks(graph, where)
    found, inferred = guarded(lambda: _completed(model, dims, where), where)
    known |= set(found)
    for value, before in zip(inferred.graph.output, declared.output, strict=True):
        if not value.type.tensor_type.HasField("shape"):
            value.type.CopyFrom(before.type)
    check_names(given, known | _symbols(inferred) | loop_names(inferred.graph), where)
    return inferred


def _completed(model: onnx.ModelProto, dims: Mapping[str, int], where: str) -> tuple[list[str], onnx.ModelProto]:
    """Return the names of dimensions that inference found, and the model with all shapes that follow.

    onnx's data propagation is not used: it makes an entry for every element of any value of one dimension.
    """
    inferred = shape_inference.infer_shapes(model)
    return sorted(_symbols(inferred)), complete_shapes(_bound(inferred, dims), dims, where)


def _check_feeds(feeds: list[onnx.ValueInfoProto], dims: Mapping[str, int], where: str) -> None:
    """Refuse open dimensions of all inputs at once, so that one more try suffices."""
    symbols: list[str] = []
    shapes: list[str] = []
    for value in feeds:
        if not value.type.tensor_type.HasField("shape"):
            raise UserError(
                f"the input {value.name!r} has no shape", where=where, hint="declare it as a tensor with a shape"
            )
        shape = value.type.tensor_type.shape
        missing = [dim.dim_param for dim in shape.dim if _resolved(dim, dims) is None]
        symbols += missing
        shapes += [f"{value.name!r} is {_spelled(shape, dims)}"] if missing else []
    if symbols:
        more = f" and {len(shapes) - 2} more" if len(shapes) > 2 else ""
        raise UserError(
            f"the shape of input {', '.join(shapes[:2])}{more}",
            where=where,
            hint=f"give {dims_argument(dict.fromkeys(to_give(symbols, dims), 1))}",
        )


def _forget_inferred(graph: onnx.GraphProto) -> None:
    """Drop stored shapes that inference finds again: they may still speak of the sizes before binding."""
    own = {name for node in graph.node if node.domain in STANDARD_DOMAINS for name in node.output}
    for value in graph.output:
        if value.name in own:
            value.type.tensor_type.ClearField("shape")
    kept = [value for value in graph.value_info if value.name not in own]
    del graph.value_info[:]
    graph.value_info.extend(kept)


def _symbols(model: onnx.ModelProto) -> set[str]:
    return {
        dim.dim_param
        for graph in all_graphs(model.graph)
        for value in (*graph.input, *graph.output, *graph.value_info)
        for dim in value.type.tensor_type.shape.dim
        if dim.dim_param
    }
