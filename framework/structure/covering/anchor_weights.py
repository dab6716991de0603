"""Covering bound with one weight per node: the least number of stages that a threshold T needs.

With weights a > 0 on the nodes and g_v at least the weight a(S) of every convex S that holds v and costs at most T, a
stage S of a partition at T has sum over v in S of a_v / g_v <= sum over v in S of a_v / a(S) = 1. So if the sum over
all nodes exceeds k, no partition into k stages keeps to T.

Each g_v is proven by a branch-and-bound tree (`framework.structure.pricing.vertex_bound`) with v as its only anchor:
nodes that share no stage with v at T are excluded, and nets that no stage of v covers are open. A tree of one vertex is
a Lagrangian bound, one minimum cut. `framework.structure.pricing.tree.verify_trees` repeats the cuts of a recorded
tree, without search.

Source: this project.
"""

from __future__ import annotations

from enum import IntEnum

from framework.model.arrays import IntArray
from framework.structure.kernel import kernel
from framework.structure.pricing.tree import (
    ROWS,
    VERTICES,
    Claim,
    CutModel,
    Outcome,
    Search,
    open_alone,
    open_anchor,
    settle,
)
from framework.structure.pricing.vertex_bound import bound_vertex


class Progress(IntEnum):
    """How far the search of an anchor's tree has come."""

    DONE = 0
    """No stage of the anchor weighs more than theta; the log has the record."""
    FOUND_SET = 1
    """The set in `Search.low` weighs more than theta."""
    PAUSED = 2
    LOG_FULL = 3


@kernel
def bound_roots(
    model: CutModel, search: Search, claim: Claim, guess: float, bounds: IntArray, leaves: IntArray
) -> None:
    """Fill in a Lagrangian bound on what stages of each anchor weigh, and its leaf; 0 if there are none at all.

    Parameters
    ----------
    claim
        With theta -1 and nothing wanted, so that the bounds become as good as they can.
    guess
        Multiplier to start with.
    bounds, leaves
        ``[anchors]``, ``[anchors, 3]``.
    """
    for at in range(len(search.order)):
        open_alone(search, search.order[at])
        search.start[0, 0], search.start[0, 1] = guess, 0.0
        vertex = bound_vertex(model, search, claim)
        bounds[at] = max(0, vertex.bound) if vertex.outcome == Outcome.OPEN else 0
        leaves[at, 0], leaves[at, 1], leaves[at, 2] = vertex.num, vertex.den, vertex.share


@kernel
def search_anchor(model: CutModel, search: Search, claim: Claim, guess: float, patience: int, fresh: bool) -> Progress:
    """Go on with the tree of the only anchor of a search for some vertices, from its root if `fresh`."""
    counters = search.counters
    if fresh:
        open_anchor(search)
        search.start[0, 0], search.start[0, 1] = guess, 0.0
        counters[ROWS] = 0
    for _ in range(patience):
        counters[VERTICES] += 1
        if counters[ROWS] == len(search.log):
            return Progress.LOG_FULL
        vertex = bound_vertex(model, search, claim)
        if vertex.outcome == Outcome.FOUND:
            return Progress.FOUND_SET
        if not settle(search, vertex):
            return Progress.DONE
    return Progress.PAUSED
