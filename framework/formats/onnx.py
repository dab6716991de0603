"""ONNX models: shapes inferred, constants folded into parameters, FLOPs and bytes counted from the shapes.

* Every ONNX node that depends on an input of the model, and every source of random numbers, is a node. The inputs of
  the model are not nodes: the feed is free, as is fetching the results. Operators that only relabel data (Reshape,
  Identity, Dropout, Shape, ...) cost nothing but stay nodes, so that every ONNX node has its place in a partition. A
  node with subgraphs is one node: an If costs what its dearest branch costs, a Loop or Scan its body times the number
  of trips, or once where that is unknown; a remark says so. Functions of the model are inlined.
* Initializers and constants are parameters. An expression of constants only is folded into the nodes that use it, as
  the smaller of its result and what it is computed from (a dequantised weight is stored quantised). A parameter that
  several nodes use counts for each; a remark says how many bytes that adds. Weights may be absent or external: only
  shapes are read.
* Operations are counted by `framework.formats.onnx_flops`. The bytes accessed are those of inputs, parameters and
  outputs, with the element sizes that the model declares. Each output that some node uses is a tensor of its own.
* A node is called by its own name if no other node has it, else by the name of its first output (`node_labels`).
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import inliner

from framework.errors import UserError
from framework.formats.builder import GraphBuilder, float_column
from framework.formats.onnx_flops import COUNTED, PARTIAL_READS, SHAPE_ONLY, attribute, node_flops
from framework.formats.onnx_structure import (
    STANDARD_DOMAINS,
    check_order,
    constant_origins,
    placed_nodes,
    subgraphs,
    used_values,
)
from framework.formats.onnx_values import TensorType, Values, infer, type_name
from framework.formats.source import PathLike, graph_name
from framework.input_files import read_bytes
from framework.model.graph import FloatArray, ModelGraph, PhysicalCosts


def read(path: PathLike, *, dims: Mapping[str, int] | None = None) -> ModelGraph:
    """Read an ONNX model; `dims` gives the sizes of symbolic dimensions by name."""
    return parse(read_bytes(path), path, dims=dims)


def parse(data: bytes, path: PathLike, *, dims: Mapping[str, int] | None = None) -> ModelGraph:
    """Read an ONNX model from the (decompressed) content of the file `path`."""
    where = os.fspath(path)
    model = _load(data, where)
    remarks = []
    if model.functions:
        remarks.append(f"{len(model.functions)} functions of the model were inlined")
        model = inliner.inline_local_functions(model)
    check_order(model.graph, where)
    model = infer(model, dims or {}, where)
    reader = _Reader(model.graph, Values(model.graph, dims or {}), where)
    return reader.convert(graph_name(path), remarks)


def _load(data: bytes, where: str) -> onnx.ModelProto:
    mend = "the file is damaged, or of another kind"
    try:
        model = onnx.load_model_from_string(data)
    except (DecodeError, ValueError) as error:
        raise UserError(f"not an ONNX model: {error}", where=where, mend=mend) from None
    if not model.HasField("graph"):
        raise UserError("this ONNX file holds no graph", where=where, mend=mend)
    return model


@dataclass(slots=True)
class _Cost:
    flops: int = 0
    accessed: int = 0
    parameters: int = 0


class _Reader:
    """The conversion of one model, its shapes inferred.

    Parameters
    ----------
    graph
        The main graph.
    values
        The types of its values.
    where
        The file, for errors.
    """

    def __init__(self, graph: onnx.GraphProto, values: Values, where: str) -> None:
        self._graph = graph
        self._values = values
        self._where = where
        self._origins = constant_origins(graph)

    def convert(self, name: str, remarks: Sequence[str]) -> ModelGraph:
        """Return the graph of all nodes that are not constant."""
        builder = GraphBuilder(self._where)
        consumers: dict[str, list[int]] = {}
        nodes: list[onnx.NodeProto] = []
        for position, label in placed_nodes(self._graph, self._origins):
            node = self._graph.node[position]
            index = builder.add_node(label, name=label, op=node.op_type, place=f"node {label!r}")
            nodes.append(node)
            for used in used_values(node):
                consumers.setdefault(used, []).append(index)
        if self._graph.node and not nodes:
            raise UserError("no node depends on an input", where=self._where, mend="the model computes a constant")
        results = {value.name for value in self._graph.output}
        tensor_bytes: list[int] = []
        costs: list[_Cost] = []
        for index, node in enumerate(nodes):
            place = f"node {builder.names[index]!r} ({node.op_type})"
            for output in node.output:
                if output in consumers or output in results:
                    nbytes = self._output_bytes(output, place)
                    if output in consumers:
                        builder.add_tensor(index, consumers[output], place=place)
                        tensor_bytes.append(nbytes)
            costs.append(self._cost(node, place))

        def numbers(values: list[int], what: str) -> FloatArray:
            return float_column(values, what, builder.describe, self._where)

        return builder.build(
            PhysicalCosts(
                flops=numbers([cost.flops for cost in costs], "the number of operations"),
                parameter_bytes=numbers([cost.parameters for cost in costs], "the size of its parameters"),
                accessed_bytes=numbers([cost.accessed for cost in costs], "the number of bytes accessed"),
                seconds=np.full(len(costs), math.nan),
                tensor_bytes=float_column(tensor_bytes, "its size", builder.describe_tensor, self._where),
            ),
            name=name,
            source=self._where,
            batch=self._batch(),
            dtype=self._dtype(),
            remarks=[*remarks, *self._remarks(nodes)],
        )

    def _output_bytes(self, value: str, place: str) -> int:
        found = self._values.get(value)
        if found is None:
            what, mend = self._values.why_unknown(value)
            raise UserError(f"the shape of its output {value!r} {what}", where=f"{self._where}, {place}", mend=mend)
        return found.nbytes

    def _parameter_bytes(self, constant: str, place: str) -> int:
        """Size of a constant: its result's, or that of what it is computed from if that is smaller."""
        result = self._values.get(constant)
        stored = [self._values.get(origin) for origin in self._origins[constant]]
        sizes = [] if result is None else [result.nbytes]
        if None not in stored:
            sizes.append(sum(origin.nbytes for origin in stored if origin is not None))
        if not sizes:
            what, mend = self._values.why_unknown(constant)
            raise UserError(
                f"the shape of the constant {constant!r} {what}", where=f"{self._where}, {place}", mend=mend
            )
        return min(sizes)

    def _cost(self, node: onnx.NodeProto, place: str) -> _Cost:
        used = used_values(node)
        parameters = {name: self._parameter_bytes(name, place) for name in used if name in self._origins}
        if subgraphs(node):
            cost = _body_cost(node, self._values, self._trips(node))
            cost.parameters += sum(parameters.values())
            return cost
        cost = _Cost(flops=_flops(node, self._values), parameters=sum(parameters.values()))
        if node.op_type not in SHAPE_ONLY:
            cost.accessed = _accessed(node, self._values, parameters)
        return cost

    def _trips(self, node: onnx.NodeProto) -> int | None:
        """Return how often a node runs its body, as far as the model says so."""
        if node.op_type == "If":
            return 1
        if node.op_type == "Scan":
            scanned = attribute(node, "num_scan_inputs", 0)
            found = self._values.get(node.input[-scanned]) if 0 < scanned <= len(node.input) else None
            return found.shape[0] if found is not None and found.shape else None
        if node.op_type == "Loop":
            return _constant_integer(self._graph, node.input[0])
        return None

    def _batch(self) -> int | None:
        for value in self._graph.input:
            found = self._values.get(value.name) if value.name not in self._origins else None
            if found is not None and len(found.shape) > 1:
                return found.shape[0]
        return None

    def _dtype(self) -> str:
        """Return the element type that most parameter bytes have, else that of the first input."""
        nbytes: Counter[int] = Counter()
        for origin in {origin for origins in self._origins.values() for origin in origins}:
            nbytes[self._values.element_type(origin)] += self._values.nbytes(origin)
        inputs = [self._values.element_type(value.name) for value in self._graph.input]
        kinds = [kind for kind, _ in sorted(nbytes.items(), key=lambda item: (-item[1], item[0])) if nbytes[kind]]
        return type_name([*kinds, *inputs, 0][0])

    def _remarks(self, nodes: Sequence[onnx.NodeProto]) -> list[str]:
        remarks = []
        users = Counter(
            origin
            for node in nodes
            for origin in {o for name in used_values(node) for o in self._origins.get(name, ())}
        )
        extra = {origin: (count - 1) * self._values.nbytes(origin) for origin, count in users.items() if count > 1}
        if extra:
            remarks.append(
                f"{len(extra)} parameters are used by several nodes and count for each of them "
                f"(in all {sum(extra.values())} bytes more than the model stores)"
            )
        with_bodies = [node for node in nodes if subgraphs(node)]
        if with_bodies:
            once = sum(self._trips(node) is None for node in with_bodies)
            kinds = ", ".join(sorted({node.op_type for node in with_bodies}))
            open_ended = f"; of {once} the number of trips is unknown, their bodies are counted once" if once else ""
            remarks.append(f"{len(with_bodies)} nodes with subgraphs ({kinds}) are one node each{open_ended}")
        unknown = Counter(node.op_type for node in nodes if not _is_counted(node))
        if unknown:
            remarks.append(
                f"operators without a cost rule, counted as one operation per output element: "
                f"{', '.join(f'{op} ({count})' for op, count in sorted(unknown.items()))}"
            )
        return remarks


