r"""PipeDream profiles, ``graph.txt``: measured times of layers, sizes of activations and parameters.

A node is a line ``id -- description -- forward_compute_time=ms, backward_compute_time=ms, activation_size=bytes,
parameter_size=bytes``, an edge a tab-indented ``\tid -- id`` from producer to consumer. Several outputs are written
``activation_size=[a; b; c]`` and summed: the profile does not say which consumer reads which, so a node has one tensor.
A trailing `` -- stage_id=...`` (of PipeDream's own partitioner) is ignored.

The measured time is the forward pass; with `training` that of the backward pass is read too, from which
`framework.formats.training` makes the graph of a training step.
"""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass

import numpy as np

from framework.errors import UserError
from framework.fields import shown
from framework.formats.builder import GraphBuilder
from framework.formats.format import HEAD, Format
from framework.formats.source import PathLike, graph_name
from framework.input_files import check_deadline, decode_text, read_bytes
from framework.model.graph import ModelGraph, PhysicalCosts

_NODE = re.compile(r"(?P<id>\S+) -- (?P<what>.*?) -- (?P<fields>forward_compute_time=.*?)(?: -- stage_id=\S+)?\s*")
_FIELD = re.compile(r"\s*(\w+)=(\[[^\]]*\]|[^,\[]*)\s*(?:,|$)")
_EDGE = re.compile(r"\s+(\S+) -- (\S+)\s*")
_MILLISECONDS = 1000.0


def read(path: PathLike, *, training: bool = False) -> ModelGraph:
    """Read a PipeDream profile; `training` reads the backward times too."""
    return parse(read_bytes(path), path, training=training)


def parse(data: bytes, path: PathLike, *, training: bool = False) -> ModelGraph:
    """Read a profile from the (decompressed) content of the file `path`."""
    where = os.fspath(path)
    builder = GraphBuilder(where)
    layers: list[_Layer] = []
    edges: list[tuple[str, str]] = []
    edge_lines: list[int] = []
    for number, line in enumerate(decode_text(data, where).splitlines(), start=1):
        if number % 1024 == 0:
            check_deadline(where)
        if not line.strip():
            continue
        if line[0].isspace():
            edge = _EDGE.fullmatch(line)
            if edge is None:
                raise _malformed(line, where, number, "an edge is a tab, then 'id -- id'")
            edges.append((edge[1], edge[2]))
            edge_lines.append(number)
            continue
        node = _NODE.fullmatch(line)
        if node is None:
            raise _malformed(line, where, number, "a node is 'id -- description -- forward_compute_time=..., ...'")
        builder.add_node(node["id"], name=node["id"], op=_operator(node["what"]), place=f"line {number}")
        layers.append(_layer(node["fields"], f"{where}, line {number}", training))
    producers = builder.add_edges(edges, lambda i: f"line {edge_lines[i]}")
    zeros = np.zeros(len(layers))
    return builder.build(
        PhysicalCosts(
            flops=zeros,
            parameter_bytes=np.array([layer.parameters for layer in layers], np.float64),
            accessed_bytes=zeros,
            seconds=np.array([layer.forward for layer in layers], np.float64) / _MILLISECONDS,
            backward_seconds=np.array([layer.backward for layer in layers], np.float64) / _MILLISECONDS,
            tensor_bytes=np.array([layers[v].activation for v in producers], np.float64),
        ),
        name=graph_name(path),
        source=where,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layer:
    forward: float
    backward: float
    activation: float
    parameters: float


def _malformed(line: str, where: str, number: int, hint: str) -> UserError:
    return UserError(f"cannot be understood: {shown(line.strip())}", where=f"{where}, line {number}", hint=hint)


def _operator(description: str) -> str:
    """The layer's class: ``Conv2d(3, 64, ...)`` is a Conv2d."""
    return description.split("(", 1)[0].strip()


def _layer(text: str, where: str, training: bool) -> _Layer:
    fields: dict[str, str] = {}
    position = 0
    while position < len(text):
        match = _FIELD.match(text, position)
        if match is None or match[1] in fields:
            raise UserError(
                f"cannot be understood: {shown(text[position:])}", where=where, hint="write field=number, ..."
            )
        fields[match[1]] = match[2].strip()
        position = match.end()
    return _Layer(
        forward=_number(fields, "forward_compute_time", where),
        backward=_number(fields, "backward_compute_time", where) if training else math.nan,
        activation=_number(fields, "activation_size", where),
        parameters=_number(fields, "parameter_size", where),
    )


def _number(fields: dict[str, str], field: str, where: str) -> float:
    text = fields.get(field)
    if text is None:
        raise UserError(f"there is no {field!r}", where=where, hint="give a number")
    parts = text[1:-1].split(";") if text.startswith("[") else [text]
    total = 0.0
    for part in parts:
        try:
            value = float(part)
        except ValueError:
            raise UserError(f"{field} is {shown(text)}", where=where, hint="give a number") from None
        if not (math.isfinite(value) and value >= 0):
            raise UserError(f"{field} is {text}", where=where, hint="costs must be finite and not negative")
        total += value
    return total


def _sniff(data: bytes) -> bool:
    return re.search(rb"^\S+ -- .* -- forward_compute_time=", data[:HEAD], re.MULTILINE) is not None


FORMAT = Format(
    name="pipedream",
    description="PipeDream profiles: measured times of layers, of the backward pass too",
    patterns=("*graph.txt",),
    sniff=_sniff,
    parse=lambda data, path, options: parse(data, path, training=options.training),
    options=frozenset({"training"}),
)
