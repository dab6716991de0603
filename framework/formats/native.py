"""The native format, versions 1 and 2: one JSON object, physical or already priced, optionally packed.

Physical costs are FLOPs and bytes per node and bytes per tensor, or a measured time (``seconds``)::

    {"format": "pipebound-graph", "version": 1, "name": "resnet50", "source": "torchvision 0.28.0", "batch": 1,
     "dtype": "float32",
     "nodes":   [{"name": "conv1", "op": "Conv", "flops": 236027904, "parameter_bytes": 37632,
                  "accessed_bytes": 3851008, "seconds": null}],
     "tensors": [{"producer": 0, "bytes": 3211264, "consumers": [1, 5]}]}

A priced graph has a top-level ``cost_unit``, then ``work`` and ``parameter_cost`` per node and ``cost`` per tensor,
all in that unit of time, and an optional top-level ``capacity``. Integers stay integers: no rounding ever happens.

Version 2 adds parameters that several nodes use, which a stage holds once however many of them it runs, at the top::

    "parameters": [{"bytes": 4096, "users": [3, 9, 12], "name": "embed.weight"}]

(``cost`` instead of ``bytes`` in a priced graph). What a node uses alone stays in its ``parameter_bytes``. Graphs
without shared parameters are written as version 1. So are graphs without state and workspace, which physical nodes of
version 2 may have: ``state_bytes`` are kept from one inference to the next and never streamed (a cache of keys and
values, a recurrent state), ``workspace_bytes`` are needed while the node runs, besides its inputs and outputs. In
version 2 ``seconds`` may also be an object of times by the names of devices, ``{"edge-tpu": 0.0021, "*": 0.0009}``;
``*`` stands for all others, and where it is missing FLOPs and bytes decide.

What training takes beside an inference may be stated in version 2, where it is known: ``backward_seconds`` and
``backward_flops`` of a physical node, and ``gradient_bytes`` of a tensor, the size of the gradient that goes back for
it (0 for none). `framework.formats.training` derives what is not stated.

Required are ``format``, ``version``, ``nodes``, ``tensors``; of a tensor all its fields; of a physical node
``parameter_bytes``, and ``flops`` and ``accessed_bytes`` unless it has ``seconds``; of a priced node ``work``, and
``parameter_cost`` if there is a capacity. Nodes are called by their position (from 0) in ``producer`` and
``consumers``; ``name`` must be distinct where given. ``default_stages`` and ``remarks`` may stand at the top. Fields
not named here are ignored, so that other programs may keep notes of their own.
"""

from __future__ import annotations

import gzip
import io
import json
import lzma
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from framework.errors import UserError
from framework.fields import shown
from framework.formats.builder import MISSING, GraphBuilder, column, float_column, objects_of
from framework.formats.format import Format, starts_like_json
from framework.formats.json_tables import Table
from framework.formats.parameters import read_shared, rows_of
from framework.formats.source import PathLike, graph_name, parse_json
from framework.input_files import read_bytes
from framework.model.arrays import IntArray
from framework.model.graph import FloatArray, ModelGraph, PhysicalCosts, PricedCosts

GRAPH = "pipebound-graph"
"""What a file says of its format."""
VERSION = 2

_OTHERS = "*"
"""Where times stand by device: all devices that are not named."""

_MEMORY = ("state_bytes", "workspace_bytes")
_BACKWARD = ("backward_flops", "backward_seconds")
_FIELDS = {
    "nodes": (
        *("name", "op", "work", "parameter_cost", "flops", "parameter_bytes", "accessed_bytes", "seconds"),
        *_MEMORY,
        *_BACKWARD,
    ),
    "tensors": ("producer", "consumers", "cost", "bytes", "gradient_bytes"),
}


def read(path: PathLike) -> ModelGraph:
    """Read a native graph file, ``.json``, ``.json.gz`` or ``.json.xz``."""
    return parse(read_bytes(path), path)


