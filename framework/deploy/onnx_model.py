"""An ONNX file as deployment sees it: its structure in memory, its weights where they lie on disk."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import shape_inference

from framework.deploy.names import name_nodes
from framework.errors import UserError
from framework.formats.onnx.files import FileRange, external_fields, read_skeleton
from framework.formats.onnx.inlining import prepared
from framework.formats.onnx.reader import parse
from framework.formats.onnx.shapes.guard import guarded
from framework.formats.onnx.shapes.values import Values, element_bits, infer
from framework.formats.onnx.wiring import constant_origins, placed_nodes, unused_nodes, used_values
from framework.model.graph import ModelGraph


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelFile:
    """A model with its functions inlined, its nodes named, and its heavy weights referred to.

    Attributes
    ----------
    path
        The file.
    proto
        Its structure; heavy tensors have external data, resolved by `source_of`.
    renamed
        Whether the file is not to be run as it stands: nodes lack names of their own, or were left out.
    """

    path: Path
    proto: onnx.ModelProto
    renamed: bool = False

    @cached_property
    def constants(self) -> dict[str, tuple[str, ...]]:
        """For each constant value the stored constants it is computed from."""
        return constant_origins(self.proto.graph)

    @cached_property
    def placed(self) -> list[tuple[int, str]]:
        """Position and name of every ONNX node that is a node of the model graph, in its order."""
        return placed_nodes(self.proto.graph, self.constants)

    @property
    def node_names(self) -> tuple[str, ...]:
        """Names of the nodes of the model graph."""
        return tuple(name for _, name in self.placed)

    @cached_property
    def feeds(self) -> list[onnx.ValueInfoProto]:
        """The inputs that a user must give: those that no initializer gives a value to."""
        return [value for value in self.proto.graph.input if value.name not in self.constants]

    def read_graph(self, dims: Mapping[str, int], *, drop_unused: bool = False, kv_tokens: int = 0) -> ModelGraph:
        """Return the model graph, as `framework.formats.read_graph` would from the whole file."""
        content = self.proto.SerializeToString()
        return parse(content, self.path, dims=dims, drop_unused=drop_unused, kv_tokens=kv_tokens)

    def without_unused(self) -> ModelFile:
        """Return the model without the nodes, and the weights, that no output depends on."""
        proto = onnx.ModelProto()
        proto.CopyFrom(self.proto)
        graph = proto.graph
        unused = set(unused_nodes(graph, graph.node))
        if not unused:
            return self
        nodes = [node for position, node in enumerate(self.proto.graph.node) if position not in unused]
        needed = {name for node in nodes for name in used_values(node)} | {value.name for value in graph.output}
        weights = [tensor for tensor in self.proto.graph.initializer if tensor.name in needed]
        graph.ClearField("node")
        graph.node.extend(nodes)
        graph.ClearField("initializer")
        graph.initializer.extend(weights)
        return ModelFile(path=self.path, proto=proto, renamed=True)

    def bound_values(self, dims: Mapping[str, int]) -> Values:
        """Return the types of all values at the given sizes of symbolic dimensions."""
        model = onnx.ModelProto()
        model.CopyFrom(self.proto)
        return Values(infer(model, dims, str(self.path)).graph, dims)

    @cached_property
    def open_types(self) -> dict[str, onnx.TypeProto]:
        """The types of all values with symbolic dimensions left open, as far as inference finds them."""
        try:
            inferred = guarded(lambda: ([], shape_inference.infer_shapes(self.proto, data_prop=True)), str(self.path))
            graph = inferred[1].graph
        except UserError:
            graph = self.proto.graph
        return {value.name: value.type for value in (*graph.value_info, *graph.input, *graph.output)}

    def source_of(self, tensor: onnx.TensorProto) -> FileRange:
        """Return where the data of an external tensor lies.

        Raises
        ------
        UserError
            If the file is missing, too short, or outside the model's folder (links followed).
        """
        fields = external_fields(tensor)
        location, where = fields.get("location", ""), f"{self.path}, tensor {tensor.name!r}"
        # A cache of models may hold links to its files: then the folder of the file itself counts as well.
        folders = (self.path.parent.resolve(), self.path.resolve().parent)
        path = (self.path.parent / location).resolve()
        if not any(path.is_relative_to(folder) for folder in folders):
            raise UserError(
                f"its data lies outside the model's folder, at {location!r}",
                where=where,
                hint="put the file itself beside the model, not a link",
            )
        offset = _whole(fields.get("offset") or "0", "offset", where)
        nbytes = tensor_bytes(tensor)
        stated = _whole(fields.get("length") or str(nbytes), "length", where)
        if stated != nbytes:
            raise UserError(f"it has {nbytes} bytes, and its external data {stated}", where=where)
        if not path.is_file():
            raise UserError(f"there is no file {location!r} with its data", where=where, hint="put it beside the model")
        if path.stat().st_size < offset + nbytes:
            raise UserError(f"the file {location!r} with its data is too short", where=where)
        return FileRange(path=path, offset=offset, nbytes=nbytes)


def _whole(text: str, name: str, where: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise UserError(
            f"the {name} of its external data is {text!r}", where=where, hint="give a whole number of bytes"
        )
    return int(text)


def open_model(path: str | os.PathLike[str]) -> ModelFile:
    """Open an ONNX file without reading its weights.

    Raises
    ------
    UserError
        If it is no valid model.
    """
    where = os.fspath(path)
    try:
        proto = onnx.load_model_from_string(read_skeleton(path))
    except (DecodeError, ValueError) as error:
        raise UserError(f"not an ONNX model: {error}", where=where) from None
    if not proto.HasField("graph"):
        raise UserError("this file holds no ONNX graph", where=where, hint="give an .onnx model")
    proto, _ = prepared(proto, where)
    return ModelFile(path=Path(path), proto=proto, renamed=name_nodes(proto.graph))


def tensor_bytes(tensor: onnx.TensorProto) -> int:
    """Return the size of a tensor's data, packed as ONNX stores it."""
    bits = element_bits(tensor.data_type)
    return 0 if bits is None else -(-math.prod(tensor.dims) * bits // 8)
