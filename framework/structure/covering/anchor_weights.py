"""Covering bound with one weight per node: the least number of stages that a threshold T needs.

With weights a > 0 on the nodes and g_v at least the weight a(S) of every convex S that holds v and costs at most T, a
stage S of a partition at T has sum over v in S of a_v / g_v <= sum over v in S of a_v / a(S) = 1. So if the sum over
all nodes exceeds k, no partition into k stages keeps to T.

Each g_v is proven by a branch-and-bound tree (`framework.structure.pricing.vertex_bound`) with v as its only anchor:
nodes that share no stage with v at T are excluded, and nets that no stage of v covers are open. A tree of one vertex is
a Lagrangian bound, one minimum cut. `walk_anchor` repeats the cuts of a recorded tree, without search.

Source: this project.
"""

from __future__ import annotations

import numpy as np

from framework.model.arrays import IntArray
from framework.structure.kernel import allocating_kernel, kernel
from framework.structure.pricing.network import (
    Network,
    Shape,
)
from framework.structure.pricing.propagation import Rules
from framework.structure.pricing.vertex_bound import (
    BRANCHES,
    FOUND,
    MAGNITUDE,
    OPEN,
    Search,
    bound_vertex,
    branch,
    next_vertex,
    open_anchor,
    walk_tree,
)

DONE, FOUND_SET, PAUSED, LOG_FULL = 0, 1, 2, 3


@allocating_kernel
def bound_roots(
    shape: Shape,
    rules: Rules,
    network: Network,
    search: Search,
    weights: IntArray,
    threshold: int,
    anchors: IntArray,
    shares: int,
    num_limit: int,
    den_limit: int,
    guess: float,
    bounds: IntArray,
    leaves: IntArray,
) -> None:
    """Fill in a Lagrangian bound on what stages of each anchor weigh, and its leaf; 0 if there are none at all.

    Parameters
    ----------
    bounds, leaves
        ``[anchors]``, ``[anchors, 3]``.
    """
    result = np.zeros(5, np.int64)
    start = np.zeros(2)
    for at in range(len(anchors)):
        _open_only(search, anchors[at])
        start[0], start[1] = guess, 0.0
        outcome = bound_vertex(
            shape,
            rules,
            network,
            search,
            weights,
            threshold,
            -1,
            MAGNITUDE,
            shares,
            num_limit,
            den_limit,
            start,
            result,
        )
        bounds[at] = max(0, result[4]) if outcome == OPEN else 0
        for column in range(3):
            leaves[at, column] = result[column]


@allocating_kernel
def search_anchor(
    shape: Shape,
    rules: Rules,
    network: Network,
    search: Search,
    weights: IntArray,
    threshold: int,
    theta: int,
    anchor: int,
    shares: int,
    num_limit: int,
    den_limit: int,
    guess: float,
    patience: int,
    fresh: bool,
) -> int:
    """Go on with the tree of one anchor for some vertices, from its root if `fresh`.

    `DONE` if no stage of the anchor weighs more than theta, with the record in ``search.log``; `FOUND_SET` if the set
    in ``search.low`` does.
    """
    numbers = search.numbers
    result = np.zeros(5, np.int64)
    if fresh:
        _open_only(search, anchor)
        search.start[0, 0], search.start[0, 1] = guess, 0.0
        numbers[1] = 0
        numbers[4] = 0
    for _ in range(patience):
        depth = numbers[1]
        numbers[2] += 1
        if numbers[4] == len(search.log):
            return LOG_FULL
        outcome = bound_vertex(
            shape,
            rules,
            network,
            search,
            weights,
            threshold,
            theta,
            theta,
            shares,
            num_limit,
            den_limit,
            search.start[depth],
            result,
        )
        if outcome == FOUND:
            return FOUND_SET
        row = numbers[4]
        numbers[4] += 1
        if outcome == OPEN:
            search.log[row, 0], search.log[row, 1], search.log[row, 2] = result[3], BRANCHES, 0
            branch(search, depth, result[3])
            continue
        search.log[row, 0], search.log[row, 1], search.log[row, 2] = result[0], result[1], result[2]
        numbers[1] = next_vertex(search, depth)
        if numbers[1] == 0:
            return DONE
    return PAUSED


@kernel
def walk_anchor(
    shape: Shape,
    rules: Rules,
    network: Network,
    search: Search,
    weights: IntArray,
    threshold: int,
    theta: int,
    anchor: int,
    shares: int,
    num_limit: int,
    den_limit: int,
    log: IntArray,
) -> bool:
    """Whether a record proves that no stage of the anchor weighs more than theta; one cut a leaf."""
    _open_only(search, anchor)
    end = walk_tree(shape, rules, network, search, weights, threshold, theta, shares, num_limit, den_limit, log, 0)
    return end == len(log)


@kernel
def _open_only(search: Search, anchor: int) -> None:
    """Set the roles of the root of an anchor's tree, with no other node out."""
    search.numbers[0] = 0
    search.order[0] = anchor
    open_anchor(search)
