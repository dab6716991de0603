"""Sources of random numbers in a model: what depends on them, and seeds that make two runs draw the same."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np
import onnx

from framework.formats.onnx.operators.standard import attribute
from framework.formats.onnx.wiring import RANDOM, STANDARD_DOMAINS, all_graphs, subgraphs, used_values

_SAMPLING = frozenset({("com.microsoft", "Sampling"), ("com.microsoft", "BiasDropout"), ("com.microsoft", "Dropout")})
_SEEDED_BY_INTEGER = frozenset({"BiasDropout", "Dropout", "Sampling"})


def random_sources(graph: onnx.GraphProto) -> dict[str, tuple[str, ...]]:
    """Return for each value that depends on random numbers the names of the nodes that draw them.

    A node that holds a body which draws counts as one that draws. Names must be distinct (`framework.deploy.names`).
    """
    constants = _stored_flags(graph)
    sources: dict[str, tuple[str, ...]] = {}
    for node in graph.node:
        behind = dict.fromkeys(name for value in used_values(node) for name in sources.get(value, ()))
        if _draws(node, constants) or any(
            _draws(inner, constants | _stored_flags(body))
            for held in subgraphs(node)
            for body in all_graphs(held)
            for inner in body.node
        ):
            behind[node.name] = None
        if behind:
            sources |= {output: tuple(behind) for output in node.output if output}
    return sources


def seed_all(graph: onnx.GraphProto) -> None:
    """Give every node that draws, in bodies too, a seed made of its name."""
    for held in all_graphs(graph):
        for node in held.node:
            if node.op_type not in RANDOM and node.op_type not in _SEEDED_BY_INTEGER:
                continue
            seed = zlib.crc32(node.name.encode()) % (1 << 20)
            kept = [entry for entry in node.attribute if entry.name != "seed"]
            node.ClearField("attribute")
            node.attribute.extend(kept)
            value = seed if node.op_type in _SEEDED_BY_INTEGER else float(seed)
            node.attribute.append(onnx.helper.make_attribute("seed", value))


def _draws(node: onnx.NodeProto, flags: Mapping[str, bool]) -> bool:
    """Whether a node draws random numbers; Dropout does unless it is certain that it does not train."""
    if (node.domain, node.op_type) in _SAMPLING:
        return node.op_type == "Sampling" or _trains(node, 4 if node.op_type == "BiasDropout" else 2, flags)
    if node.domain not in STANDARD_DOMAINS:
        return False
    return node.op_type in RANDOM or (node.op_type == "Dropout" and _trains(node, 2, flags))


def _trains(node: onnx.NodeProto, slot: int, flags: Mapping[str, bool]) -> bool:
    name = node.input[slot] if len(node.input) > slot else ""
    return bool(name) and flags.get(name, True)


def _stored_flags(graph: onnx.GraphProto) -> dict[str, bool]:
    """Return the truth values that a graph stores."""
    stored = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        value = attribute(node, "value", None) if node.op_type == "Constant" else None
        if isinstance(value, onnx.TensorProto):
            stored[node.output[0]] = value
    return {
        name: bool(np.any(onnx.numpy_helper.to_array(tensor)))
        for name, tensor in stored.items()
        if tensor.data_type == onnx.TensorProto.BOOL and tensor.data_location != onnx.TensorProto.EXTERNAL
    }