def parse(data: bytes, path: PathLike) -> ModelGraph:
    """Read a native graph from the (decompressed) content of the file `path`."""
    where = os.fspath(path)
    top = parse_json(data, where, _FIELDS)
    if not isinstance(top, dict):
        raise UserError("the file is not a JSON object", where=where, hint='it should start with {"format": ...')
    _check_version(top, where)
    nodes, tensors = _table(top, "nodes", where), _table(top, "tensors", where)
    for field in (*_MEMORY, *_BACKWARD):
        _check_version_2(top, "nodes", field, nodes, where)
    _check_version_2(top, "tensors", "gradient_bytes", tensors, where)
    builder = GraphBuilder(where)
    _add_nodes(builder, nodes)
    producers, consumers = tensors.values("producer"), tensors.values("consumers")
    if not builder.add_tensors(producers, consumers):
        for i, (producer, row) in enumerate(zip(producers, consumers, strict=True)):
            _add_tensor(builder, producer, row, f"tensors[{i}]")
    unit = _text(top, "cost_unit", where)
    if unit is None and top.get("capacity") is not None:
        raise UserError("there is a capacity, but no cost_unit", where=where, hint="name the unit of the costs")
    default_stages = _whole(top, "default_stages", where)
    shared = read_shared(top.get("parameters") or [], "bytes" if unit is None else "cost", builder)
    costs = _physical(nodes, tensors, builder) if unit is None else _priced(top, unit, nodes, tensors, builder)
    if isinstance(costs, PhysicalCosts):
        costs = replace(costs, shared_bytes=shared.sizes.astype(np.float64))
    else:
        costs = replace(costs, shared_cost=shared.sizes)
    return builder.build(
        costs,
        shared=shared.users,
        shared_names=shared.names,
        name=_text(top, "name", where) or graph_name(path),
        source=_text(top, "source", where) or where,
        batch=_whole(top, "batch", where),
        dtype=_text(top, "dtype", where),
        default_stages=default_stages,
        remarks=_remarks(top, where),
    )


def _table(top: dict[str, Any], field: str, where: str) -> Table:
    found = top.get(field)
    return found if isinstance(found, Table) else Table.of(objects_of(top, field, where), _FIELDS[field])


def _check_version(top: dict[str, Any], where: str) -> None:
    if top.get("format") != GRAPH:
        raise UserError(
            f"the format is {shown(top.get('format'))}",
            where=where,
            hint=f'a native graph says "format": "{GRAPH}"',
        )
    version = top.get("version", MISSING)
    if type(version) is not int or not 1 <= version <= VERSION:
        said = "there is no version" if version is MISSING else f"the version is {shown(version)}"
        raise UserError(said, where=where, hint=f"this program reads versions 1 to {VERSION}")
    if version == 1 and top.get("parameters"):
        raise UserError("version 1 has no shared parameters", where=where, hint='say "version": 2')


def _check_version_2(top: Mapping[str, Any], rows: str, field: str, table: Table, where: str) -> None:
    """Refuse a field in a file of version 1, or one with prices."""
    stated = [i for i, value in enumerate(table.values(field, None)) if value is not None]
    if stated and top["version"] == 1:
        raise UserError(f"version 1 has no {field}", where=f"{where}, {rows}[{stated[0]}]", hint='say "version": 2')
    if stated and top.get("cost_unit") is not None:
        raise UserError(
            f"there is {field} in a graph with a cost_unit", where=f"{where}, {rows}[{stated[0]}]", hint="drop one"
        )


def _text(row: Mapping[str, Any], field: str, where: str) -> str | None:
    value = row.get(field)
    if value is not None and not isinstance(value, str):
        raise UserError(f"{field} is {shown(value)}", where=where, hint="give a string")
    return value


def _whole(row: dict[str, Any], field: str, where: str) -> int | None:
    value = row.get(field)
    if value is not None and (type(value) is not int or value < 1):
        raise UserError(f"{field} is {shown(value)}", where=where, hint="give an integer of at least 1")
    return value


def _remarks(top: dict[str, Any], where: str) -> Sequence[str]:
    remarks = top.get("remarks") or []
    if not isinstance(remarks, list) or not all(isinstance(remark, str) for remark in remarks):
        raise UserError(f"remarks is {shown(remarks)}", where=where, hint="give a list of strings")
    return remarks


def _add_nodes(builder: GraphBuilder, nodes: Table) -> None:
    names, ops = nodes.values("name", None), nodes.values("op", None)
    if {*map(type, names), *map(type, ops)} <= {str, type(None)} and builder.add_nodes(
        [name or f"node{i}" for i, name in enumerate(names)], [op or "" for op in ops]
    ):
        return
    # Once more, one by one, for the place of the mistake.
    for i, (name, op) in enumerate(zip(names, ops, strict=True)):
        node = {"name": name, "op": op}
        place = f"{builder.where}, nodes[{i}]"
        name = _text(node, "name", place) or f"node{i}"
        builder.add_node(i, name=name, op=_text(node, "op", place) or "", place=f"nodes[{i}]")


def _add_tensor(builder: GraphBuilder, producer: object, consumers: object, place: str) -> None:
    if not isinstance(consumers, list):
        said = "there is no 'consumers'" if consumers is MISSING else f"consumers is {shown(consumers)}"
        raise UserError(said, where=f"{builder.where}, {place}", hint="give a list of node positions")
    indices = []
    for field, position in [("producer", producer), *(("consumers", v) for v in consumers)]:
        if type(position) is not int:
            said = f"there is no {field!r}" if position is MISSING else f"{field} holds {shown(position)}"
            raise UserError(said, where=f"{builder.where}, {place}", hint="give the position of a node, from 0")
        indices.append(builder.node(position, place=f"{place}, {field}"))
    builder.add_tensor(indices[0], indices[1:], place=place)


