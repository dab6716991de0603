"""The same-stage model: a relaxation in X[u, v] = "u and v share a stage", without numbered stages.

Rows, for a partition into k stages with bottleneck at most T:

    sum_v w_v X[u, v] + sum_t c_t z[u, t] + o[u] <= T     what the stage of u costs
    z[u, t] >= X[u, p] - X[u, v],  X[u, v] - X[u, p]      it cuts t if it holds producer p or consumer v alone
    o[u] >= sum_v p_v X[u, v] - capacity
    W + 2 sum_t c_t d[t] + (P - k capacity)+ <= k T       all stages: a cut tensor leaves one and enters one
    d[t] >= 1 - X[p, v]
    X[u, v] <= X[u, a]   if u precedes a and a -> v           stages are convex

Semidefinite rows: with x_b the indicator vector of stage b, the sum of all x_b is the vector 1, so by Cauchy and
Schwarz

    q' X q = sum_b (q' x_b)^2 >= (q' 1)^2 / k        for every vector q,

that is, k X - J is positive semidefinite. Each integer q gives one linear row with integer coefficients, which is how
what a semidefinite solver found becomes exact.

Second-order rows: with weights a >= 0 on the nodes, a stage S of weight a(S) > 0 has sum over v in S of a_v / a(S) = 1,
and a(S) = sum over u of a_u X[u, v] for any v of S. Hence

    sum over v with a_v > 0 of  a_v / (sum over u of a_u X[u, v])  <=  k,

convex in X. Since 1 / L >= 2 sqrt(b) - b L for any b >= 0, each choice of b_v = integer / `SLOPE_SCALE` gives a linear
row, with the roots rounded down.

With pairs apart these two kinds of rows may contradict each other, and then there are no duals. So they may be given
an excess e in [0, n], of which every partition has 0: k + e in place of k on the right of the count, and e q' q more on
the left of semidefinite rows, where ``penalty e <= T``. A contradiction then shows as a large T.

Sources: the semidefinite relaxation of graph partitioning (Karisch and Rendl 1998); rows for transfers, convexity and
the bottleneck, and the count of stages as second-order rows: this project.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt

import numpy as np

from framework.model.arrays import IntArray
from framework.model.instance import MAX_TOTAL, Instance
from framework.structure.poset.closure import BoolArray, closure, indices, transitive_reduction
from framework.structure.solvers.linear_model import ONE, OPEN, ZERO, LinearModel, ModelBuilder

SLOPE_SCALE = 1 << 30
"""Denominator of the slopes of a `CountTangent`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CountTangent:
    """One linear row of the count of stages.

    Attributes
    ----------
    weights
        ``[n]`` integers a of at least 0.
    slopes
        ``[n]`` integers, b times `SLOPE_SCALE`.
    """

    weights: IntArray
    slopes: IntArray


