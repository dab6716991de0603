"""networkx graphs, from Python: a ``DiGraph`` whose nodes carry ``work``, ``output_size`` and ``parameter_size``.

Each node with out-edges produces one tensor of its ``output_size``, consumed by all its successors; attributes of
edges are ignored. ``parameter_size`` may be left out on all nodes. An ``op`` attribute, if a string, is kept.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from framework.errors import UserError
from framework.formats.builder import MISSING, GraphBuilder, column
from framework.model.graph import ModelGraph, PhysicalCosts, PricedCosts

if TYPE_CHECKING:
    import networkx


def from_networkx(
    digraph: networkx.DiGraph[Any],
    *,
    name: str | None = None,
    unit: str | None = None,
    capacity: int | float | None = None,
) -> ModelGraph:
    """Read a networkx graph.

    Parameters
    ----------
    digraph
        Its nodes are called by ``str(node)``, in its order.
    name
        For reports; the graph's own name by default.
    unit
        If given, ``work``, ``output_size`` and ``parameter_size`` are all times in this unit: the graph is priced.
        Otherwise ``work`` is in seconds and the sizes are in bytes, and a device's link bandwidth prices them.
    capacity
        Parameter cost that a stage holds for free; only with `unit`.

    Raises
    ------
    UserError
        If it is no simple directed graph, an attribute is missing or no number, or the graph is empty or cyclic.
    """
    where = name or str(digraph.name or "") or "networkx graph"
    if not digraph.is_directed() or digraph.is_multigraph():
        raise UserError("not a DiGraph", where=where, hint="convert it with networkx.DiGraph(graph)")
    if unit is not None and not (isinstance(unit, str) and unit):
        raise UserError(f"the unit is {unit!r}", where=where, hint="give its name, such as ms")
    if capacity is not None and (isinstance(capacity, bool) or not isinstance(capacity, int | float | np.number)):
        raise UserError(f"the capacity is {capacity!r}", where=where, hint="give a number")
    if capacity is not None and unit is None:
        raise UserError("there is a capacity, but no unit", where=where, hint="name the unit of the costs")
    builder = GraphBuilder(where)
    rows: list[dict[str, Any]] = []
    for key, attributes in digraph.nodes(data=True):
        op = attributes.get("op")
        builder.add_node(key, name=str(key), op=op if isinstance(op, str) else "", place=f"node {key!r}")
        rows.append(attributes)
    edges = list(digraph.edges())
    producers = builder.add_edges(edges, lambda i: f"edge {edges[i]!r}")
    bare = not any("parameter_size" in row for row in rows)
    work = column([row.get("work", MISSING) for row in rows], "work", builder.describe, where)
    parameters = column(
        [row.get("parameter_size", 0 if bare else MISSING) for row in rows], "parameter_size", builder.describe, where
    )
    outputs = column(
        [rows[v].get("output_size", MISSING) for v in producers], "output_size", builder.describe_tensor, where
    )
    costs: PhysicalCosts | PricedCosts
    if unit is not None:
        costs = PricedCosts(unit=unit, work=work, parameter_cost=parameters, tensor_cost=outputs, capacity=capacity)
    else:
        seconds = work.astype(np.float64)
        for v in np.flatnonzero(np.isnan(seconds)):
            # In a ModelGraph, NaN means that no time was measured.
            raise UserError(f"work is {math.nan}", where=f"{where}, {builder.describe(int(v))}", hint="give a number")
        costs = PhysicalCosts(
            flops=np.zeros(len(rows)),
            parameter_bytes=parameters.astype(np.float64),
            accessed_bytes=np.zeros(len(rows)),
            seconds=seconds,
            tensor_bytes=outputs.astype(np.float64),
        )
    return builder.build(costs, name=where, source=where)