def _physical(nodes: Table, tensors: Table, builder: GraphBuilder) -> PhysicalCosts:
    where, place = builder.where, builder.describe
    stated = nodes.values("seconds", None)
    timings = [timing.get(_OTHERS) if isinstance(timing, Mapping) else timing for timing in stated]
    seconds = float_column([0 if timing is None else timing for timing in timings], "seconds", place, where)
    if np.isnan(seconds).any():
        first = int(np.flatnonzero(np.isnan(seconds))[0])
        raise UserError("seconds is NaN", where=f"{where}, {place(first)}", hint="give a number, or null")
    measured = [timing is not None for timing in timings]

    def roofline(field: str) -> FloatArray:
        values = nodes.values(field)
        rows = [0 if timed and value is MISSING else value for value, timed in zip(values, measured, strict=True)]
        return float_column(rows, field, place, where)

    def held(field: str) -> FloatArray:
        return float_column([value or 0 for value in nodes.values(field, 0)], field, place, where)

    def known(table: Table, field: str, describe: Callable[[int], str]) -> FloatArray:
        stated = table.values(field, None)
        column = float_column([0 if value is None else value for value in stated], field, describe, where)
        return np.where([value is None for value in stated], math.nan, column)

    return PhysicalCosts(
        flops=roofline("flops"),
        parameter_bytes=float_column(nodes.values("parameter_bytes"), "parameter_bytes", place, where),
        accessed_bytes=roofline("accessed_bytes"),
        seconds=np.where(np.array(measured, bool), seconds, math.nan),
        tensor_bytes=float_column(tensors.values("bytes"), "bytes", builder.describe_tensor, where),
        device_seconds=_device_seconds(stated, builder),
        state_bytes=held("state_bytes"),
        workspace_bytes=held("workspace_bytes"),
        backward_flops=known(nodes, "backward_flops", place),
        backward_seconds=known(nodes, "backward_seconds", place),
        gradient_bytes=known(tensors, "gradient_bytes", builder.describe_tensor),
    )


def _device_seconds(stated: Sequence[object], builder: GraphBuilder) -> dict[str, FloatArray]:
    """Return the times that nodes state by device, ``[n]`` for each device that one of them names."""
    by_device: dict[str, FloatArray] = {}
    for i, timing in enumerate(stated):
        for device, value in timing.items() if isinstance(timing, Mapping) else ():
            if device == _OTHERS:
                continue
            place = f"{builder.where}, {builder.describe(i)}"
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise UserError(f"seconds on {device!r} is {shown(value)}", where=place, hint="give a number")
            by_device.setdefault(device, np.full(len(stated), math.nan))[i] = value
    return by_device


def _priced(top: dict[str, Any], unit: str, nodes: Table, tensors: Table, builder: GraphBuilder) -> PricedCosts:
    where, place = builder.where, builder.describe
    capacity = top.get("capacity")
    absent = 0 if capacity is None else MISSING
    return PricedCosts(
        unit=unit,
        work=column(nodes.values("work"), "work", place, where),
        parameter_cost=column(nodes.values("parameter_cost", absent), "parameter_cost", place, where),
        tensor_cost=column(tensors.values("cost"), "cost", builder.describe_tensor, where),
        capacity=None if capacity is None else column([capacity], "capacity", lambda _: "top level", where)[0].item(),
    )


def write_native(graph: ModelGraph, path: PathLike) -> None:
    """Write a graph so that reading it back gives the same digest; packed if the name ends in ``.gz`` or ``.xz``.

    Equal graphs give equal bytes: fields in a fixed order, one node or tensor a line, no time stamp.

    Raises
    ------
    UserError
        If two nodes have the same name (the file could not be read again), or the file cannot be written.
    """
    where = os.fspath(path)
    if len(set(graph.node_names)) < len(graph.node_names):
        raise UserError("two nodes have the same name", where=where, hint="rename one")
    data = native_text(graph).encode()
    if where.endswith(".gz"):
        packed = io.BytesIO()
        with gzip.GzipFile(filename="", mode="wb", fileobj=packed, compresslevel=9, mtime=0) as stream:
            stream.write(data)
        data = packed.getvalue()
    elif where.endswith(".xz"):
        data = lzma.compress(data, preset=6 | lzma.PRESET_EXTREME)
    try:
        Path(path).write_bytes(data)
    except OSError as error:
        raise UserError(f"cannot be written: {error.strerror or error}", where=where) from None


def _needs_version_2(graph: ModelGraph) -> bool:
    costs = graph.costs
    if len(graph.shared):
        return True
    return isinstance(costs, PhysicalCosts) and bool(costs.holds_more or costs.device_seconds or costs.knows_training)


