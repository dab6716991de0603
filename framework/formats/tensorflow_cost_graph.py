"""TensorFlow's ``CostGraphDef`` in text format (``*.pbtxt``), the files of the REGAL data set (arXiv 1905.02494).

Reading, by the comments of TensorFlow's ``cost_graph.proto``:

* ``compute_cost`` is in microseconds and becomes a measured time; ``host_persistent_memory_size`` and
  ``device_persistent_memory_size`` (bytes kept between runs) are the parameters.
* Each output port that some node reads is a tensor of ``size`` bytes. A ``control_input``, or an ``input_info`` from
  port -1, is a dependency: a tensor of no bytes.
* ``alias_input_port`` says that an output shares the memory of an input. Sharing saves memory within a device, but
  whoever reads the output on another device must still be sent the bytes: it is a tensor like any other.
* proto3: an absent number is 0, so ``input_info { }`` reads port 0 of node 0, and nodes such as ``_SOURCE``, for which
  no cost was recorded, cost nothing. Unknown fields are skipped.
* Ids are distinct within one partition of a graph only; a file that holds several partitions is refused.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field

import numpy as np

from framework.errors import UserError
from framework.fields import shown
from framework.formats.builder import GraphBuilder, float_column
from framework.formats.format import HEAD, Format
from framework.formats.source import PathLike, graph_name
from framework.formats.text_proto import Document, Message, unquote
from framework.input_files import check_deadline, decode_text, read_bytes
from framework.model.graph import ModelGraph, PhysicalCosts

_MICROSECONDS = 1e6
_CONTROL_PORT = -1
_CHECKED_EVERY = 1 << 12
"""Edges between two looks at the clock."""
_INTEGER = re.compile(r"-?(?:0[xX][0-9a-fA-F]+|\d+)")


def read(path: PathLike) -> ModelGraph:
    """Read a cost graph in text format."""
    return parse(read_bytes(path), path)


def parse(data: bytes, path: PathLike) -> ModelGraph:
    """Read a cost graph from the (decompressed) content of the file `path`."""
    where = os.fspath(path)
    document = Document(decode_text(data, where), where)
    reader = _Reader(document, GraphBuilder(where))
    for name, token, value in document:
        if name == "node":
            reader.add_node(_as_message(document, name, token, value))
    return reader.graph(graph_name(path), where)


@dataclass(slots=True)
class _Reader:
    """The nodes read so far, in columns; edges wait in `inputs` until all nodes are known."""

    document: Document
    builder: GraphBuilder
    compute_cost: list[int] = field(default_factory=list)
    persistent: list[int] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    output_sizes: list[list[int]] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)
    """Flat: consumer's index, producer's id, port, token; four integers an edge."""

    def add_node(self, node: Message) -> None:
        document = self.document
        if "op" in node.fields or "input" in node.fields:
            raise document.error(
                node.token, "this is a GraphDef, which holds no costs", "export the CostGraphDef of a run instead"
            )
        key = _integer(document, node, "id")
        name = _string(document, node, "name") or f"id {key}"
        try:
            index = self.builder.add_node(key, name=name, place="")
        except UserError as error:
            raise _at_line(document, node.token, error) from None
        self.ids.append(key)
        self.compute_cost.append(_integer(document, node, "compute_cost"))
        memory = ("host_persistent_memory_size", "device_persistent_memory_size")
        self.persistent.append(sum(_integer(document, node, kind) for kind in memory))
        outputs = [_as_message(document, "output_info", *found) for found in node.fields.get("output_info", ())]
        self.output_sizes.append([_integer(document, output, "size") for output in outputs])
        for token, value in node.fields.get("input_info", ()):
            info = _as_message(document, "input_info", token, value)
            producer, port = _integer(document, info, "preceding_node"), _integer(document, info, "preceding_port")
            self.inputs += (index, producer, port, token)
        for token, value in node.fields.get("control_input", ()):
            self.inputs += (index, _as_integer(document, "control_input", token, value), _CONTROL_PORT, token)

    def graph(self, name: str, source: str) -> ModelGraph:
        tensor_bytes = self._add_tensors()
        builder = self.builder
        zeros = np.zeros(len(self.compute_cost))
        place = builder.describe
        return builder.build(
            PhysicalCosts(
                flops=zeros,
                parameter_bytes=float_column(self.persistent, "persistent memory", place, source),
                accessed_bytes=zeros,
                seconds=float_column(self.compute_cost, "compute_cost", place, source) / _MICROSECONDS,
                tensor_bytes=float_column(tensor_bytes, "size", builder.describe_tensor, source),
            ),
            name=name,
            source=source,
            node_ids=self.ids,
        )

    def _add_tensors(self) -> list[int]:
        """Add a tensor for each output port that is read, and one for the dependencies on each node; return sizes."""
        builder, document = self.builder, self.document
        readers: dict[tuple[int, int], set[int]] = {}
        inputs = iter(self.inputs)
        for i, (consumer, key, port, token) in enumerate(zip(inputs, inputs, inputs, inputs, strict=True)):
            if i % _CHECKED_EVERY == 0:
                check_deadline(document.where)
            try:
                producer = builder.node(key, place="")
                if producer == consumer:
                    builder.add_tensor(producer, [consumer], place="")
            except UserError as error:
                raise _at_line(document, token, error) from None
            if not _CONTROL_PORT <= port < len(self.output_sizes[producer]):
                raise document.error(
                    token,
                    f"node {builder.names[producer]!r} has no output port {port}",
                    f"it has {len(self.output_sizes[producer])} output_info",
                )
            readers.setdefault((producer, port), set()).add(consumer)
        tensor_bytes = []
        for producer, port in sorted(readers):
            builder.add_tensor(producer, readers[producer, port], place=builder.describe(producer))
            tensor_bytes.append(0 if port == _CONTROL_PORT else self.output_sizes[producer][port])
        return tensor_bytes


def _at_line(document: Document, token: int, error: UserError) -> UserError:
    """Put the line in: finding it takes a pass over the file, which only an error is worth."""
    return document.error(token, error.what, error.hint)


def _as_message(document: Document, name: str, token: int, value: str | Message) -> Message:
    if isinstance(value, str):
        raise document.error(token, f"{name} is {shown(value)}", f"write '{name} {{ ... }}'")
    return value


def _single(document: Document, message: Message, name: str) -> tuple[int, str | Message] | None:
    found = message.fields.get(name)
    if found is None:
        return None
    if len(found) > 1:
        raise document.error(found[1][0], f"{name} is given twice", "keep one")
    return found[0] if found else None


def _integer(document: Document, message: Message, name: str) -> int:
    found = _single(document, message, name)
    return 0 if found is None else _as_integer(document, name, *found)


def _as_integer(document: Document, name: str, token: int, value: str | Message) -> int:
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        digits = value.lstrip("-")
        base = 10 if digits[0] != "0" else 16 if digits[1:2] in ("x", "X") else 8
        try:
            return int(value, base)
        except ValueError:
            pass
    said = "a message" if isinstance(value, Message) else shown(value)
    raise document.error(token, f"{name} is {said}", "give an integer")


def _string(document: Document, message: Message, name: str) -> str:
    found = _single(document, message, name)
    if found is None:
        return ""
    token, value = found
    text = unquote(value) if isinstance(value, str) else None
    if text is None:
        raise document.error(token, f"{name} is {shown(value)}", "give a string in quotes")
    return text


def _sniff(data: bytes) -> bool:
    text = data[:HEAD].removeprefix(b"\xef\xbb\xbf")
    return re.match(rb"(?:\s+|#[^\n]*)*+(?:node|cost)\s*:?\s*[{<]", text) is not None


FORMAT = Format(
    name="tensorflow-cost-graph",
    description="TensorFlow CostGraphDef in text format, as in the REGAL data set",
    patterns=("*.pbtxt",),
    sniff=_sniff,
    parse=lambda data, path, options: parse(data, path),
)
