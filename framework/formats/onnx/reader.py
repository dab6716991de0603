"""ONNX models: shapes inferred, constants folded into parameters, FLOPs and bytes counted from the shapes.

* Every ONNX node that depends on an input of the model, and every source of random numbers, is a node. The inputs of
  the model are not nodes: the feed is free, as is fetching the results. Operators that only relabel data (Reshape,
  Identity, Dropout, Shape, ...) cost nothing but stay nodes, so that every ONNX node has its place in a partition; so
  do nodes that lead to no output, which count with a remark, or cost nothing with `drop_unused`. A node with subgraphs
  is one node (`framework.formats.onnx.bodies`); an If on a constant is replaced by the branch taken, and functions are
  inlined (`framework.formats.onnx.inlining`).
* Initializers and constants are parameters, known by their names: one that several nodes use, or bodies inside them, is
  a shared parameter. An expression of constants only is folded into the nodes that use it, as the smaller of its result
  and what it is computed from: the result is a parameter of its own, what it is computed from (the quantised weight
  behind a dequantised one, a table behind its transpose) is shared with all others that use it. A remark says where a
  smaller result, as a part of a table, counts in place of all. Weights may be absent or external: only shapes are read.
* Operations are counted by `framework.formats.onnx.operators.rules`; a remark names the nodes whose operator it
  does not know, and those whose number of trips is unknown (``--dim NODE=TRIPS`` sets it). The bytes accessed are those
  of inputs, parameters and outputs, with the element sizes that the model declares. Each output that some node uses is
  a tensor of its own.
* What attention keeps of past tokens is the state of its node, where the user says how many tokens
  (`framework.formats.onnx.operators.kept`).
* A node is called by its own name if no other node has it, else by the name of its first output (`node_labels`).
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from framework.errors import UserError
from framework.formats.builder import GraphBuilder
from framework.formats.onnx.bodies import Cost, Findings, Pricer, listed
from framework.formats.onnx.constants import Constants
from framework.formats.onnx.dims import conflict, dim_options
from framework.formats.onnx.inlining import prepared
from framework.formats.onnx.operators.kept import kept_per_token, state_of
from framework.formats.onnx.operators.standard import attribute
from framework.formats.onnx.shapes.values import Values, infer, type_name
from framework.formats.onnx.tensor_types import TensorType
from framework.formats.onnx.wiring import (
    BROADCASTING,
    constant_origins,
    placed_nodes,
    subgraphs,
    unused_nodes,
    used_values,
)
from framework.formats.source import PathLike, graph_name
from framework.input_files import read_bytes
from framework.model.graph import FloatArray, ModelGraph, PhysicalCosts
from framework.wording import choose, counted


def read(
    path: PathLike, *, dims: Mapping[str, int] | None = None, drop_unused: bool = False, kv_tokens: int = 0
) -> ModelGraph:
    """Read an ONNX model; options as for `framework.formats.read_graph`."""
    return parse(read_bytes(path), path, dims=dims, drop_unused=drop_unused, kv_tokens=kv_tokens)


def parse(
    data: bytes,
    path: PathLike,
    *,
    dims: Mapping[str, int] | None = None,
    drop_unused: bool = False,
    kv_tokens: int = 0,
) -> ModelGraph:
    """Read an ONNX model from the (decompressed) content of the file `path`."""
    where = os.fspath(path)
    model = _load(data, where)
    model, remarks = prepared(model, where)
    model = infer(model, dims or {}, where)
    reader = _Reader(model.graph, dims or {}, where, drop_unused=drop_unused, kv_tokens=kv_tokens)
    return reader.convert(graph_name(path), remarks)


def _load(data: bytes, where: str) -> onnx.ModelProto:
    hint = "the file is damaged, or of another kind"
    try:
        model = onnx.load_model_from_string(data)
    except (DecodeError, ValueError) as error:
        raise UserError(f"not an ONNX model: {error}", where=where, hint=hint) from None
    if not model.HasField("graph"):
        raise UserError("this ONNX file holds no graph", where=where, hint=hint)
    return model


_MOST_BITS = 900
"""Numbers of more bits are no costs, and do not fit into a floating-point number with room to add them up."""


class _Reader:
    """The conversion of one model, its shapes inferred.

    Parameters
    ----------
    graph
        The main graph.
    dims
        Sizes that the user gave.
    where
        The file, for errors.
    drop_unused
        Whether nodes that no output depends on cost nothing and use nothing.
    kv_tokens
        Tokens whose keys and values attention nodes keep.
    """

    def __init__(
        self, graph: onnx.GraphProto, dims: Mapping[str, int], where: str, *, drop_unused: bool, kv_tokens: int
    ) -> None:
        self._graph = graph
        self._dims = dims
        self._values = Values(graph, dims)
        self._pricer = Pricer(dims)
        self._where = where
        self._origins = constant_origins(graph)
        self._drop_unused = drop_unused
        self._kv_tokens = kv_tokens

    def convert(self, name: str, remarks: Sequence[str]) -> ModelGraph:
        """Return the graph of all nodes that are not constant."""
        builder = GraphBuilder(self._where)
        consumers: dict[str, list[int]] = {}
        placed = placed_nodes(self._graph, self._origins)
        nodes = [self._graph.node[position] for position, _ in placed]
        unused = set(unused_nodes(self._graph, nodes))
        dropped = unused if self._drop_unused else set()
        for node, (_, label) in zip(nodes, placed, strict=True):
            index = builder.add_node(label, name=label, op=node.op_type, place=f"node {label!r}")
            for used in used_values(node) if index not in dropped else ():
                consumers.setdefault(used, []).append(index)
        if self._graph.node and not nodes:
            raise UserError("no node depends on an input", where=self._where, hint="the model computes a constant")
        results = {value.name for value in self._graph.output}
        tensor_bytes: list[int] = []
        costs: list[Cost] = []
        constants = Constants(self._values, self._origins, self._where)
        for index, node in enumerate(nodes):
            if index in dropped:
                costs.append(Cost())
                continue
            place = f"node {builder.names[index]!r} ({node.op_type})"
            self._refuse_misfits(node, place)
            for output in node.output:
                if output in consumers or output in results:
                    nbytes = self._output_bytes(node, output, place)
                    if output in consumers:
                        builder.add_tensor(index, consumers[output], place=place)
                        tensor_bytes.append(nbytes)
            parameters = {
                name: constants.use(name, index, place) for name in used_values(node) if name in self._origins
            }
            cost = self._pricer.node_cost(node, builder.names[index], self._values, parameters)
            constants.uses.add(index, index, cost.parameters)  # Of its bodies' own constants.
            cost.parameters += sum(parameters.values())
            costs.append(cost)

        def numbers(values: list[int], what: str) -> FloatArray:
            for index, value in enumerate(values):
                if value.bit_length() > _MOST_BITS:
                    raise UserError(
                        f"{what} is {_spelled(value)}",
                        where=f"{self._where}, {builder.describe(index)}",
                        hint="check the sizes of the inputs",
                    )
            return np.array(values, np.float64)

        numbers([cost.parameters for cost in costs], "the size of its parameters")
        shared = constants.uses.shared()
        state, on_state = self._state(nodes, builder.names, dropped)
        return builder.build(
            PhysicalCosts(
                flops=numbers([cost.flops for cost in costs], "the number of operations"),
                parameter_bytes=constants.uses.private(len(nodes)),
                accessed_bytes=numbers([cost.accessed for cost in costs], "the number of bytes accessed"),
                seconds=np.full(len(costs), math.nan),
                tensor_bytes=np.array(tensor_bytes, np.float64),
                shared_bytes=shared.sizes.astype(np.float64),
                state_bytes=numbers(state, "the size of its keys and values"),
            ),
            shared=shared.users,
            shared_names=shared.names,
            name=name,
            source=self._where,
            batch=self._batch(),
            dtype=self._dtype(),
            remarks=[*remarks, *constants.remarks(), *on_state, *self._remarks(nodes, builder.names, costs, unused)],
        )

    def _state(
        self, nodes: Sequence[onnx.NodeProto], labels: Sequence[str], dropped: Set[int]
    ) -> tuple[list[int], list[str]]:
        """Return the bytes that each node keeps from one step to the next, and remarks on them; nothing unasked."""
        if not self._kv_tokens:
            return [], []
        kept = [
            None if index in dropped else kept_per_token(node, self._types(node.input), self._types(node.output))
            for index, node in enumerate(nodes)
        ]
        try:
            return state_of(kept, self._kv_tokens, labels)
        except UserError as error:
            raise UserError(error.what, where=self._where, hint=error.hint) from None

    def _types(self, names: Iterable[str]) -> list[TensorType | None]:
        return [self._values.get(name) if name else None for name in names]

    def _output_bytes(self, node: onnx.NodeProto, value: str, place: str) -> int:
        found = self._values.get(value)
        if found is None:
            what, hint = self._values.why_unknown(value)
            raise UserError(f"the shape of its output {value!r} {what}", where=f"{self._where}, {place}", hint=hint)
        if found.nbytes >= 1 << 63:
            raise UserError(
                f"its output {value!r} of shape {list(found.shape)} has {_spelled(found.elements)} elements",
                where=f"{self._where}, {place}",
                hint="no machine holds it; check the sizes of the inputs",
            )
        return found.nbytes

    def _refuse_misfits(self, node: onnx.NodeProto, place: str) -> None:
        """Refuse inputs whose sizes contradict each other: the cause is a dimension, not the operator."""
        if node.op_type not in (*BROADCASTING, "MatMul") or attribute(node, "broadcast", 0):
            return
        known = {name: found.shape for name in node.input if name and (found := self._values.get(name)) is not None}
        shapes = [known[name] for name in node.input if name in known]
        if node.op_type == "MatMul" and len(shapes) == 2 and min(map(len, shapes)) > 1:
            pair = conflict([shapes[0][-1:], shapes[1][-2:-1]], self._dims)
        else:
            pair = conflict(shapes, self._dims) if node.op_type != "MatMul" else None
        if pair is not None:
            first, second, blamed = pair
            spelled = ", ".join(f"{name!r} is {list(size)}" for name, size in known.items())
            raise UserError(
                f"the sizes of its inputs contradict each other, {first} against {second}: {spelled}",
                where=f"{self._where}, {place}",
                hint=f"check {blamed}" if blamed else "check the shapes of the model's inputs",
            )

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

    def _remarks(
        self, nodes: Sequence[onnx.NodeProto], labels: Sequence[str], costs: Sequence[Cost], unused: Set[int]
    ) -> list[str]:
        remarks = []
        if unused:
            remarks.append(self._on_unused(labels, costs, sorted(unused)))
        return [
            *remarks,
            *_on_bodies(nodes, labels, costs, {value.name for value in self._graph.input}),
            *_on_findings(self._pricer.findings),
        ]

    def _on_unused(self, labels: Sequence[str], costs: Sequence[Cost], unused: Sequence[int]) -> str:
        what, names = counted(len(unused), "node leads", "nodes lead"), listed([repr(labels[i]) for i in unused])
        if self._drop_unused:
            return f"{what} to no output of the model and {choose(len(unused), 'costs', 'cost')} nothing: {names}"
        verb = choose(len(unused), "counts", "count")
        left_out = f"{_share(sum(costs[i].flops for i in unused), costs)} (leave out with --drop-unused)"
        return f"{what} to no output of the model and {verb} all the same, {left_out}: {names}"


def _spelled(count: int) -> str:
    return f"{count:.3g}" if count.bit_length() < _MOST_BITS else f"2^{count.bit_length() - 1}"


def _share(flops: int, costs: Sequence[Cost]) -> str:
    total = sum(cost.flops for cost in costs)
    return f"{100 * flops / total:.3g}% of all operations" if total else "none of the operations"


def _on_bodies(
    nodes: Sequence[onnx.NodeProto], labels: Sequence[str], costs: Sequence[Cost], inputs: Set[str]
) -> list[str]:
    """Say which nodes hold others, and whether one of them is most of the model."""
    with_bodies = [i for i, node in enumerate(nodes) if subgraphs(node)]
    if not with_bodies:
        return []
    kinds = ", ".join(sorted({nodes[i].op_type for i in with_bodies}))
    are = choose(len(with_bodies), "is one node", "are one node each")
    remarks = [f"{counted(len(with_bodies), 'node')} with subgraphs ({kinds}) {are}"]
    largest = max(with_bodies, key=lambda i: costs[i].flops)
    if len(nodes) == 1 or 2 * costs[largest].flops > sum(cost.flops for cost in costs):
        node = nodes[largest]
        whole = "the whole model" if len(nodes) == 1 else f"{_share(costs[largest].flops, costs)}"
        hint = ""
        if node.op_type == "If" and node.input:
            name = node.input[0]
            way = f"store the input {name!r} as an initializer too" if name in inputs else f"make {name!r} a constant"
            hint = f" (to see inside the branch that is taken, {way})"
        remarks.append(f"node {labels[largest]!r} ({node.op_type}) is {whole} and cannot be split{hint}")
    return remarks


def _on_findings(findings: Findings) -> list[str]:
    remarks = []
    if findings.open_loops:
        first = findings.open_loops[0].rpartition(" (")[0].strip("'")
        remarks.append(
            f"the number of trips is unknown, the body counts once: {listed(findings.open_loops)} "
            f"(set it with {dim_options([first], 20)})"
        )
    if findings.bounded_loops:
        remarks.append(f"counted to their bound, though a condition may end them: {listed(findings.bounded_loops)}")
    if findings.shapeless:
        remarks.append(f"inside bodies, an unknown shape counts as nothing: {listed(findings.shapeless)}")
    if findings.unruled:
        remarks.append(
            f"operators without a cost rule count as one operation per element of the first output (a guess): "
            f"{listed(findings.unruled)}"
        )
    return remarks
