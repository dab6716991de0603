"""Pricing by branch and bound: proves that no stage that costs at most T is worth more than theta in given node prices.

In symbols: pi(S) <= theta for every convex set S of nodes with f(S) <= T, where f is the cost of a stage.

Every non-empty S has a first member in a given order of the nodes, its *anchor*. So there is one case for each node v,
in which v is in S and the nodes before v in the order are not. Each case is proven by a branch-and-bound tree
(`framework.structure.pricing.vertex_bound`). A leaf of the tree is a multiplier num / den with a share of parameters,
whose bound is at most theta; ``den = 0`` says that no S of the leaf costs at most T.

Two kinds of exclusions at T are derived beforehand (`ForcedCosts`): u and v share no stage if the cheapest convex set
that contains both costs more than T, and no stage of v covers a net if the cheapest convex set with v and all pins of
the net costs more than T.

The trees are recorded (`framework.structure.pricing.tree`), and `StagePricer.verify` repeats the record: one minimum
cut per leaf, no search. Sets with pi(S) > theta found during the search refute the claim; they are columns for a master
problem.

The order of the nodes matters: hubs come first. Their trees are large, but all other trees are small once hubs are
excluded. Moving nodes with hard cases to the end of the order was tried, and is worse by an order of magnitude.

Sources: Farley, 1990, for the bound that prices give; exclusive anchors, rules and trees: this project.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

import numpy as np

from framework.errors import OutOfTimeError
from framework.model.arrays import IntArray
from framework.model.instance import Instance
from framework.structure.flow.max_flow import INFINITE, STEPS
from framework.structure.kernel import allocating_kernel, kernel
from framework.structure.poset.closure import Closure
from framework.structure.pricing.network import (
    ARCS,
    FREE,
    IN,
    Network,
    RoleArray,
    Shape,
    build_network,
    network_for,
    shape_of,
    solve_network,
)
from framework.structure.pricing.propagation import NO_RULES, Rules, close_roles, rules_of
from framework.structure.pricing.query import ForcedCosts, Pricing, Question, Verdict
from framework.structure.pricing.tree import (
    ANCHOR,
    COLUMNS,
    DEPTH,
    FAILURES,
    OVERFLOWED,
    ROWS,
    UNOPENED,
    VERTICES,
    VERTICES_BEFORE,
    Claim,
    CutModel,
    Outcome,
    Search,
    new_search,
    open_anchor,
    settle,
    verify_trees,
)
from framework.structure.pricing.vertex_bound import MAGNITUDE, bound_vertex

_GLEANING = 32
"""Vertices an anchor is given once another has failed, when only columns are still wanted."""


class _Status(IntEnum):
    """How a call of `_search` ended."""

    DONE = 0
    PAUSED = 1
    FULL = 2
    """There is no room for more columns."""


class StagePricer:
    """Answers questions about the stages of one instance.

    Attributes
    ----------
    largest_cost
        What no set costs more than, in ticks; products stay in 64 bits for thresholds up to it.
    """

    steps_a_call = 2_000_000
    """Arcs built or scanned in one kernel call: some hundredths of a second."""

    def __init__(self, instance: Instance, reach: Closure) -> None:
        self.instance = instance
        self.shape = shape_of(instance, reach)
        self.network = network_for(self.shape)
        self.largest_cost = instance.total_work + instance.total_parameter_cost + int(self.shape.net_cost.sum())

    def forced_costs(self, ceiling: int = INFINITE, should_stop: Callable[[], bool] = lambda: False) -> ForcedCosts:
        """Compute forced costs: a minimum cut for each pair of nodes, and for each node and net where it matters.

        Parameters
        ----------
        ceiling
            Costs from here on, in ticks, need not be told apart: what two nodes cost is enough for a node and a net
            if it is as much. Only that saves time; costs are lower bounds in any case.

        Raises
        ------
        OutOfTimeError
            If `should_stop` returns true.
        """
        n, nets = self.instance.n, len(self.shape.net_cost)
        pairs, covers = np.zeros((n, n), np.int64), np.zeros((n, nets), np.int64)
        for force in (_force_pairs, _force_covers):
            for v in range(n):
                if should_stop():
                    raise OutOfTimeError("stopped while forced costs were computed")
                force(self.shape, NO_RULES, self.network, v, pairs, covers, ceiling)
        return ForcedCosts(pairs=pairs, nets=covers)

    def decide(
        self,
        question: Question,
        *,
        effort: int,
        max_columns: int = 64,
        log_size: int = 1 << 16,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Pricing:
        """Search for a proof, and for columns.

        Parameters
        ----------
        effort
            Vertices that all trees together may have, about.

        Raises
        ------
        OutOfTimeError
            If `should_stop` returns true.
        """
        if question.theta < 0:
            raise ValueError("theta must be at least 0: the empty stage is worth nothing")
        if question.threshold > self.largest_cost:
            raise ValueError("the threshold is above what any set costs")
        claim = self.claim(question.prices, question.threshold, question.theta)
        model = self.model(rules_of(question.apart, question.uncovered))
        search = new_search(question.order, max_columns=max_columns, log_size=log_size)
        guess = max(1, int(np.maximum(question.prices, 0).sum())) / max(1.0, float(self.largest_cost))
        while True:
            status = _search(model, search, claim, guess, effort, self.steps_a_call)
            if status != _Status.PAUSED:
                break
            if should_stop():
                raise OutOfTimeError("stopped while pricing stages")
        found, rows = int(search.counters[COLUMNS]), int(search.counters[ROWS])
        proven = status == _Status.DONE and not search.counters[FAILURES]
        verdict = Verdict.PROVEN if proven else Verdict.EXCEEDED if found else Verdict.EXHAUSTED
        return Pricing(
            verdict=verdict,
            columns=search.columns[:found].copy(),
            log=search.log[:rows].copy() if proven and rows != OVERFLOWED else None,
            vertices=int(search.counters[VERTICES]),
        )

    def verify(self, question: Question, log: IntArray) -> bool:
        """Whether a log proves that the answer is yes; every leaf is one minimum cut."""
        n = self.instance.n
        if question.theta < 0 or not np.array_equal(np.sort(question.order), np.arange(n)):
            return False
        if log.ndim != 2 or log.shape[1] != 3 or not 0 <= question.threshold <= self.largest_cost:
            return False
        if question.theta > sum(abs(price) for price in question.prices.tolist()):
            return False
        return bool(
            verify_trees(
                self.model(rules_of(question.apart, question.uncovered)),
                new_search(question.order, max_columns=1, log_size=1),
                self.claim(question.prices, question.threshold, question.theta),
                np.ascontiguousarray(log),
            )
        )

    def model(self, rules: Rules) -> CutModel:
        """Return what kernels make cuts of, under some rules."""
        return CutModel(shape=self.shape, rules=rules, network=self.network)

    def claim(self, prices: IntArray, threshold: int, theta: int) -> Claim:
        """Return what kernels are to show: no stage of cost at most the threshold is worth more than theta."""
        num_limit, den_limit = self.multiplier_limits(prices)
        return Claim(
            prices=prices,
            threshold=threshold,
            theta=theta,
            wanted=theta,
            shares=2 if self.instance.can_overflow else 1,
            num_limit=num_limit,
            den_limit=den_limit,
        )

    def multiplier_limits(self, prices: IntArray) -> tuple[int, int]:
        """Return the largest numerator and denominator that keep all sums in 64 bits."""
        worth = sum(abs(price) for price in prices.tolist())
        if worth > MAGNITUDE >> 8:
            raise ValueError(f"the prices add up to {worth}")
        return max(1, MAGNITUDE // max(1, self.largest_cost)), max(1, MAGNITUDE // max(1, worth))


@kernel
def _search(model: CutModel, search: Search, claim: Claim, guess: float, effort: int, steps: int) -> _Status:
    """Go on with the trees of all anchors, depth first, in before out."""
    counters, start, network = search.counters, search.start, model.network
    n = len(search.order)
    built = 0
    first_step = network.flow.counters[STEPS]
    while counters[ANCHOR] < n:
        if counters[DEPTH] == UNOPENED:
            open_anchor(search)
            start[0, 0], start[0, 1] = guess, 0.0
            counters[VERTICES_BEFORE] = counters[VERTICES]
        counters[VERTICES] += 1
        vertex = bound_vertex(model, search, claim)
        built += n + 4 * network.sizes[ARCS]
        finished = vertex.outcome == Outcome.FOUND
        if vertex.outcome == Outcome.FOUND:
            for v in range(n):
                search.columns[counters[COLUMNS], v] = search.low[v]
            counters[COLUMNS] += 1
            counters[FAILURES] += 1
        elif counters[VERTICES] >= effort and not counters[FAILURES]:
            counters[FAILURES] += 1
            finished = True
        elif (
            vertex.outcome == Outcome.OPEN
            and counters[FAILURES]
            and counters[VERTICES] - counters[VERTICES_BEFORE] >= _GLEANING
        ):
            finished = True
        else:
            multiplier = start[counters[DEPTH], 0]
            if vertex.outcome == Outcome.PRUNED and 0.0 < multiplier < np.inf:
                guess = multiplier
            finished = not settle(search, vertex)
        if finished:
            counters[ANCHOR] += 1
            counters[DEPTH] = UNOPENED
            if counters[COLUMNS] == len(search.columns):
                return _Status.FULL
        if built + network.flow.counters[STEPS] - first_step > steps:
            return _Status.PAUSED
    return _Status.DONE


@allocating_kernel
def _force_pairs(
    shape: Shape, rules: Rules, network: Network, v: int, pairs: IntArray, covers: IntArray, ceiling: int
) -> None:
    """Fill in the cheapest sets with v and each later node."""
    roles = np.zeros(len(pairs), np.int8)
    roles[v] = IN
    for other in range(v, len(pairs)):
        roles[other] = IN
        pairs[v, other] = pairs[other, v] = _least_cost(shape, rules, network, roles)
        if other != v:
            roles[other] = FREE


@allocating_kernel
def _force_covers(
    shape: Shape, rules: Rules, network: Network, v: int, pairs: IntArray, covers: IntArray, ceiling: int
) -> None:
    """Fill in the cheapest sets with v and a whole net; where two of these nodes cost the ceiling, that is enough."""
    roles = np.zeros(len(pairs), np.int8)
    for t in range(covers.shape[1]):
        first, last = shape.net_ptr[t], shape.net_ptr[t + 1]
        least = 0
        for i in range(first, last):
            least = max(least, pairs[v, shape.net_pins[i]], pairs[shape.net_pins[first], shape.net_pins[i]])
        if least < ceiling:
            for i in range(len(roles)):
                roles[i] = FREE
            roles[v] = IN
            for i in range(first, last):
                roles[shape.net_pins[i]] = IN
            least = _least_cost(shape, rules, network, roles)
        covers[v, t] = least


@allocating_kernel
def _least_cost(shape: Shape, rules: Rules, network: Network, roles: RoleArray) -> int:
    """Return what a convex set with the given nodes costs at least, in ticks, overflow aside."""
    close_roles(shape, rules, roles, network)
    build_network(shape, 0, network)
    return int(-solve_network(network, np.zeros(len(roles), np.int64), 1, 0, -INFINITE))
