"""Shapes that inference leaves open although they are fixed: computed by running what computes them.

Exporters write ``Shape -> Slice -> Concat -> Expand`` where a size is known once the inputs' sizes are. onnx's own
inference follows such chains through some operators only. Here every node whose inputs are small and known is run with
onnx's reference implementation, its results become constants, and inference is repeated, until nothing is gained.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper, shape_inference

from framework.formats.onnx_structure import RANDOM, subgraphs

_SMALL = 1 << 14
"""Elements of the largest value that is computed: shapes, masks and positions are below."""

_STANDARD = ("", "ai.onnx")
_SOURCES = ("Shape", "Size")

Known = dict[str, NDArray[Any]]


def complete_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return an inferred model with more shapes; the same where inference had found all, or nothing more is found.

    Parameters
    ----------
    model
        After shape inference, the sizes of its inputs bound; its nodes stay as they are.
    """
    if not _open_nodes(model.graph, _types(model.graph)):
        return model
    known: Known = {
        tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer if _is_at_hand(tensor)
    }
    opsets = list(model.opset_import)
    while _compute(model.graph, known, opsets):
        before = _open_nodes(model.graph, _types(model.graph))
        model = _inferred(model, known)
        if _open_nodes(model.graph, _types(model.graph)) == before:
            break
    return model


def _types(graph: onnx.GraphProto) -> dict[str, onnx.TypeProto]:
    return {value.name: value.type for value in (*graph.value_info, *graph.input, *graph.output)}


def _shape(name: str, types: Mapping[str, onnx.TypeProto], graph_known: Known) -> tuple[int, ...] | None:
    if name in graph_known:
        return graph_known[name].shape
    if name not in types or not types[name].tensor_type.HasField("shape"):
        return None
    dims = types[name].tensor_type.shape.dim
    return tuple(dim.dim_value for dim in dims) if all(dim.HasField("dim_value") for dim in dims) else None


def _open_nodes(graph: onnx.GraphProto, types: Mapping[str, onnx.TypeProto]) -> int:
    """Return how many nodes have an output of open shape."""
    return sum(any(name and _shape(name, types, {}) is None for name in node.output) for node in graph.node)


def _is_at_hand(tensor: onnx.TensorProto) -> bool:
    if tensor.data_location == onnx.TensorProto.EXTERNAL or math.prod(tensor.dims) > _SMALL:
        return False
    fields = ("raw_data", "int64_data", "int32_data", "float_data", "double_data", "uint64_data")
    return not math.prod(tensor.dims) or any(len(getattr(tensor, field)) for field in fields)


def _compute(graph: onnx.GraphProto, known: Known, opsets: list[onnx.OperatorSetIdProto]) -> int:
    """Run every node that can be run and has not been; return how many."""
    types, count = _types(graph), 0
    for node in graph.node:
        if all(name in known for name in node.output if name) or node.domain not in _STANDARD:
            continue
        if node.op_type in RANDOM or subgraphs(node):
            continue
        if node.op_type in _SOURCES:
            shape = _shape(node.input[0], types, known)
            feeds = None if shape is None else {node.input[0]: np.broadcast_to(np.float32(0), shape)}
        else:
            at_hand = all(name in known for name in node.input if name)
            feeds = {name: known[name] for name in node.input if name} if at_hand else None
        results = None if feeds is None else _run(node, feeds, opsets, types)
        if results is not None:
            known |= results
            count += 1
    return count


def _run(
    node: onnx.NodeProto, feeds: Known, opsets: list[onnx.OperatorSetIdProto], types: Mapping[str, onnx.TypeProto]
) -> Known | None:
    from onnx.reference import ReferenceEvaluator

    sizes = [_shape(name, types, {}) for name in node.output if name]
    if any(size is not None and math.prod(size) > _SMALL for size in sizes):
        return None
    inputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in feeds.items()
    ]
    outputs = [onnx.ValueInfoProto(name=name) for name in node.output if name]
    graph = helper.make_graph([node], "one", inputs, outputs)
    try:
        made = ReferenceEvaluator(helper.make_model(graph, opset_imports=opsets)).run(None, dict(feeds))
    except Exception:  # whatever it cannot run stays open, as it was
        return None
    results = dict(zip([output.name for output in outputs], made, strict=True))
    fits = all(isinstance(array, np.ndarray | np.generic) and array.size <= _SMALL for array in results.values())
    return {name: np.asarray(array) for name, array in results.items()} if fits else None


def _inferred(model: onnx.ModelProto, known: Known) -> onnx.ModelProto:
    """Infer again with all known values as constants, and add what was found to the model."""
    lean = onnx.ModelProto()
    lean.CopyFrom(model)
    graph = lean.graph
    computed = [node for node in graph.node if all(name in known for name in node.output if name)]
    made = {name for node in computed for name in node.output if name}
    kept = [node for node in graph.node if not all(name in known for name in node.output if name)]
    fixed = [value for value in graph.value_info if _shape(value.name, {value.name: value.type}, {}) is not None]
    for field, items in (("node", kept), ("value_info", fixed)):
        graph.ClearField(field)
        getattr(graph, field).extend(items)
    graph.initializer.extend(numpy_helper.from_array(known[name], name) for name in sorted(made))
    try:
        found = _types(shape_inference.infer_shapes(lean, data_prop=True).graph)
    except (shape_inference.InferenceError, RuntimeError, ValueError):
        return model
    for name in made:
        kind = helper.np_dtype_to_tensor_dtype(known[name].dtype)
        found[name] = helper.make_tensor_type_proto(kind, known[name].shape)
    outputs = {value.name for value in model.graph.output}
    result = onnx.ModelProto()
    result.CopyFrom(model)
    result.graph.ClearField("value_info")
    inputs = {value.name for value in model.graph.input}
    for name, kind in found.items():
        if name not in outputs | inputs:
            result.graph.value_info.add(name=name, type=kind)
    for value in result.graph.output:
        if value.name in found:
            value.type.CopyFrom(found[value.name])
    return result
