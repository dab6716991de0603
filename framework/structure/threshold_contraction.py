"""Threshold contraction: nodes that share a stage in every partition of bottleneck at most T become one.

Take an edge u -> v and a partition that separates its ends. The stage S of u comes before that of v, so it holds
neither v nor a descendant of v; the stage of v holds neither u nor an ancestor of u. Stages are convex, hence

    f(S) >= A = min over sets with u, without v and its descendants, closed around u,

and likewise B for the stage of v; both are minimum cuts (`framework.structure.cuts`). If A > T or B > T no partition of
bottleneck at most T separates u and v, and contracting the edge keeps all of them. If even the cheapest set around some
node costs more than T there is no such partition at all. Contraction forces more contraction, so it is repeated to a
fixed point. The result is good for this threshold and all below, never for higher ones.

Overflow enters as p(S) - capacity or as 0, whichever is larger: neither is above max(0, p(S) - capacity).

Source: methods.md B3, this project.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from framework.model.instance import Instance
from framework.model.topology import IntArray
from framework.structure.closure import transitive_reduction
from framework.structure.contraction import compose, contract
from framework.structure.cuts import NodeCuts


def contract_at_threshold(
    instance: Instance, threshold: int, *, should_stop: Callable[[], bool] = lambda: False
) -> Instance | None:
    """Contract every edge that no partition of bottleneck at most `threshold` (ticks) separates.

    Returns
    -------
    An instance whose partitions of bottleneck at most the threshold are those of the given one, with `node_of_input`
    from the nodes of the given one; None if there are none for any number of stages.

    Raises
    ------
    OutOfTimeError
        If `should_stop` strikes.
    """
    reduced = contract(instance, np.arange(instance.n, dtype=np.int64))
    while True:
        cuts = NodeCuts(reduced, should_stop=should_stop)
        if any(_costs_more(cuts, v, [], threshold) for v in range(reduced.n)):
            return None
        label = _labels(cuts, threshold)
        if np.array_equal(label, np.arange(reduced.n)):
            return reduced
        reduced = compose(reduced, contract(reduced, label))


def _labels(cuts: NodeCuts, threshold: int) -> IntArray:
    """Return a label for each node, equal for nodes that must share a stage."""
    instance, reach = cuts.instance, cuts.reach
    root = list(range(instance.n))

    def find(v: int) -> int:
        while root[v] != v:
            root[v] = root[root[v]]
            v = root[v]
        return v

    tails, heads = transitive_reduction(instance)
    for u, v in zip(tails.tolist(), heads.tolist(), strict=True):
        if find(u) == find(v):
            continue
        without_head = [v, *reach.descendants_of(v).tolist()]
        without_tail = [u, *reach.ancestors_of(u).tolist()]
        if _costs_more(cuts, u, without_head, threshold) or _costs_more(cuts, v, without_tail, threshold):
            root[max(find(u), find(v))] = min(find(u), find(v))
    return np.array([find(v) for v in range(instance.n)], np.int64)


def _costs_more(cuts: NodeCuts, anchor: int, outside: list[int], threshold: int) -> bool:
    """Whether every convex set with the anchor and without some nodes costs more than the threshold."""
    instance = cuts.instance
    for share in (0, 1) if instance.can_overflow else (0,):
        limit = threshold + share * instance.capacity
        weight = instance.work + share * instance.parameter_cost
        found = cuts.minimise(weight, inside=[anchor], outside=outside, anchors=[anchor], limit=limit + 1)
        if found.value > limit:
            return True
    return False
