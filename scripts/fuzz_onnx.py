"""Mutations of ONNX models: operators, names, attributes, shapes, types, weights, versions."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any


def mutate_onnx(rng: Random, data: bytes) -> bytes:
    """Edit an ONNX model: operators, names, attributes, shapes, types, weights, versions."""
    import onnx

    model = onnx.load_model_from_string(data)
    graphs = [model.graph]
    for graph in graphs:
        graphs += [attribute.g for node in graph.node for attribute in node.attribute if attribute.HasField("g")]
    for _ in range(rng.choice((1, 1, 2, 3))):
        graph = rng.choice(graphs)
        rng.choice(_ONNX_EDITS)(rng, model, graph)
    try:
        return model.SerializeToString()
    except ValueError:  # Some texts do not fit into protobuf.
        return data


_NUMBERS = (0, 1, -1, 7, 2**31, 2**62, -(2**63), 2**63 - 1)
_NAMES = ("", "x", "[red]x[/]", "$y$", "a\nb", "../x", "é" * 300)


def _edit_node(rng: Random, model: Any, graph: Any) -> None:
    if not graph.node:
        return
    node = rng.choice(graph.node)
    names = [name for other in graph.node for name in (*other.input, *other.output)] + list(_NAMES)
    kind = rng.randrange(7)
    if kind == 0:
        node.op_type = rng.choice(("", "Foo", "Conv", "MatMul", "Loop", "If", "Expand", "Reshape", "Range", "Tile"))
    elif kind == 1:
        node.domain = rng.choice(("", "com.microsoft", "[red]", "ai.onnx.ml"))
    elif kind == 2 and node.input:
        node.input[rng.randrange(len(node.input))] = rng.choice(names)
    elif kind == 3 and node.output:
        node.output[rng.randrange(len(node.output))] = rng.choice(names)
    elif kind == 4:
        node.name = rng.choice(_NAMES)
    elif kind == 5:
        graph.node.remove(node)
    else:
        graph.node.add().CopyFrom(node)


def _edit_attribute(rng: Random, model: Any, graph: Any) -> None:
    attributes = [attribute for node in graph.node for attribute in node.attribute]
    if not attributes:
        return
    attribute = rng.choice(attributes)
    kind = rng.randrange(5)
    if kind == 0:
        attribute.i = rng.choice(_NUMBERS)
    elif kind == 1:
        attribute.ints.append(rng.choice(_NUMBERS))
    elif kind == 2:
        del attribute.ints[: rng.randint(0, 2)]
    elif kind == 3:
        attribute.type = rng.randint(0, 14)
    else:
        attribute.name = rng.choice(("", "to", "axis", "kernel_shape", "body"))


def _edit_tensor(rng: Random, model: Any, graph: Any) -> None:
    tensors = [*graph.initializer, *(a.t for n in graph.node for a in n.attribute if a.HasField("t"))]
    if not tensors:
        return
    tensor = rng.choice(tensors)
    kind = rng.randrange(6)
    if kind == 0:
        tensor.dims.append(rng.choice(_NUMBERS))
    elif kind == 1 and tensor.dims:
        tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(_NUMBERS)
    elif kind == 2:
        tensor.data_type = rng.choice((0, 1, 7, 8, 10, 16, 23, 99))
    elif kind == 3:
        tensor.raw_data = tensor.raw_data[: rng.randint(0, 8)]
    elif kind == 4:
        tensor.name = rng.choice(_NAMES)
    else:
        tensor.data_location = 1
        for key, value in (("location", rng.choice(("w.bin", "/etc/passwd", "../w", ""))), ("offset", "-1")):
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value


def _edit_value(rng: Random, model: Any, graph: Any) -> None:
    values = [*graph.input, *graph.output, *graph.value_info]
    if not values:
        return
    value = rng.choice(values)
    shape = value.type.tensor_type.shape
    kind = rng.randrange(5)
    if kind == 0:
        shape.dim.add().dim_value = rng.choice(_NUMBERS)
    elif kind == 1 and shape.dim:
        rng.choice(shape.dim).dim_value = rng.choice(_NUMBERS)
    elif kind == 2 and shape.dim:
        rng.choice(shape.dim).dim_param = rng.choice(("batch", "[red]", "", "$n$", "a b"))
    elif kind == 3:
        value.name = rng.choice(_NAMES)
    else:
        value.type.tensor_type.elem_type = rng.choice((0, 1, 7, 8, 16, 99))


def _edit_model(rng: Random, model: Any, graph: Any) -> None:
    kind = rng.randrange(5)
    if kind == 0 and model.opset_import:
        model.opset_import[0].version = rng.choice((0, -1, 1, 7, 10**6))
    elif kind == 1:
        model.ir_version = rng.choice((0, -1, 1, 10**6))
    elif kind == 2:
        model.opset_import.add().domain = rng.choice(("", "com.microsoft", "[red]"))
    elif kind == 3:
        graph.name = rng.choice(_NAMES)
    else:
        del graph.output[:]


_ONNX_EDITS: tuple[Callable[[Random, Any, Any], None], ...] = (
    _edit_node,
    _edit_node,
    _edit_attribute,
    _edit_tensor,
    _edit_value,
    _edit_model,
)
