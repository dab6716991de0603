"""What a node with subgraphs costs: If, Loop, Scan and the like, one inside another to any depth.

An If costs what its dearest branch costs, a Loop or Scan its body times the number of trips. A number of trips that the
model does not say counts as one, and is reported: a Loop whose bound depends on data, or is so large that it only means
"until the body says stop", as exporters write it (the largest integer of 32 or 64 bits).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import onnx

from framework.formats.onnx.operators.rules import find_rule, node_flops, operator_name, partial_reads, touches_no_data
from framework.formats.onnx.operators.standard import attribute
from framework.formats.onnx.shapes.folding import TRIPS
from framework.formats.onnx.shapes.values import Values
from framework.formats.onnx.wiring import node_labels, scan_axes, subgraphs, used_values

MOST_TRIPS = 10_000_000
"""A Loop with a larger bound is taken to end by its condition, after an unknown number of trips."""


@dataclass(slots=True)
class Cost:
    """What one run of a node, or of a graph, costs: operations, bytes accessed, bytes of parameters."""

    flops: int = 0
    accessed: int = 0
    parameters: int = 0

    def add(self, other: Cost, times: int = 1) -> None:
        """Add a cost, its operations and bytes accessed several times, its parameters once."""
        self.flops += times * other.flops
        self.accessed += times * other.accessed
        self.parameters += other.parameters


@dataclass(slots=True)
class Findings:
    """What was guessed, as places and words, while costs were added up.

    Attributes
    ----------
    unruled
        Nodes whose operator has no rule.
    open_loops
        Nodes whose number of trips is unknown, and why.
    bounded_loops
        Loops that their condition may end before the bound that was counted.
    shapeless
        Nodes inside bodies with an output of unknown shape: they count nothing.
    """

    unruled: list[str] = field(default_factory=list)
    open_loops: list[str] = field(default_factory=list)
    bounded_loops: list[str] = field(default_factory=list)
    shapeless: list[str] = field(default_factory=list)


class Pricer:
    """Adds up the costs of the nodes of a model.

    Parameters
    ----------
    dims
        Sizes given by the user; a loop's name stands for its number of trips.
    """

    def __init__(self, dims: Mapping[str, int]) -> None:
        self._dims = dims
        self.findings = Findings()

    def node_cost(self, node: onnx.NodeProto, label: str, values: Values, parameters: Mapping[str, int]) -> Cost:
        """Return what one run of a node costs.

        Parameters
        ----------
        label
            What people call the node, with the nodes around it.
        parameters
            Sizes of those of its inputs that are constants; they override what `values` says.
        """
        if subgraphs(node) and find_rule(node) is None:
            return self._bodies(node, label, values)
        cost = Cost()
        if find_rule(node) is None:
            self.findings.unruled.append(f"{label!r} ({operator_name(node)})")
        types = [values.get(name) if name else None for name in node.input]
        cost.flops = node_flops(node, types, [values.get(name) if name else None for name in node.output])
        if not touches_no_data(node):
            cost.accessed = _accessed(node, values, parameters)
        return cost

    def _bodies(self, node: onnx.NodeProto, label: str, values: Values) -> Cost:
        """Price a node with subgraphs: its dearest body, times its trips; every body's parameters."""
        times = 1 if node.op_type == "If" else self._trips(node, label, values)
        bodies = [self._graph(graph, label, values.inside(graph)) for graph in subgraphs(node)]
        return Cost(
            flops=times * max(body.flops for body in bodies),
            accessed=times * max(body.accessed for body in bodies),
            parameters=sum(body.parameters for body in bodies),
        )

    def _graph(self, graph: onnx.GraphProto, around: str, values: Values) -> Cost:
        """Add up a subgraph; its own constants are parameters, and values of unknown shape count nothing."""
        total = Cost(parameters=sum(values.nbytes(tensor.name) for tensor in graph.initializer))
        for node, name in zip(graph.node, node_labels(graph), strict=True):
            label = f"{around}/{name}"
            if node.op_type == "Constant":
                total.parameters += sum(values.nbytes(output) for output in node.output)
                continue
            if any(output and values.get(output) is None for output in node.output):
                self.findings.shapeless.append(f"{label!r} ({operator_name(node)})")
            total.add(self.node_cost(node, label, values, {}))
        return total

    def _trips(self, node: onnx.NodeProto, label: str, values: Values) -> int:
        """Return how often a node runs its body: 1, with a finding, where the model does not say."""
        given = self._dims.get(label)
        if given is not None:
            return given
        if node.op_type == "Scan":
            found = scan_trips(node, values)
        else:
            stated = next((int(entry.value) for entry in node.metadata_props if entry.key == TRIPS), None)
            found = stated if node.op_type == "Loop" else None
            if found is not None and found > MOST_TRIPS:
                self.findings.open_loops.append(f"{label!r} (bound {found})")
                return 1
            if found is not None and _may_end_early(node):
                self.findings.bounded_loops.append(f"{label!r} ({found})")
        if found is None:
            self.findings.open_loops.append(f"{label!r} ({operator_name(node)})")
            return 1
        return found


def scan_trips(node: onnx.NodeProto, values: Values) -> int | None:
    """Return how often a Scan runs: the length of its inputs along the axis it names (opset 8: in every sample)."""
    scanned = int(attribute(node, "num_scan_inputs", 0))
    if not 0 < scanned <= len(node.input):
        return None
    batched = len(node.input) > len(subgraphs(node)[0].input)
    axes = [1] * scanned if batched else scan_axes(node, "scan_input_axes", scanned)
    for name, axis in zip(node.input[-scanned:], axes, strict=True):
        found = values.get(name)
        if found is not None and -len(found.shape) <= axis < len(found.shape):
            return found.shape[axis] * (found.shape[0] if batched else 1)
    return None


def _may_end_early(node: onnx.NodeProto) -> bool:
    """Whether a Loop's body computes its condition, instead of handing on the one it was given, or a constant."""
    body = subgraphs(node)[0]
    if not body.output or len(body.input) < 2:
        return False
    name = body.output[0].name
    makers = {output: maker for maker in body.node for output in maker.output}
    # A damaged body may go round in a circle: each maker is followed once.
    while name in makers and makers[name].op_type in ("Identity", "Cast") and makers[name].input:
        name = makers.pop(name).input[0]
    return name in makers and makers[name].op_type != "Constant"


def _accessed(node: onnx.NodeProto, values: Values, parameters: Mapping[str, int]) -> int:
    """Return the bytes a node reads and writes; `parameters` overrides the size of constants."""
    written = sum(values.nbytes(name) for name in node.output)
    partial = {node.input[i] for i in partial_reads(node) if i < len(node.input)}
    read = 0
    for name in used_values(node):
        nbytes = parameters[name] if name in parameters else values.nbytes(name)
        read += min(nbytes, written) if name in partial else nbytes
    return read + written


def listed(places: Sequence[str], shown: int = 5) -> str:
    """Name a few places, and say how many more there are."""
    more = f" and {len(places) - shown} more" if len(places) > shown else ""
    return f"{', '.join(places[:shown])}{more}"
