"""The wiring of an ONNX graph: names of nodes, the values each uses, what is constant, whether the order is right."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Collection, Iterator, Sequence

import numpy as np
import onnx

from framework.errors import UserError
from framework.formats.builder import GraphBuilder
from framework.model.graph import PhysicalCosts

STANDARD_DOMAINS = ("", "ai.onnx", "ai.onnx.ml")
"""Domains whose operators the onnx package can infer the shapes of."""


RANDOM = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)
"""Sources of random numbers: never constant, whatever they depend on."""


_SCOPES = "pkg.torch.onnx.name_scopes"
"""Where torch's exporter notes the modules around a node, as a list in the syntax of Python."""

_LONGEST_SCOPES = 1 << 14

BROADCASTING = frozenset(
    {
        "Add", "And", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Div", "Equal", "Greater", "GreaterOrEqual", "Less",
        "LessOrEqual", "Max", "Mean", "Min", "Mod", "Mul", "Or", "Pow", "Sub", "Sum", "Where", "Xor",
    }
)  # fmt: skip
"""Operators whose inputs are of one shape, or are stretched to one."""


_RELABELLING = frozenset({"Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"})
"""Operators whose result is the data of their first input; all others only say in which shape."""


def node_labels(graph: onnx.GraphProto) -> list[str]:
    """Return a distinct name for each node of an ONNX graph, in its order.

    Where torch's exporter notes the module that a node comes from (newer ones do not write it into the name), the path
    of the module stands before the name: ``layers.3.mlp.node_linear_7``.
    """
    given = [_with_module(node) for node in graph.node]
    counts = Counter(name for name in given if name)
    taken = {name for name, count in counts.items() if count == 1}
    labels = []
    for index, (node, name) in enumerate(zip(graph.node, given, strict=True)):
        label = name if counts[name] == 1 else next((name for name in node.output if name), "")
        if label != name and (not label or label in taken):
            label = f"{node.op_type}#{index}"
        taken.add(label)
        labels.append(label)
    return labels


def _with_module(node: onnx.NodeProto) -> str:
    """Return the name of a node, after the path of the module that it comes from if that is noted beside it."""
    noted = next((prop.value for prop in node.metadata_props if prop.key == _SCOPES), "") if node.name else ""
    try:
        scopes = ast.literal_eval(noted) if 0 < len(noted) <= _LONGEST_SCOPES else None
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        scopes = None
    # The outermost scope is the model, the innermost one the call itself.
    if not isinstance(scopes, list) or len(scopes) < 3 or not isinstance(scopes[-2], str) or not scopes[-2]:
        return str(node.name)
    prefix = f"{scopes[-2]}."
    return str(node.name) if node.name.startswith(prefix) else prefix + node.name