class SameStageModel:
    """The linear part, with semidefinite and second-order rows as they are found.

    Parameters
    ----------
    vectors, counts
        What to add rows for.
    apart
        ``[n, n]`` pairs that are known to share no stage; None if none are known.
    penalty
        Of the excess, in ticks; 0 for none.

    Attributes
    ----------
    pairs
        ``[n, n]`` column of X[u, v], the same for X[v, u]; `ONE` on the diagonal.
    excess
        ``[0 or 1]`` the column of e.
    """

    def __init__(
        self,
        instance: Instance,
        stages: int,
        vectors: Sequence[IntArray] = (),
        *,
        counts: Sequence[CountTangent] = (),
        apart: BoolArray | None = None,
        penalty: int = 0,
    ) -> None:
        self._instance, self._stages = instance, stages
        self._builder = ModelBuilder()
        self._bottleneck = self._builder.add_columns(1, upper=MAX_TOTAL, weighed=True)
        n = instance.n
        self.excess = self._builder.add_columns(1 if penalty else 0, upper=n)
        if penalty:
            self._add_row([self.excess, self._bottleneck], [np.array([penalty]), np.array([-1])], 0)
        self.pairs = np.full((n, n), ONE, np.int64)
        apart = np.zeros((n, n), np.bool_) if apart is None else apart
        self.pairs[apart] = ZERO
        upper = np.nonzero(np.triu(~apart, 1))
        self.pairs[upper] = self._builder.add_columns(len(upper[0]))
        self.pairs.T[upper] = self.pairs[upper]
        self._add_convexity()
        for u in range(n):
            self._add_stage_of(u)
        self._add_total()
        for q in vectors:
            self._add_vector(q)
        for tangent in counts:
            self._add_count(tangent)
        self.model: LinearModel = self._builder.build(int(self._bottleneck[0]))

    def _add_convexity(self) -> None:
        instance = self._instance
        reach = closure(instance)
        for a, v in zip(*(side.tolist() for side in transitive_reduction(instance)), strict=True):
            above, below = indices(reach.ancestors[a]), indices(reach.descendants[v])
            if len(above):
                self._builder.add_rows([(self.pairs[above, v], 1), (self.pairs[above, a], -1)], upper=0)
            if len(below):
                self._builder.add_rows([(self.pairs[a, below], 1), (self.pairs[v, below], -1)], upper=0)

    def _add_stage_of(self, u: int) -> None:
        instance, top = self._instance, self._instance.topology
        tensor = np.repeat(np.arange(top.m), np.diff(top.consumer_ptr))
        near = self.pairs[u, top.producer] != ZERO
        near[tensor[self.pairs[u, top.consumers] != ZERO]] = True
        tensors = np.flatnonzero((instance.tensor_cost > 0) & near)
        cut = np.full(top.m, ZERO, np.int64)
        cut[tensors] = self._builder.add_columns(len(tensors))
        paid = cut[tensor] != ZERO
        with_producer = self.pairs[u, top.producer[tensor[paid]]]
        with_consumer = self.pairs[u, top.consumers[paid]]
        for sign in (1, -1):
            terms = [(with_producer, sign), (with_consumer, -sign), (cut[tensor[paid]], -1)]
            self._builder.add_rows(terms, upper=0)
        columns = [self.pairs[u], cut[tensors], self._bottleneck]
        factors = [instance.work, instance.tensor_cost[tensors], np.array([-1])]
        if instance.can_overflow:
            total = instance.total_parameter_cost
            overflow = self._builder.add_columns(1, upper=total, weighed=True)
            self._add_row([self.pairs[u], overflow], [instance.parameter_cost, np.array([-1])], instance.capacity)
            columns.append(overflow)
            factors.append(np.ones(1, np.int64))
        self._add_row(columns, factors, 0)

    def _add_total(self) -> None:
        instance, top = self._instance, self._instance.topology
        apart = self._builder.add_columns(top.m)
        tensor = np.repeat(np.arange(top.m), np.diff(top.consumer_ptr))
        together = self.pairs[top.producer[tensor], top.consumers]
        self._builder.add_rows([(together, -1), (apart[tensor], -1)], upper=-1)
        beyond = max(0, instance.total_parameter_cost - self._stages * instance.capacity)
        self._add_row(
            [apart, self._bottleneck],
            [2 * instance.tensor_cost, np.array([-self._stages])],
            -(instance.total_work + beyond),
        )

    def _add_vector(self, q: IntArray) -> None:
        """Add k q' X q >= (q' 1)^2, from the upper triangle and the diagonal of ones."""
        rows, columns = np.triu_indices(len(q), 1)
        products = -2 * self._stages * q[rows] * q[columns]
        self._add_row(
            [self.pairs[rows, columns], self.excess],
            [products, np.full(len(self.excess), -int((q * q).sum()))],
            self._stages * int((q * q).sum()) - int(q.sum()) ** 2,
            weighed=False,
        )

    def _add_count(self, tangent: CountTangent) -> None:
        a, b = tangent.weights, tangent.slopes
        roots = [isqrt(4 * slope * SLOPE_SCALE) for slope in b.tolist()]
        self._add_row(
            [self.pairs.ravel(), self.excess],
            [-np.outer(a * b, a).ravel(), np.full(len(self.excess), -SLOPE_SCALE)],
            self._stages * SLOPE_SCALE - int((a * np.array(roots, np.int64)).sum()),
            weighed=False,
        )

    def _add_row(
        self, columns: Sequence[IntArray], factors: Sequence[IntArray], upper: int, *, weighed: bool = True
    ) -> None:
        column, factor = np.concatenate(columns), np.concatenate(factors)
        self._builder.add_sparse_rows(
            np.zeros(len(column), np.int64),
            column,
            factor,
            lower=np.array([-OPEN]),
            upper=np.array([upper]),
            weighed=weighed,
        )
