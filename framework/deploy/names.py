"""Names for the nodes of a model, each its own: onnxruntime refuses two alike, and its profiler tells nodes by name."""

from __future__ import annotations

import onnx

from framework.formats.onnx.wiring import node_labels, subgraphs


def name_nodes(graph: onnx.GraphProto) -> bool:
    """Give every node of a graph, and of the graphs inside it, a name of its own; whether any name has changed.

    A node of the main graph gets the name it has in the model graph (`node_labels`). Names inside bodies stay where
    they are the only ones; the others are made of the name of the node that holds the body.
    """
    labels = node_labels(graph)
    taken = set(labels)
    changed = False
    for node, label in zip(graph.node, labels, strict=True):
        changed |= node.name != label
        node.name = label
    for node in graph.node:
        changed |= _name_bodies(node, taken)
    return changed


def _name_bodies(holder: onnx.NodeProto, taken: set[str]) -> bool:
    changed = False
    for body in subgraphs(holder):
        for index, node in enumerate(body.node):
            if not node.name or node.name in taken:
                stem = f"{holder.name}/{body.name or 'body'}/{node.op_type}#{index}"
                name = stem
                while name in taken:
                    name = f"{name}'"
                node.name = name
                changed = True
            taken.add(node.name)
            changed |= _name_bodies(node, taken)
    return changed