def _is_counted(node: onnx.NodeProto) -> bool:
    return bool(subgraphs(node)) or node.domain in STANDARD_DOMAINS or node.op_type in COUNTED


def _types(values: Values, names: Iterable[str]) -> list[TensorType | None]:
    return [values.get(name) if name else None for name in names]


def _flops(node: onnx.NodeProto, values: Values) -> int:
    return node_flops(node, _types(values, node.input), _types(values, node.output))


def _accessed(node: onnx.NodeProto, values: Values, parameters: Mapping[str, int]) -> int:
    """Return the bytes a node reads and writes; `parameters` overrides the size of constants."""
    written = sum(values.nbytes(name) for name in node.output)
    read = 0
    for name in used_values(node):
        nbytes = parameters[name] if name in parameters else values.nbytes(name)
        partial = node.op_type in PARTIAL_READS and name == node.input[0]
        read += min(nbytes, written) if partial else nbytes
    return read + written


def _body_cost(node: onnx.NodeProto, outer: Values, trips: int | None) -> _Cost:
    """Price a node with subgraphs: its dearest body, times its trips; every body's parameters."""
    bodies = [_graph_cost(graph, outer.inside(graph)) for graph in subgraphs(node)]
    times = 1 if trips is None else trips
    return _Cost(
        flops=times * max(body.flops for body in bodies),
        accessed=times * max(body.accessed for body in bodies),
        parameters=sum(body.parameters for body in bodies),
    )