def native_text(graph: ModelGraph, notes: Mapping[str, object] | None = None) -> str:
    """Return the file `write_native` writes, before compression; `notes` are fields of other programs, at its top."""
    costs = graph.costs
    if graph.step is not None:
        raise UserError("this is the graph of a training step", where=graph.source, hint="write that of an inference")
    head: dict[str, object] = dict(notes or {})
    head |= {
        "format": GRAPH,
        "version": VERSION if _needs_version_2(graph) else 1,
        "name": graph.name,
        "source": graph.source,
    }
    optional = {"batch": graph.batch, "dtype": graph.dtype, "default_stages": graph.default_stages}
    head |= {field: value for field, value in optional.items() if value is not None}
    if graph.remarks:
        head["remarks"] = list(graph.remarks)
    if isinstance(costs, PricedCosts):
        head["cost_unit"] = costs.unit
        if costs.capacity is not None:
            head["capacity"] = costs.capacity
        columns = {"work": costs.work.tolist(), "parameter_cost": costs.parameter_cost.tolist()}
        tensor_field, tensor_costs, shared_sizes = "cost", costs.tensor_cost.tolist(), costs.shared_cost.tolist()
    else:
        columns = {
            "flops": _compact(costs.flops),
            "parameter_bytes": _compact(costs.parameter_bytes),
            "accessed_bytes": _compact(costs.accessed_bytes),
            "seconds": _stated_seconds(costs),
        }
        memory = {"state_bytes": costs.state_bytes, "workspace_bytes": costs.workspace_bytes}
        columns |= {field: _compact(values) for field, values in memory.items() if values.any()}
        backward = {"backward_flops": costs.backward_flops, "backward_seconds": costs.backward_seconds}
        columns |= {field: _stated(values) for field, values in backward.items() if not np.isnan(values).all()}
        tensor_field, tensor_costs, shared_sizes = "bytes", _compact(costs.tensor_bytes), _compact(costs.shared_bytes)
    nodes = [
        {"name": name, "op": op} | {field: values[i] for field, values in columns.items()}
        for i, (name, op) in enumerate(zip(graph.node_names, graph.ops, strict=True))
    ]
    topology = graph.topology
    pointers, consumers = topology.consumer_ptr.tolist(), topology.consumers.tolist()
    tensors = [
        {"producer": u, tensor_field: cost, "consumers": consumers[pointers[t] : pointers[t + 1]]}
        for t, (u, cost) in enumerate(zip(topology.producer.tolist(), tensor_costs, strict=True))
    ]
    if isinstance(costs, PhysicalCosts) and not np.isnan(costs.gradient_bytes).all():
        gradients = _stated(costs.gradient_bytes)
        tensors = [row | {"gradient_bytes": size} for row, size in zip(tensors, gradients, strict=True)]
    fields = [f"{json.dumps(field)}: {_dumps(value)}" for field, value in head.items()]
    lists = [("nodes", nodes), ("tensors", tensors)]
    if len(graph.shared):
        lists.append(("parameters", rows_of(graph.shared, graph.shared_names, tensor_field, shared_sizes)))
    fields += [f'"{field}": [\n{_lines(rows)}]' for field, rows in lists]
    return "{" + ",\n".join(fields) + "}\n"


def _stated(values: FloatArray) -> list[object]:
    """Return numbers, None where they are not known."""
    return [None if math.isnan(v) else int(v) if v.is_integer() and v < 2**63 else v for v in values.tolist()]


def _stated_seconds(costs: PhysicalCosts) -> list[object]:
    """Return the time of each node, by device where it is known for some; None where it is not known."""
    stated: list[object] = [None if math.isnan(s) else s for s in costs.seconds.tolist()]
    for device, seconds in costs.device_seconds.items():
        for i in np.flatnonzero(~np.isnan(seconds)).tolist():
            known = stated[i]
            before = known if isinstance(known, dict) else {} if known is None else {_OTHERS: known}
            stated[i] = {**before, device: float(seconds[i])}
    return stated


_dumps: Callable[[object], str] = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def _lines(rows: Sequence[object]) -> str:
    return ",\n".join(map(_dumps, rows)) + ("\n" if rows else "")


def _compact(values: FloatArray | IntArray) -> list[int | float]:
    """Write whole numbers as such; a double of at most 2^63 that is whole survives the round trip."""
    return [int(v) if v.is_integer() and v < 2**63 else v for v in values.astype(np.float64).tolist()]


def _sniff(data: bytes) -> bool:
    return starts_like_json(data) and re.search(rb'"format"\s*:\s*"pipebound-graph"', data) is not None


FORMAT = Format(
    name="native",
    description="pipebound's own JSON, physical or priced",
    patterns=("*.graph.json",),
    sniff=_sniff,
    parse=lambda data, path, options: parse(data, path),
    names_itself=True,
)
