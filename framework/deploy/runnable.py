"""What onnxruntime is to load: a file as it stands, or its structure from memory with the weights where they lie.

A file is given as it is where its nodes have names of their own. Otherwise the structure with better names is encoded
(a few megabytes: weights are referred to, see `onnx_wire`), and each heavy weight is handed over as an array that is
mapped from its file. Nothing is written, and neither the 2 GiB of a protobuf message nor links matter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from framework.deploy.onnx_model import ModelFile
from framework.deploy.randomness import seed_all
from framework.formats.onnx.files import FileRange, pieces
from framework.formats.onnx.shapes.values import element_bits
from framework.formats.onnx.wiring import used_values

_ALIGNED = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """A heavy initializer: its name, ONNX element type, dimensions and data."""

    name: str
    element_type: int
    dims: tuple[int, ...]
    data: FileRange

    def array(self) -> NDArray[Any]:
        """Return it as an array of whole bytes' worth of elements, mapped from the file where that is aligned."""
        dtype = np.dtype(f"u{(element_bits(self.element_type) or 8) // 8}")
        if self.data.offset % _ALIGNED == 0:
            return np.memmap(self.data.path, dtype, "r", self.data.offset, self.dims)
        count = math.prod(self.dims)
        return np.fromfile(self.data.path, dtype, count, offset=self.data.offset).reshape(self.dims)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Runnable:
    """A model for onnxruntime.

    Attributes
    ----------
    path
        Its file; also for errors.
    encoded
        Its structure where that is not what the file holds; None where the file is to be loaded.
    weights
        What `encoded` refers to.
    """

    path: Path
    encoded: bytes | None = None
    weights: tuple[Weight, ...] = ()


def runnable(model: ModelFile, *, seeded: bool = False) -> Runnable:
    """Return a model in a form that onnxruntime loads.

    Parameters
    ----------
    seeded
        Give each source of random numbers a seed made of its name, so that a split draws what the whole model draws.

    Raises
    ------
    UserError
        If the data of a weight is missing.
    """
    if not model.renamed and not seeded:
        return Runnable(path=model.path)
    proto = onnx.ModelProto()
    proto.CopyFrom(model.proto)
    if seeded:
        seed_all(proto.graph)
    graph = proto.graph
    nodes = []
    for node in graph.node:
        held = [attribute.t for attribute in node.attribute if attribute.HasField("t")]
        if node.op_type == "Constant" and any(t.data_location == onnx.TensorProto.EXTERNAL for t in held):
            graph.initializer.add().CopyFrom(held[0])
            graph.initializer[-1].name = node.output[0]
        else:
            nodes.append(node)
    if len(nodes) < len(graph.node):
        graph.ClearField("node")
        graph.node.extend(nodes)
    # onnxruntime forgets what nothing uses, and then does not find what it is given for it.
    used = {name for node in graph.node for name in used_values(node)} | {value.name for value in graph.output}
    idle = {tensor.name for tensor in graph.initializer} - used
    for field in ("initializer", "input"):
        kept = [item for item in getattr(graph, field) if item.name not in idle]
        graph.ClearField(field)
        getattr(graph, field).extend(kept)
    weights = {
        tensor.name: Weight(
            name=tensor.name,
            element_type=tensor.data_type,
            dims=tuple(tensor.dims),
            data=model.source_of(tensor),
        )
        for tensor in graph.initializer
        if tensor.data_location == onnx.TensorProto.EXTERNAL and (element_bits(tensor.data_type) or 0) % 8 == 0
    }
    # Weights inside bodies, and those of elements smaller than a byte, have no other way than in the message.
    parts = pieces(proto, lambda tensor: None if tensor.name in weights else model.source_of(tensor))
    encoded = b"".join(part if isinstance(part, bytes) else b"".join(part.chunks()) for part in parts)
    return Runnable(path=model.path, encoded=encoded, weights=tuple(weights.values()))