def _graph_cost(graph: onnx.GraphProto, values: Values) -> _Cost:
    """Add up a subgraph; its own constants are parameters, and values of unknown shape count nothing."""
    total = _Cost(parameters=sum(values.nbytes(tensor.name) for tensor in graph.initializer))
    for node in graph.node:
        if node.op_type == "Constant":
            total.parameters += sum(values.nbytes(name) for name in node.output)
        elif subgraphs(node):
            inner = _body_cost(node, values, None)
            total = _Cost(
                flops=total.flops + inner.flops,
                accessed=total.accessed + inner.accessed,
                parameters=total.parameters + inner.parameters,
            )
        elif node.op_type not in SHAPE_ONLY:
            total.flops += _flops(node, values)
            total.accessed += _accessed(node, values, {})
    return total


def _constant_integer(graph: onnx.GraphProto, name: str) -> int | None:
    """Return the value of a scalar integer constant whose data the model holds."""
    stored = [tensor for tensor in graph.initializer if tensor.name == name]
    for node in graph.node:
        if node.op_type == "Constant" and name in node.output:
            value = attribute(node, "value", None)
            stored += [value] if isinstance(value, onnx.TensorProto) else []
    for tensor in stored:
        if math.prod(tensor.dims) == 1 and (tensor.raw_data or tensor.int64_data):
            return max(0, int(onnx.numpy_helper.to_array(tensor).item()))
    return None
