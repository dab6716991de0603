"""The dual of the covering program as a Lagrangian relaxation: prices in a simplex, thresholds in ascending order.

At a threshold T the program asks for the fewest stages of cost at most T that hold all nodes; its covering
constraints are dualised, so the multipliers are prices on the nodes, adding up to 1. A minimiser is the stage S worth
most, theta = pi(S), and by Farley's bound at least 1 / theta stages are needed: T is refuted where k theta < 1. In
ticks the concave function searched is T (2 - k theta), which is above T exactly there, and T (2 - k [v in S]) is its
supergradient. Greedily grown stages replace exact minimisers, so the value is an upper bound on what the prices can
prove. A proof is searched for only if the value is above T (`StageCover.prove`, exact); a failed proof gives columns.

After T is refuted, the next threshold is tried; after too many steps without a refutation, a lower one. Values at
different thresholds cannot be compared, so a point after a change of T has `restart` set.

Sources: Farley, 1990, for the bound; the prices as a relaxation to be driven: this project.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from framework.bounds import Soundness
from framework.contracts import RelaxedPoint
from framework.errors import OutOfTimeError

if TYPE_CHECKING:
    from framework.contracts import Context
    from framework.model.graph import FloatArray
    from framework.model.problem import Problem
    from framework.structure.covering.farley import StageCover
    from framework.structure.pricing.network import RoleArray

FIRST_STEP, SMALLEST_STEP = 1 / 4, 1 / 128
"""Shares of the interval to the incumbent at which the next threshold is tried."""
TRIES = 30
"""Evaluations at one threshold before a lower one is tried."""
MARGIN = 0.03
"""How far above T the search aims: the more, the shorter the proofs."""
NEAR = 0.02
"""Stages worth nearly as much as the best one are minimisers too; the mean of all zigzags less."""
FIRST_EFFORT, MOST_EFFORT = 2_000, 500_000


class CoverRelaxation:
    """One multiplier a node, as `Relaxation` asks for.

    Parameters
    ----------
    lower, upper
        Ticks: a lower bound on the optimum, and the bottleneck of a known partition.
    """

    def __init__(self, cover: StageCover, context: Context, *, lower: int, upper: int) -> None:
        self._cover, self._context = cover, context
        self._lower, self._upper = lower, upper
        self._step, self._effort = FIRST_STEP, FIRST_EFFORT
        self._threshold = self._next()
        self._tried, self._attempted = 0, float(self._threshold)

    @property
    def problem(self) -> Problem:
        """The problem relaxed."""
        return self._cover.problem

    @property
    def multipliers(self) -> int:
        """Number of nodes."""
        return self.problem.instance.n

    @property
    def start(self) -> FloatArray:
        """Prices in proportion to work, which prove what work alone does."""
        work = self.problem.instance.work.astype(np.float64) + 1e-9 * max(1, self.problem.instance.total_work)
        prices: FloatArray = work / work.sum()
        return prices

    def evaluate(self, multipliers: FloatArray) -> RelaxedPoint:
        """Evaluate at prices; refute the threshold, if they promise to.

        Raises
        ------
        OutOfTimeError
            If the context says stop.
        """
        if self._context.should_stop():
            raise OutOfTimeError("stopped between prices")
        self._tried += 1
        threshold, restart = self._threshold, False
        stages, value = self._best(multipliers, threshold)
        # Proofs are dear: only prices that promise more than those that failed.
        if value > self._attempted:
            answer = self._prove(multipliers, threshold)
            if answer is None:
                self._lower, restart = threshold + 1, True
            elif len(answer):
                stages, value = self._value(answer, multipliers, threshold)
            else:
                self._attempted, self._effort = value, min(MOST_EFFORT, 2 * self._effort)
        if self._tried >= TRIES and not restart and self._step > SMALLEST_STEP:
            self._step, restart = self._step / 2, True
        if restart:
            self._threshold = self._next()
            self._tried, self._attempted = 0, float(self._threshold)
            stages, value = self._best(multipliers, self._threshold)
        return RelaxedPoint(
            bound=self._lower,
            value=value,
            loads=self._scale * (2 - self.problem.useful_stages * stages.mean(0)),
            soundness=Soundness.EXACT,
            restart=restart,
            target=self._scale * (1 + MARGIN),
        )

    @property
    def _scale(self) -> float:
        return float(max(1, self._threshold))

    def _next(self) -> int:
        upper = min(self._upper, self._context.incumbent or self._upper)
        return max(self._lower, min(upper - 1, self._lower + int(self._step * (upper - self._lower))))

    def _best(self, multipliers: FloatArray, threshold: int) -> tuple[RoleArray, float]:
        from framework.structure.covering.farley import integer_prices

        return self._value(self._cover.grow(integer_prices(multipliers), threshold), multipliers, threshold)

    def _value(self, stages: RoleArray, multipliers: FloatArray, threshold: int) -> tuple[RoleArray, float]:
        """Return the stages worth most, ``[stages, n]``, and the value at their mean, in ticks."""
        if not len(stages):
            # No stage at all costs so little.
            return np.zeros((1, self.multipliers), np.int8), 2 * self._scale
        worth = stages @ (multipliers / multipliers.sum())
        near = worth >= (1 - NEAR) * worth.max()
        return stages[near], self._scale * (2 - self.problem.useful_stages * float(worth.max()))

    def _prove(self, multipliers: FloatArray, threshold: int) -> RoleArray | None:
        """Return None for a proof; otherwise stages worth too much, if any were met."""
        from framework.structure.covering.farley import CoverProof, integer_prices

        prices = integer_prices(multipliers)
        theta = max(0, (int(prices.sum()) - 1) // self.problem.useful_stages)
        answer = self._cover.prove(threshold, prices, theta, self._effort, self._context.should_stop)
        return None if isinstance(answer, CoverProof) else answer.columns
