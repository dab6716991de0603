"""The splits people make without a solver: one order, cut where a count reaches equal shares."""

from __future__ import annotations

import numpy as np

from framework.model.arrays import IntArray
from framework.model.graph import FloatArray, ModelGraph, PhysicalCosts
from framework.model.topology import stable_topological_order


def naive_partitions(graph: ModelGraph, stages: int) -> dict[str, IntArray]:
    """Return the stage of each node, ``[n]``, for equal operator counts, equal parameters and equal FLOPs.

    Nodes are taken in topological order, the file's own where that is one; each goes to the stage in whose share the
    middle of it falls. A shared parameter counts for one of its users. A measure that is zero everywhere gives no
    split. No edge goes back.
    """
    measures: dict[str, FloatArray] = {"equal operator count": np.ones(graph.topology.n)}
    if isinstance(graph.costs, PhysicalCosts):
        measures["equal parameters"] = graph.parameters_of_nodes
        measures["equal FLOPs"] = graph.costs.flops
    order = stable_topological_order(graph.topology)
    return {name: _cut(order, values, stages) for name, values in measures.items() if values.any()}


def _cut(order: IntArray, values: FloatArray, stages: int) -> IntArray:
    ordered = values[order]
    middle = np.cumsum(ordered) - ordered / 2
    stage_of = np.empty(len(order), np.int64)
    stage_of[order] = np.minimum(stages - 1, np.floor(stages * middle / ordered.sum())).astype(np.int64)
    return stage_of
