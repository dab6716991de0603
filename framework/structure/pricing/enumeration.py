"""All stages of cost at most T worth a given amount: the pricing tree walked down to single sets.

Validity: each non-empty convex set S belongs to one anchor, its first member in the order, and, as the children of a
vertex differ in the role of one node, to one leaf of that anchor's tree. A leaf is either pruned: then no convex S with
f(S) <= T that keeps its roles is worth more than theta (`framework.structure.pricing.vertex_bound`). Or no node is
left free: then only one set keeps its roles, which is priced. So the sets returned are all convex S with f(S) <= T and
pi(S) > theta, each once; exclusions at T (`Question.apart`, `Question.uncovered`) leave out only sets that are no stage
of a partition with bottleneck at most T.

Source: route enumeration (Baldacci, Christofides and Mingozzi, 2008) by this project's pricing trees.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

import numpy as np

from framework.errors import OutOfTimeError
from framework.structure.flow.max_flow import STEPS
from framework.structure.kernel import kernel
from framework.structure.pricing.branch_and_bound import StagePricer
from framework.structure.pricing.network import ARCS, RoleArray
from framework.structure.pricing.propagation import rules_of
from framework.structure.pricing.query import Question
from framework.structure.pricing.tree import (
    ANCHOR,
    COLUMNS,
    DEPTH,
    NO_NODE,
    UNOPENED,
    VERTICES,
    Claim,
    CutModel,
    Outcome,
    Search,
    new_search,
    open_anchor,
    step,
)
from framework.structure.pricing.vertex_bound import MAGNITUDE, bound_vertex

_STEPS_A_CALL = 2_000_000
"""Arcs built or scanned in one kernel call: some hundredths of a second."""


class _Status(IntEnum):
    """How a call of `_enumerate` ended."""

    DONE = 0
    PAUSED = 1
    FULL = 2
    """There is no room for more sets."""


def enumerate_stages(
    pricer: StagePricer,
    question: Question,
    *,
    effort: int,
    max_stages: int,
    should_stop: Callable[[], bool] = lambda: False,
) -> tuple[RoleArray | None, int]:
    """Return the convex sets S with f(S) <= threshold and prices(S) > theta, and the vertices of the trees.

    Parameters
    ----------
    question
        Its theta is what the sets are worth more than.
    effort
        Vertices that all trees together may have.
    max_stages
        Sets that there may be.

    Returns
    -------
    tuple[RoleArray | None, int]
        ``[sets, n]`` 1 for members; None where a limit was met.

    Raises
    ------
    OutOfTimeError
        If `should_stop` returns true.
    """
    claim = pricer.claim(question.prices, question.threshold, question.theta)._replace(wanted=MAGNITUDE)
    model = pricer.model(rules_of(question.apart, question.uncovered))
    search = new_search(question.order, max_columns=max_stages, log_size=1)
    guess = max(1, int(np.maximum(question.prices, 0).sum())) / max(1.0, float(pricer.largest_cost))
    while True:
        status = _enumerate(model, search, claim, guess, _STEPS_A_CALL)
        vertices = int(search.counters[VERTICES])
        if status != _Status.PAUSED or vertices >= effort:
            break
        if should_stop():
            raise OutOfTimeError("stopped while stages were enumerated")
    complete = status == _Status.DONE
    return search.columns[: search.counters[COLUMNS]].copy() if complete else None, vertices


@kernel
def _enumerate(model: CutModel, search: Search, claim: Claim, guess: float, steps: int) -> _Status:
    """Go on with the trees of all anchors, and keep the sets at their leaves."""
    counters, network, members = search.counters, model.network, search.members
    built = 0
    first_step = network.flow.counters[STEPS]
    while counters[ANCHOR] < len(search.order):
        if built + network.flow.counters[STEPS] - first_step > steps:
            return _Status.PAUSED
        if counters[DEPTH] == UNOPENED:
            open_anchor(search)
            search.start[0, 0], search.start[0, 1] = guess, 0.0
        counters[VERTICES] += 1
        vertex = bound_vertex(model, search, claim)
        built += len(members) + 4 * network.sizes[ARCS]
        choice = NO_NODE
        if vertex.outcome == Outcome.OPEN:
            choice = vertex.choice
            if choice == NO_NODE:
                # Nothing is left to decide: the only set is within T, and worth more than theta.
                if counters[COLUMNS] == len(search.columns):
                    return _Status.FULL
                for v in range(len(members)):
                    search.columns[counters[COLUMNS], v] = members[v]
                counters[COLUMNS] += 1
        if not step(search, choice):
            counters[ANCHOR] += 1
            counters[DEPTH] = UNOPENED
    return _Status.DONE
