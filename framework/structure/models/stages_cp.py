"""The exact constraint model of a partition for CP-SAT, coarsened soundly where ticks are too fine.

Variables: y[v, b] = "v is in stage b or an earlier one", for the stages in the window of v; x[v, b] = y[v, b] -
y[v, b-1] is then "v is in b". An edge u -> v orders them (y[v, b] implies y[u, b]). A tensor of u costs its stage b
``out`` if u is in b and some consumer is not in b or earlier, and a stage b ``in`` if some consumer is in b and u is in
an earlier one: both are clauses. Among the consumers, ancestors of another consumer are implied in the former.

Where stages are unequal, each row has the costs of its stage's own device, and so have windows: a node is in no stage
in which it alone, with its overflow, costs more than the threshold. The windows of equal stages are those of the
relaxation, which hold as well. Of the stages up to b all have a node's work at least where it is cheapest among them.

A shared parameter has a literal for each stage, which every user in the stage implies; it is counted among the
parameters of the stage. So is the largest working set, where these count: with the sizes W_0 < W_1 < ... of the nodes
that the stage can have, and a base W = W_-1 of at most W_0, it is W, and W_i - W_(i-1) with a literal that is true if
the stage has a node with W_i or more. A stage without nodes is charged W, too: at most the capacity, so that it pays
for nothing.

Coarsening: with a unit g, costs become floor(cost / g) and the capacity ceil(capacity / g). For every node set S the
coarse cost is an integer and at most f(S) / g, since floors only lower sums, and max(0, p(S) - capacity) falls
when p falls and the capacity grows. So a partition of cost at most T has a coarse cost of at most floor(T / g):
a coarse refutation of floor(T / g) refutes T, and g times a coarse dual bound is a dual bound.

Overflow needs no variable: max(0, x) <= y exactly if 0 <= y and x <= y, so a stage has two rows, one without parameters
and one with all of them against the limit plus the capacity.

Exactness with small numbers: CP-SAT 9.15 multiplies coefficients with bounds in its presolve, and with ticks of 10^12
that overflows and makes it claim too much (a regression test keeps the instance). So no number beyond 2^31 or
so may reach it. Where coarse ticks leave a decision open, rows are written in two digits to the base g instead:
with hi = sum of floor(a/g), lo = sum of (a mod g), the row sum a <= R holds exactly if for some integer q >= 0

    lo <= g q + g - 1,  and  hi + q <= floor(R/g) - 1  or  (hi + q <= floor(R/g) and lo <= g q + R mod g).

From left to right take q = floor(lo/g); from right to left, sum a = g hi + lo <= R in either case.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from framework.errors import OutOfTimeError
from framework.model.arrays import IntArray
from framework.model.problem import Partition, Problem, Windows
from framework.structure.poset.closure import closure, transitive_reduction
from framework.structure.poset.last_consumers import last_consumers
from framework.structure.poset.stage_windows import StageWindows

SAFE_RESOLUTION = 1 << 26
"""Coarse ticks in a limit: products of a coefficient or a sum of work with a limit stay far below 2^62."""
_CHECK_EVERY = 512

Terms = list[tuple[Any, int]]
"""Literals, or True or False where a window decides, and their coefficients."""


class ModelParts:
    """What all models of one instance share: windows, direct edges, last consumers.

    Raises
    ------
    OutOfTimeError
        If `should_stop` returns true while they are computed.
    """

    def __init__(self, problem: Problem, should_stop: Callable[[], bool]) -> None:
        instance = problem.instance
        self.windows = StageWindows(instance, should_stop)
        tails, heads = transitive_reduction(instance)
        self.edges = list(zip(tails.tolist(), heads.tolist(), strict=True))
        top = instance.topology
        last = last_consumers(instance, closure(instance, should_stop=should_stop))
        self.last_consumers = [
            top.consumers[start:stop][last[start:stop]].tolist() for start, stop in pairwise(top.consumer_ptr.tolist())
        ]


class StageModel:
    """One model: a threshold decision, or the search for something better than an upper limit.

    It keeps to the windows of the problem, if there are any, beside its own.

    Parameters
    ----------
    threshold
        Largest cost of a stage in ticks; with `minimise`, of the best partition looked for.
    resolution
        Largest number of coarse ticks in a limit; decides the unit, which is the base of the two digits if `exact`.
    minimise
        Whether the bottleneck is a variable to minimise, or just at most the threshold.
    exact
        Whether to count in exact ticks though the unit is not 1; only without `minimise`.
    lower
        A dual bound in ticks, for the bottleneck variable.

    Attributes
    ----------
    trivially_infeasible
        Whether the windows alone refute the threshold; then there is no model.
    """

    def __init__(
        self,
        problem: Problem,
        parts: ModelParts,
        *,
        threshold: int,
        resolution: int,
        minimise: bool = False,
        exact: bool = False,
        lower: int = 0,
        should_stop: Callable[[], bool],
    ) -> None:
        if exact and minimise:
            raise ValueError("exact ticks are for decisions")
        self.problem, self.k = problem, problem.useful_stages
        self._prices = prices = problem.prices
        most_held = prices.parameter_cost.sum(1) + prices.shared_cost.sum(1)
        self._overflows = most_held + prices.largest_worksets > prices.capacity
        largest = threshold + int(prices.capacity[self._overflows].max(initial=0))
        self.unit = max(1, -(-largest // self._resolution(resolution, largest)))
        self.threshold, self.limit = threshold, threshold // self.unit
        self._digits = exact and self.unit > 1
        self._parts, self._should_stop, self._steps = parts, should_stop, 0
        windows = parts.windows.at(self.k, threshold)
        if windows is not None and problem.windows is not None:
            windows = windows.within(problem.windows)
        if windows is not None and problem.instance.unequal is not None:
            windows = self._by_device(windows)
        self.trivially_infeasible = windows is None
        if windows is None:
            return
        self.earliest, self.latest = windows.earliest.tolist(), windows.latest.tolist()
        from ortools.sat.python import cp_model

        self.model = cp_model.CpModel()
        self.bottleneck = (
            self.model.new_int_var(min(lower // self.unit, self.limit), self.limit, "T") if minimise else None
        )
        self._add_nodes()
        # Terms of each stage's row in exact ticks; the literal True stands for a constant.
        self._loads: list[list[tuple[Any, int]]] = [[] for _ in range(self.k)]
        self._parameters: list[list[tuple[Any, int]]] = [[] for _ in range(self.k)]
        # A node beyond the largest limit breaks any row it is in, by however much: clipping keeps numbers small.
        self._add_stage_terms(np.minimum(prices.work, largest + 1), self._loads)
        self._add_shared()
        most = np.where(self._overflows, largest + 1, 0)[:, None]
        self._add_stage_terms(np.minimum(prices.parameter_cost, most), self._parameters)
        shared = np.minimum(prices.shared_cost, most).tolist()
        for terms, held, device in zip(self._parameters, self._held, prices.device.tolist(), strict=True):
            terms += [(literal, shared[device][q]) for q, literal in held if shared[device][q]]
        self._allowances = prices.capacity[prices.device].tolist()
        working = np.minimum(prices.working_cost, most.max()).tolist()
        for b, terms in enumerate(self._parameters if working else []):
            here = working[prices.device[b]]
            self._allowances[b] -= self._add_worksets(b, here, terms, self._allowances[b])
        self._add_transfers(np.minimum(prices.tensor_cost, largest + 1))
        self._add_limits()
        self._add_prefix_limits()
        if self.bottleneck is not None:
            self.model.minimize(self.bottleneck)

    def hint(self, partition: Partition) -> None:
        """Suggest a partition to start from, clipped to the windows."""
        self.model.clear_hints()
        for v, b in enumerate(partition.stage_of.tolist()):
            self._tick(len(self._before[v]))
            for j, literal in self._before[v].items():
                self.model.add_hint(literal, b <= j)

    def partition(self, value: Callable[[Any], bool]) -> Partition:
        """Read a partition off a solution, given the value of a literal."""
        stages = [
            next((b for b in range(self.earliest[v], self.latest[v]) if value(self._before[v][b])), self.latest[v])
            for v in range(self.problem.instance.n)
        ]
        return Partition(stage_of=np.array(stages, np.int64))

    def _literal(self, v: int, b: int) -> Any:
        """y[v, b]: a literal, or True or False where the window decides."""
        if b < self.earliest[v]:
            return False
        return True if b >= self.latest[v] else self._before[v][b]

    def _resolution(self, resolution: int, largest: int) -> int:
        """Return fewer coarse ticks where all nodes on one device are many times what all stages can take.

        On equal stages sums of costs are at most stages times the largest limit, unless the windows refute.
        """
        prices = self._prices
        if self.problem.instance.unequal is None:
            return resolution
        sums = [np.minimum(costs, largest + 1).sum(1).max() for costs in (prices.work, prices.parameter_cost)]
        return max(1, resolution // max(1, int(max(sums)) // (self.k * max(1, largest))))

    def _by_device(self, windows: Windows) -> Windows | None:
        """Return narrower windows: no node begins or ends at a stage in which it costs too much alone."""
        prices, stages = self._prices, np.arange(self.k)[:, None]
        alone = prices.work + np.maximum(0, prices.parameter_cost - prices.capacity[:, None])
        fits = (alone <= self.threshold)[prices.device]
        fits &= (windows.earliest <= stages) & (stages <= windows.latest)
        if not fits.any(0).all():
            return None
        return Windows(earliest=fits.argmax(0), latest=self.k - 1 - fits[::-1].argmax(0))

    def _add_nodes(self) -> None:
        self._before: list[dict[int, Any]] = []
        for first_stage, last_stage in zip(self.earliest, self.latest, strict=True):
            self._tick(last_stage - first_stage)
            self._before.append({b: self.model.new_bool_var("") for b in range(first_stage, last_stage)})
        for literals in self._before:
            row = list(literals.values())
            self._tick(len(row))
            for first, second in pairwise(row):
                self.model.add_implication(first, second)
        for u, v in self._parts.edges:
            self._tick(1 + self.latest[u] - self.earliest[v])
            for b in range(self.earliest[v], self.latest[u]):
                self._add_clause([self._literal(v, b)], [self._literal(u, b)])

    def _add_clause(self, when: list[Any], then: list[Any]) -> bool:
        """All of `when` imply one of `then`; returns whether a clause was needed."""
        if any(literal is False for literal in when) or any(literal is True for literal in then):
            return False
        body = [literal.negated() for literal in when if literal is not True]
        self.model.add_bool_or(body + [literal for literal in then if literal is not False])
        return True

    def _add_stage_terms(self, costs: IntArray, rows: list[list[tuple[Any, int]]]) -> None:
        """Add what each node costs the stage it is in, ``[kinds, n]``: cost * (y[v, b] - y[v, b-1])."""
        device = self._prices.device.tolist()
        for v, cost in enumerate(costs.T.tolist()):
            if any(cost):
                self._tick(1 + self.latest[v] - self.earliest[v])
                for b in range(self.earliest[v], self.latest[v] + 1):
                    if cost[device[b]]:
                        rows[b].append((self._literal(v, b), cost[device[b]]))
                        rows[b].append((self._literal(v, b - 1), -cost[device[b]]))

    def _add_shared(self) -> None:
        """Add for each stage the shared parameters it may hold, and a literal that says that it does."""
        shared = self.problem.instance.shared
        self._held: list[list[tuple[int, Any]]] = [[] for _ in range(self.k)]
        ptr, users = shared.ptr.tolist(), shared.users.tolist()
        for q in range(len(shared)):
            row = users[ptr[q] : ptr[q + 1]]
            for b in range(min(self.earliest[v] for v in row), max(self.latest[v] for v in row) + 1):
                self._tick(len(row))
                literal = self.model.new_bool_var("")
                clauses = [
                    self._add_clause([self._literal(v, b), negated(self._literal(v, b - 1))], [literal]) for v in row
                ]
                if any(clauses):
                    self._held[b].append((q, literal))

    def _add_worksets(self, b: int, worksets: list[int], terms: Terms, most: int) -> int:
        """Add to the terms what stage b needs beyond the smallest working set of the nodes it can have; return that.

        Where the smallest is above `most`, that is returned in its place, and the rest of it added.
        """
        nodes = [v for v in range(len(worksets)) if self.earliest[v] <= b <= self.latest[v]]
        sizes = sorted({worksets[v] for v in nodes})
        base = min(sizes[0], most) if sizes else 0
        reached = {size: self.model.new_bool_var("") for size in sizes if size > base}
        for lower, size in pairwise([base, *reached]):
            terms.append((reached[size], size - lower))
            if lower in reached:
                self.model.add_implication(reached[size], reached[lower])
        for v in nodes:
            self._tick()
            if worksets[v] in reached:
                here = [self._literal(v, b), negated(self._literal(v, b - 1))]
                self._add_clause(here, [reached[worksets[v]]])
        return base

    def _add_transfers(self, costs: IntArray) -> None:
        top, device = self.problem.instance.topology, self._prices.device.tolist()
        ptr, pins = top.consumer_ptr.tolist(), top.consumers.tolist()
        for t, (u, cost) in enumerate(zip(top.producer.tolist(), costs.T.tolist(), strict=True)):
            if not any(cost):
                continue
            consumers = pins[ptr[t] : ptr[t + 1]]
            for b in range(self.earliest[u], self.latest[u] + 1):
                self._tick(len(self._parts.last_consumers[t]))
                out = self.model.new_bool_var("")
                here = [self._literal(u, b), negated(self._literal(u, b - 1))]
                clauses = [
                    self._add_clause([*here, negated(self._literal(v, b))], [out])
                    for v in self._parts.last_consumers[t]
                ]
                if any(clauses):
                    self._loads[b].append((out, cost[device[b]]))
            for b in range(self.earliest[u] + 1, self.k):
                if self._literal(u, b - 1) is False:
                    continue
                self._tick(len(consumers))
                inward = self.model.new_bool_var("")
                clauses = [
                    self._add_clause(
                        [self._literal(v, b), negated(self._literal(v, b - 1)), self._literal(u, b - 1)], [inward]
                    )
                    for v in consumers
                ]
                if any(clauses):
                    self._loads[b].append((inward, cost[device[b]]))

    def _add_limits(self) -> None:
        for b, allowance in enumerate(self._allowances):
            self._tick(len(self._loads[b]) + len(self._parameters[b]))
            self._add_row(self._loads[b], 0)
            if self._parameters[b]:
                self._add_row(self._loads[b] + self._parameters[b], allowance)

    def _add_row(self, terms: list[tuple[Any, int]], allowance: int) -> None:
        """Add that the terms sum to at most the bottleneck plus an allowance, coarsely or in two digits."""
        unit = self.unit
        high = [(literal, _toward_zero(cost, unit)) for literal, cost in terms]
        if self.bottleneck is not None:
            self.model.add(_weighted(high) <= self.bottleneck + -(-allowance // unit))
            return
        if not self._digits:
            self.model.add(_weighted(high) <= self.limit + -(-allowance // unit))
            return
        limit, rest = divmod(self.threshold + allowance, unit)
        low = [(literal, cost - unit * digit) for (literal, cost), (_, digit) in zip(terms, high, strict=True)]
        carry = self.model.new_int_var(0, len(terms) + 1, "")
        full = self.model.new_bool_var("")
        self.model.add(_weighted(low) <= unit * carry + unit - 1)
        self.model.add(_weighted(high) + carry <= limit)
        self.model.add(_weighted(high) + carry <= limit - 1).only_enforce_if(full.negated())
        self.model.add(_weighted(low) <= unit * carry + rest).only_enforce_if(full)

    def _add_prefix_limits(self) -> None:
        """What the stages up to b hold fits into b + 1 stages, and the rest into the others.

        The rows of the stages imply it, but one row for each prefix propagates windows at once.
        """
        top: Any = self.limit if self.bottleneck is None else self.bottleneck
        work = self._prices.work // self.unit
        before = np.minimum.accumulate(work[self._prices.device])
        behind = np.minimum.accumulate(work[self._prices.device[::-1]])[::-1]
        for b in range(self.k - 1):
            self._tick(work.shape[1])
            prefix = self._prefix(b, before[b])
            self.model.add(prefix <= (b + 1) * top)
            if not np.array_equal(before[b], behind[b + 1]):
                prefix = self._prefix(b, behind[b + 1])
            self.model.add(prefix >= int(behind[b + 1].sum()) - (self.k - b - 1) * top)

    def _prefix(self, b: int, weights: IntArray) -> Any:
        return _weighted([(self._literal(v, b), cost) for v, cost in enumerate(weights.tolist()) if cost])

    def _tick(self, steps: int = 1) -> None:
        """Building is part of the budget as well."""
        self._steps += max(1, steps)
        if self._steps < _CHECK_EVERY:
            return
        self._steps = 0
        if self._should_stop():
            raise OutOfTimeError("stopped while building the model")


def estimated_size(problem: Problem) -> int:
    """Return roughly how many literals and clauses a model without windows has."""
    instance, k = problem.instance, problem.useful_stages
    pins = 2 * instance.topology.pins + len(instance.shared.users) + 2 * instance.n * instance.counts_worksets
    return k * (2 * instance.n + instance.topology.edges + 2 * instance.m + len(instance.shared) + pins)


def negated(literal: Any) -> Any:
    """Return the opposite of a literal, or of True or False."""
    return (not literal) if isinstance(literal, bool) else literal.negated()


def _weighted(terms: list[tuple[Any, int]]) -> Any:
    constant = sum(cost for literal, cost in terms if literal is True)
    free = [(literal, cost) for literal, cost in terms if not isinstance(literal, bool) and cost]
    from ortools.sat.python import cp_model

    return cp_model.LinearExpr.weighted_sum([literal for literal, _ in free], [cost for _, cost in free]) + constant


def _toward_zero(cost: int, unit: int) -> int:
    """Divide so that y[v, b] and y[v, b-1] keep opposite coefficients."""
    return cost // unit if cost >= 0 else -(-cost // unit)
