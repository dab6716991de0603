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

import numpy as np

from framework.errors import UserError
from framework.formats.builder import GraphBuilder, float_column, shown
from framework.formats.source import PathLike, decode_text, graph_name, read_bytes
from framework.formats.text_proto import Document, Message, unquote
from framework.model.graph import ModelGraph, PhysicalCosts

_MICROSECONDS = 1e6
_CONTROL_PORT = -1
_INTEGER = re.compile(r"-?(?:0[xX][0-9a-fA-F]+|\d+)")


def read(path: PathLike) -> ModelGraph:
    """Read a cost graph in text format."""
    return parse(read_bytes(path), path)


def parse(data: bytes, path: PathLike) -> ModelGraph:
    """Read a cost graph from the (decompressed) content of the file `path`."""
    where = os.fspath(path)
    document = Document(decode_text(data, where), where)
    nodes = _messages(document, document.root, "node")
    builder = GraphBuilder(where)
    for node in nodes:
        if "op" in node.fields or "input" in node.fields:
            raise document.error(
                node.token, "this is a GraphDef, which holds no costs", "export the CostGraphDef of a run instead"
            )
        key = _integer(document, node, "id")
        try:
            builder.add_node(key, name=_string(document, node, "name") or f"id {key}", place="")
        except UserError as error:
            raise _at_line(document, node.token, error) from None
    sizes = [
        [_integer(document, output, "size") for output in _messages(document, node, "output_info")] for node in nodes
    ]
    tensor_bytes = _add_tensors(document, builder, nodes, sizes)
    zeros = np.zeros(len(nodes))

    def numbers(field: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return float_column([_integer(document, node, field) for node in nodes], field, builder.describe, where)

    return builder.build(
        PhysicalCosts(
            flops=zeros,
            parameter_bytes=numbers("host_persistent_memory_size") + numbers("device_persistent_memory_size"),
            accessed_bytes=zeros,
            seconds=numbers("compute_cost") / _MICROSECONDS,
            tensor_bytes=float_column(tensor_bytes, "size", builder.describe_tensor, where),
        ),
        name=graph_name(path),
        source=where,
    )


def _at_line(document: Document, token: int, error: UserError) -> UserError:
    """Put the line in: finding it takes a pass over the file, which only an error is worth."""
    return document.error(token, error.what, error.mend)


def _messages(document: Document, parent: Message, field: str) -> list[Message]:
    messages = []
    for token, value in parent.fields.get(field, ()):
        if isinstance(value, str):
            raise document.error(token, f"{field} is {shown(value)}", f"write '{field} {{ ... }}'")
        messages.append(value)
    return messages


def _scalars(document: Document, message: Message, field: str) -> list[tuple[int, str]]:
    scalars = []
    for token, value in message.fields.get(field, ()):
        if isinstance(value, Message):
            raise document.error(token, f"{field} is a message", "give a plain value")
        scalars.append((token, value))
    return scalars


def _single(document: Document, message: Message, field: str) -> tuple[int, str] | None:
    found = _scalars(document, message, field)
    if len(found) > 1:
        raise document.error(found[1][0], f"{field} is given twice", "keep one")
    return found[0] if found else None


def _integer(document: Document, message: Message, field: str) -> int:
    found = _single(document, message, field)
    return 0 if found is None else _as_integer(document, field, *found)


def _as_integer(document: Document, field: str, token: int, text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise document.error(token, f"{field} is {shown(text)}", "give an integer")
    digits = text.lstrip("-")
    base = 16 if digits[:2] in ("0x", "0X") else 8 if digits[0] == "0" else 10
    try:
        return int(text, base)
    except ValueError:
        raise document.error(token, f"{field} is {shown(text)}", "give an integer") from None


def _string(document: Document, message: Message, field: str) -> str:
    found = _single(document, message, field)
    if found is None:
        return ""
    text = unquote(found[1])
    if text is None:
        raise document.error(found[0], f"{field} is {shown(found[1])}", "give a string in quotes")
    return text


def _add_tensors(document: Document, builder: GraphBuilder, nodes: list[Message], sizes: list[list[int]]) -> list[int]:
    """Add a tensor for each output port that is read, then one for the dependencies of each node; return sizes."""
    readers: dict[tuple[int, int], set[int]] = {}
    for consumer, node in enumerate(nodes):
        for info in _messages(document, node, "input_info"):
            port = _integer(document, info, "preceding_port")
            producer = _producer(document, builder, info.token, _integer(document, info, "preceding_node"), consumer)
            if port < _CONTROL_PORT or port >= len(sizes[producer]):
                raise document.error(
                    info.token,
                    f"node {builder.names[producer]!r} has no output port {port}",
                    f"it has {len(sizes[producer])} output_info",
                )
            readers.setdefault((producer, port), set()).add(consumer)
        for token, text in _scalars(document, node, "control_input"):
            key = _as_integer(document, "control_input", token, text)
            producer = _producer(document, builder, token, key, consumer)
            readers.setdefault((producer, _CONTROL_PORT), set()).add(consumer)
    tensor_bytes = []
    for producer, port in sorted(readers):
        builder.add_tensor(producer, readers[producer, port], place=builder.describe(producer))
        tensor_bytes.append(0 if port == _CONTROL_PORT else sizes[producer][port])
    return tensor_bytes


def _producer(document: Document, builder: GraphBuilder, token: int, key: int, consumer: int) -> int:
    try:
        producer = builder.node(key, place="")
        if producer == consumer:
            builder.add_tensor(producer, [consumer], place="")
    except UserError as error:
        raise _at_line(document, token, error) from None
    return producer
