"""The JSON inputs of dnn-partitioning, the code of Tarnawski et al., NeurIPS 2020.

("Efficient Algorithms for Device Placement of DNN Graph Operators".) Read as accelerators only: the work of a node is
its ``fpgaLatency``; a node with out-edges has one tensor, whose cost is the ``cost`` of those edges (the largest, if
they differ); nothing overflows. ``maxFPGAs`` is the suggested number of stages. CPUs, node sizes and the memory limit
are ignored, and so is ``colorClass`` (nodes that must share a device): a remark says so where two nodes share a class.
Nodes with ``isBackwardNode`` are nodes like any other, with a remark.

The files state times without naming the unit; "time units" here.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import numpy as np

from framework.errors import UserError
from framework.fields import shown
from framework.formats.builder import MISSING, GraphBuilder, column, objects_of
from framework.formats.format import Format, starts_like_json
from framework.formats.source import PathLike, graph_name, parse_json
from framework.input_files import read_bytes
from framework.model.arrays import IntArray
from framework.model.graph import FloatArray, ModelGraph, PricedCosts
from framework.wording import counted

UNIT = "time units"


def read(path: PathLike) -> ModelGraph:
    """Read one input file of dnn-partitioning."""
    return parse(read_bytes(path), path)


def parse(data: bytes, path: PathLike) -> ModelGraph:
    """Read dnn-partitioning JSON from the (decompressed) content of the file `path`."""
    where = os.fspath(path)
    top = parse_json(data, where)
    if not isinstance(top, dict):
        raise UserError("the file is not a JSON object", where=where, hint="it should hold nodes and edges")
    nodes, edges = objects_of(top, "nodes", where), objects_of(top, "edges", where)
    builder = GraphBuilder(where)
    ids = [_identifier(node, "id", f"{where}, nodes[{i}]") for i, node in enumerate(nodes)]
    for i, (key, name) in enumerate(zip(ids, _names(nodes, ids), strict=True)):
        builder.add_node(key, name=name, place=f"nodes[{i}]")
    work = column([node.get("fpgaLatency", MISSING) for node in nodes], "fpgaLatency", builder.describe, where)
    tensor_cost = _add_tensors(builder, edges)
    return builder.build(
        PricedCosts(
            unit=UNIT,
            work=work,
            parameter_cost=np.zeros(len(nodes), np.int64),
            tensor_cost=tensor_cost,
            capacity=None,
        ),
        name=graph_name(path),
        source=where,
        default_stages=_default_stages(top, where),
        remarks=_remarks(nodes),
        node_ids=ids,
    )


def _identifier(row: dict[str, Any], field: str, where: str) -> int | str:
    value = row.get(field, MISSING)
    if type(value) is int or type(value) is str:
        return value
    said = f"there is no {field!r}" if value is MISSING else f"{field} is {shown(value)}"
    raise UserError(said, where=where, hint="give an integer")


def _names(nodes: list[dict[str, Any]], ids: list[int | str]) -> list[str]:
    """Names are debug information in these files: the id is added where they are not distinct, and serves without."""
    given = [name if isinstance(name := node.get("name"), str) and name else None for node in nodes]
    counts = Counter(given)
    names = [
        str(key) if name is None else name if counts[name] == 1 else f"{name}#{key}"
        for name, key in zip(given, ids, strict=True)
    ]
    # A name may be another node's id, or look like a name with an id.
    return names if len(set(names)) == len(names) else [str(key) for key in ids]


def _add_tensors(builder: GraphBuilder, edges: list[dict[str, Any]]) -> IntArray | FloatArray:
    where = builder.where
    costs = column([edge.get("cost", MISSING) for edge in edges], "cost", lambda i: f"edges[{i}]", where)
    negative = np.flatnonzero(~(np.isfinite(costs) & (costs >= 0)))
    if len(negative):
        # Before the largest cost of a node hides it.
        i = int(negative[0])
        raise UserError(
            f"cost is {costs[i]:g}", where=f"{where}, edges[{i}]", hint="costs must be finite and not negative"
        )
    ends = [
        tuple(_identifier(edge, field, f"{where}, edges[{i}]") for field in ("sourceId", "destId"))
        for i, edge in enumerate(edges)
    ]
    producers = builder.add_edges([(tail, head) for tail, head in ends], lambda i: f"edges[{i}]")
    dearest: dict[int, int | float] = {}
    for (tail, _), cost in zip(ends, costs.tolist(), strict=True):
        node = builder.node(tail, place="edges")
        dearest[node] = max(cost, dearest.get(node, 0))
    largest = [dearest[node] for node in producers]
    return np.array(largest, np.int64) if np.issubdtype(costs.dtype, np.integer) else np.array(largest, np.float64)


def _default_stages(top: dict[str, Any], where: str) -> int | None:
    stages = top.get("maxFPGAs")
    if stages is None:
        return None
    if type(stages) is not int or stages < 0:
        raise UserError(f"maxFPGAs is {shown(stages)}", where=where, hint="give an integer of at least 1")
    return stages or None


def _remarks(nodes: list[dict[str, Any]]) -> list[str]:
    remarks = ["read as accelerators only: CPUs, node sizes and the memory limit are ignored"]
    colours = Counter(str(node["colorClass"]) for node in nodes if node.get("colorClass") is not None)
    shared = sum(count for count in colours.values() if count > 1)
    if shared:
        remarks.append(f"{counted(shared, 'node')} share a colorClass; that they belong together is ignored")
    backward = sum(bool(node.get("isBackwardNode")) for node in nodes)
    if backward:
        remarks.append(f"{counted(backward, 'backward node is', 'backward nodes are')} treated like any other")
    unsupported = sum(not node.get("supportedOnFpga", True) for node in nodes)
    if unsupported:
        what = counted(unsupported, "node is", "nodes are")
        remarks.append(f"{what} marked as not supported on accelerators; the fpgaLatency is used")
    return remarks


def _sniff(data: bytes) -> bool:
    keys = (b'"fpgaLatency"', b'"sourceId"', b'"maxFPGAs"')
    return starts_like_json(data) and any(key in data for key in keys)


FORMAT = Format(
    name="dnn-partitioning",
    description="JSON inputs of Tarnawski et al., NeurIPS 2020, read as accelerators only",
    patterns=("*.json",),
    sniff=_sniff,
    parse=lambda data, path, options: parse(data, path),
)
