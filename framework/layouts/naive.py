"""The splits people make without a solver: one order, cut where a count reaches equal shares; or whole layers."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import numpy as np

from framework.errors import UserError
from framework.layouts.blocks import Blocks, blocks_of
from framework.model.arrays import IntArray
from framework.model.graph import FloatArray, ModelGraph, PhysicalCosts
from framework.model.topology import stable_topological_order

OPERATORS, PARAMETERS, FLOPS = "equal operator count", "equal parameters", "equal FLOPs"

NAMED = {
    "operators": "equal numbers of nodes, in topological order",
    "parameters": "equal shares of the parameters, in topological order",
    "flops": "equal shares of the FLOPs, in topological order",
    "even-layers": "equal numbers of whole layers; the first stages have one more where they do not divide evenly",
    "layer-parameters": "whole layers, the largest share of the parameters as small as possible",
    "layer-flops": "whole layers, the largest share of the FLOPs as small as possible",
}
"""The splits that have a name, and what they are."""

_MEASURES = {"operators": OPERATORS, "parameters": PARAMETERS, "flops": FLOPS}


def naive_partitions(graph: ModelGraph, stages: int) -> dict[str, IntArray]:
    """Return the stage of each node, ``[n]``, for equal operator counts, equal parameters and equal FLOPs.

    Nodes are taken in topological order, the file's own where that is one; each goes to the stage in whose share the
    middle of it falls. A shared parameter counts for one of its users. A measure that is zero everywhere gives no
    split. No edge goes back.
    """
    order = stable_topological_order(graph.topology)
    return {name: _cut(order, values, stages) for name, values in _measures(graph).items() if values.any()}


def named_split(name: str, graph: ModelGraph, stages: int, layers: Sequence[str] = ()) -> IntArray:
    """Return the stage of each node, ``[n]``, in one of the splits that `NAMED` lists.

    Parameters
    ----------
    layers
        Which modules are layers, as for `blocks_of`.

    Raises
    ------
    UserError
        If there is no such split, or none of this graph: it states no FLOPs, say, or its names tell of no layers.
    """
    if name not in NAMED:
        near = difflib.get_close_matches(name, NAMED, 2)
        hint = f"did you mean {' or '.join(near)}?" if near else f"choose one of {', '.join(NAMED)}, or give a file"
        raise UserError(f"no split is called {name!r}", hint=hint)
    if name in _MEASURES:
        values = _measures(graph).get(_MEASURES[name])
        if values is None or not values.any():
            raise UserError(f"the graph states nothing that a split by {name} could count", where=graph.source)
        return _cut(stable_topological_order(graph.topology), values, stages)
    blocks = blocks_of(graph, layers)
    if name == "even-layers":
        return blocks.stages(even_layers(len(blocks.layers), stages))
    measure = PARAMETERS if name == "layer-parameters" else FLOPS
    values = _measures(graph).get(measure)
    if values is None or not values.any():
        raise UserError(f"the graph states nothing that a split by {name} could count", where=graph.source)
    return _lightest(blocks, values, stages)


def even_layers(layers: int, stages: int) -> list[int]:
    """Return the stage of each layer; the first stages have one more where they do not divide evenly."""
    each, more = divmod(layers, stages)
    sizes = [each + (b < more) for b in range(stages)]
    return [b for b, size in enumerate(sizes) for _ in range(size)]


def _measures(graph: ModelGraph) -> dict[str, FloatArray]:
    measures: dict[str, FloatArray] = {OPERATORS: np.ones(graph.topology.n)}
    if isinstance(graph.costs, PhysicalCosts):
        measures[PARAMETERS] = graph.parameters_of_nodes
        measures[FLOPS] = graph.costs.flops
    return measures


def _cut(order: IntArray, values: FloatArray, stages: int) -> IntArray:
    ordered = values[order]
    middle = np.cumsum(ordered) - ordered / 2
    stage_of = np.empty(len(order), np.int64)
    stage_of[order] = np.minimum(stages - 1, np.floor(stages * middle / ordered.sum())).astype(np.int64)
    return stage_of


def _lightest(blocks: Blocks, values: FloatArray, stages: int) -> IntArray:
    """Return the stages of nodes for which the heaviest stage of whole blocks is lightest, by dynamic programming."""
    weight = np.bincount(blocks.of_node, weights=values, minlength=len(blocks.layers) + 2)
    prefix = np.concatenate(([0.0], np.cumsum(weight)))
    count = len(weight)
    # heaviest[i]: the heaviest stage where the first i + 1 blocks are in the stages so far.
    heaviest = prefix[1:].copy()
    first_of_last = []
    for _ in range(stages - 1):
        better, first = heaviest.copy(), np.zeros(count, np.int64)
        for i in range(1, count):
            costs = np.maximum(heaviest[:i], prefix[i + 1] - prefix[1 : i + 1])
            j = int(costs.argmin())
            if costs[j] < better[i]:
                better[i], first[i] = costs[j], j + 1
        first_of_last.append(first)
        heaviest = better
    stage_of_block = np.zeros(count, np.int64)
    end = count
    for b in range(stages - 1, 0, -1):
        begin = int(first_of_last[b - 1][end - 1])
        if begin:
            stage_of_block[begin:end] = b
            end = begin
    return stage_of_block[blocks.of_node]