def subgraphs(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    """Return the graphs a node holds as attributes (If, Loop, Scan)."""
    if not node.attribute:
        return []
    held = [attribute.g for attribute in node.attribute if attribute.HasField("g")]
    return held + [graph for attribute in node.attribute for graph in attribute.graphs]


def scan_axes(node: onnx.NodeProto, name: str, count: int) -> list[int]:
    """Return the axes along which a Scan cuts inputs or stacks outputs, from its attribute `name`; 0 by default."""
    axes = next((list(held.ints) for held in node.attribute if held.name == name), [])
    return (axes + [0] * count)[:count]


def loop_names(graph: onnx.GraphProto, around: str = "") -> set[str]:
    """Return what people call the nodes of a graph, and of its bodies, that run a body several times."""
    names: set[str] = set()
    for node, name in zip(graph.node, node_labels(graph), strict=True):
        held = subgraphs(node)
        label = f"{around}/{name}" if around else name
        if held and node.op_type != "If":
            names.add(label)
        for inner in held:
            names |= loop_names(inner, label)
    return names


def free_names(graph: onnx.GraphProto) -> set[str]:
    """Return the values a subgraph takes from the graphs around it."""
    inner = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    inner |= {sparse.values.name for sparse in graph.sparse_initializer}
    inner |= {name for node in graph.node for name in node.output}
    used = {value.name for value in graph.output}
    for node in graph.node:
        used |= set(node.input)
        for held in subgraphs(node):
            used |= free_names(held)
    return used - inner - {""}


def all_graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """Iterate over a graph and all graphs held inside it."""
    yield graph
    for node in graph.node:
        for held in subgraphs(node):
            yield from all_graphs(held)


def used_values(node: onnx.NodeProto) -> list[str]:
    """Return the distinct values a node uses, those of its subgraphs included, in order."""
    names = [name for name in node.input if name]
    for held in subgraphs(node):
        names += sorted(free_names(held))
    return list(dict.fromkeys(names))


def constant_origins(graph: onnx.GraphProto) -> dict[str, tuple[str, ...]]:
    """Return for each constant value the stored constants it is computed from (itself, if it is stored).

    What only says in which shape data is to be seen is left out.
    """
    origins: dict[str, tuple[str, ...]] = {tensor.name: (tensor.name,) for tensor in graph.initializer}
    origins |= {sparse.values.name: (sparse.values.name,) for sparse in graph.sparse_initializer}
    for node in graph.node:
        used = used_values(node)
        if node.op_type in RANDOM or subgraphs(node) or not all(name in origins for name in used):
            continue
        if node.op_type in ("Constant", "ConstantOfShape"):
            origins |= {output: (output,) for output in node.output}
        elif used:
            data = used[:1] if node.op_type in _RELABELLING else used
            stored = tuple(dict.fromkeys(origin for name in data for origin in origins[name]))
            origins |= {output: stored for output in node.output if output}
    return origins


def placed_nodes(graph: onnx.GraphProto, constants: Collection[str]) -> list[tuple[int, str]]:
    """Return position and label of every node that is a node of the model graph, in order: those not constant.

    Parameters
    ----------
    constants
        The names of the constant values, from `constant_origins`.
    """
    labels = node_labels(graph)
    return [
        (position, labels[position])
        for position, node in enumerate(graph.node)
        if not any(output in constants for output in node.output)
    ]


def unused_nodes(graph: onnx.GraphProto, nodes: Sequence[onnx.NodeProto]) -> list[int]:
    """Return the positions in `nodes` of those that no output of a graph depends on."""
    needed = {value.name for value in graph.output}
    unused = []
    for position in reversed(range(len(nodes))):
        if needed.isdisjoint(nodes[position].output):
            unused.append(position)
        else:
            needed.update(used_values(nodes[position]))
    return unused[::-1]


def check_order(graph: onnx.GraphProto, where: str) -> None:
    """Refuse values that are used before they are computed, never computed, or computed twice; show a cycle."""
    labels = node_labels(graph)
    known = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer} | {""}
    known |= {sparse.values.name for sparse in graph.sparse_initializer}
    maker: dict[str, int] = {}
    for index, node in enumerate(graph.node):
        for name in node.output:
            if name and maker.setdefault(name, index) != index:
                raise UserError(
                    f"the value {name!r} is computed twice",
                    where=f"{where}, node {labels[index]!r}",
                    hint="ONNX demands that every value has one origin",
                )
    late: tuple[int, str] | None = None
    for index, node in enumerate(graph.node):
        for name in used_values(node):
            if name not in known and name not in maker:
                raise UserError(
                    f"nothing computes the value {name!r}",
                    where=f"{where}, node {labels[index]!r}",
                    hint="add it to the inputs or the initializers",
                )
            if name in maker and maker[name] >= index:
                late = late or (index, name)
    if late is not None:
        _show_cycle(graph, labels, maker, where)
        index, name = late
        raise UserError(
            f"the value {name!r} is used before it is computed",
            where=f"{where}, node {labels[index]!r}",
            hint="ONNX demands topological order; sort the nodes",
        )


def _show_cycle(graph: onnx.GraphProto, labels: list[str], maker: dict[str, int], where: str) -> None:
    builder = GraphBuilder(where)
    for index, label in enumerate(labels):
        builder.add_node(index, name=label, place=f"node {label!r}")
    edges = [
        (maker[name], index) for index, node in enumerate(graph.node) for name in used_values(node) if name in maker
    ]
    tensors = len(builder.add_edges(edges, lambda i: builder.describe(edges[i][1])))
    zeros = np.zeros(len(labels))
    builder.build(
        PhysicalCosts(
            flops=zeros, parameter_bytes=zeros, accessed_bytes=zeros, seconds=zeros, tensor_bytes=np.zeros(tensors)
        ),
        name="",
        source=where,
    )
