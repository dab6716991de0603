"""Depth and width of a graph: how long its longest chain is, how many nodes can be pairwise unordered.

Width decides how many ideals there are, hence what can be solved exactly. By Dilworth's theorem the largest
antichain has as many nodes as the fewest chains that cover all nodes; chains may skip over nodes, which is a
flow problem on the direct edges alone: the flow that links nodes into chains, with free passage through nodes
already covered (Fulkerson's reduction with transit arcs, so that no transitive closure is needed).
"""

from __future__ import annotations

import numpy as np

from framework.model.arrays import IntArray
from framework.model.instance import Instance


def depths(instance: Instance) -> IntArray:
    """Return the number of nodes on the longest path before each node, ``[n]``."""
    top = instance.topology
    ptr, preds = top.pred_ptr.tolist(), top.preds.tolist()
    depth = [0] * instance.n
    for v in range(instance.n):
        row = preds[ptr[v] : ptr[v + 1]]
        if row:
            depth[v] = 1 + max(depth[u] for u in row)
    return np.array(depth, np.int64)


def width(instance: Instance) -> int:
    """Return the size of the largest antichain, exactly."""
    from ortools.graph.python.max_flow import SimpleMaxFlow

    n, top = instance.n, instance.topology
    source, sink = 2 * n, 2 * n + 1
    nodes = np.arange(n)
    edge_from = np.repeat(nodes, np.diff(top.succ_ptr))
    # leave(u) = u, enter(v) = n + v; a unit from leave(u) to enter(v) makes v follow u in its chain, and
    # enter(v) -> leave(v) lets a chain pass through v although another one covers it.
    tails = np.concatenate((np.full(n, source), edge_from, n + nodes, n + nodes))
    heads = np.concatenate((nodes, n + top.succs, np.full(n, sink), nodes))
    ones, free = np.ones(n, np.int64), np.full(n, n, np.int64)
    capacities = np.concatenate((ones, np.full(len(edge_from), n), ones, free))
    flow = SimpleMaxFlow()
    flow.add_arcs_with_capacity(tails, heads, capacities)
    status = flow.solve(source, sink)
    if status != flow.OPTIMAL:
        raise RuntimeError(f"the maximum flow ended with status {status}")
    return n - int(flow.optimal_flow())
