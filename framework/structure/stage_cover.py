"""Refuting a threshold by a fractional cover: how many stages of cost at most T it takes to hold all nodes.

With prices pi and a bound theta on what any stage of cost at most T is worth, k stages hold nodes worth at most
k theta; so ``k theta < pi(V)`` refutes T. The best prices are the dual of a linear program over all such stages. Here
only a part of its columns is known: sets found on the way, and *mixtures*, averages of sets that attain the bounds of
`framework.structure.stage_vertices` although no stage does. The program proposes prices, rounded to integers; what is
claimed about them is proven by `framework.structure.stage_pricing` in exact integers. Mixtures make the prices easy to
prove things about, not only good: a tree may grow only when the prices respect its mixture already.

Columns of cost at most T stay columns at larger T, so thresholds are best tried in ascending order.

Source: Farley's bound (1990) in column generation; mixtures are this project's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np

from framework.model.problem import Partition, Problem
from framework.model.topology import IntArray
from framework.structure.closure import closure
from framework.structure.cuts import set_cost
from framework.structure.stage_growth import StageGrower
from framework.structure.stage_networks import RoleArray
from framework.structure.stage_pricing import StagePricer
from framework.structure.stage_questions import ForcedCosts, Pricing, Question, Verdict
from framework.structure.stage_vertices import FloatArray
from framework.structure.windows import StageWindows

if TYPE_CHECKING:
    import highspy

PRICE_TOTAL = float(1 << 32)
"""What the absolute values of integer prices add up to, about."""
_SLACK_COST = 3.0
"""Price above which no node goes."""
_FIRST_PATIENCE, _FIRST_CEILING = 16, 128
_LARGEST_FORCED = 60_000
"""Minimum cuts worth computing forced costs for."""
_LARGEST_LP = 10
"""Columns of the program, as a multiple of the nodes, before it is thinned out."""


class Failure(Enum):
    """Why a threshold was not refuted."""

    COVERED = "k stages hold all nodes fractionally"
    EXHAUSTED = "the search for a proof outgrew its limit"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CoverProof:
    """``stages * theta < prices(V)``, and no stage of cost at most the threshold is worth more than theta.

    `log` is None where it was too long to keep; it is empty, with prices zero, if the stage windows alone refute.
    """

    threshold: int
    prices: IntArray
    theta: int
    order: IntArray
    log: IntArray | None


class StageCover:
    """Refutes thresholds of one problem; columns are kept from one to the next.

    Raises
    ------
    OutOfTimeError
        From the constructor and from `refute`, if `should_stop` strikes.
    """

    def __init__(self, problem: Problem, should_stop: Callable[[], bool] = lambda: False) -> None:
        instance = problem.instance
        self.problem = problem
        self.pricer = StagePricer(instance, closure(instance, should_stop=should_stop))
        self.forced = self._forced_costs(should_stop)
        self.rounds = self.vertices = 0
        self._windows = StageWindows(instance, should_stop)
        self._grower = StageGrower(instance, self.pricer.shape)
        self._columns: dict[bytes, tuple[RoleArray, int]] = {}
        costs = np.diag(self.forced.pairs) if len(self.forced.pairs) else instance.work
        self._order = np.argsort(-costs, kind="stable").astype(np.int64)

    def add_partition(self, partition: Partition) -> None:
        """Take the stages of a partition as columns."""
        for stage in np.unique(partition.stage_of):
            self._keep((partition.stage_of == stage).astype(np.int8))

    def columns(self, threshold: int) -> list[RoleArray]:
        """Return the stages of cost at most a threshold met so far, as 0/1 vectors ``[n]``."""
        return [column for column, cost in self._columns.values() if cost <= threshold]

    def question(self, threshold: int, prices: IntArray, theta: int, order: IntArray) -> Question | None:
        """Return the question about prices at a threshold; None if the windows refute the threshold already."""
        windows = self._windows.at(self.problem.useful_stages, threshold)
        if windows is None:
            return None
        apart = windows.earliest[:, None] > windows.latest[None, :]
        apart |= apart.T
        uncovered = np.zeros((0, 0), np.bool_)
        if len(self.forced.pairs):
            apart |= self.forced.pairs > threshold
            uncovered = self.forced.nets > threshold
        np.fill_diagonal(apart, False)
        return Question(
            prices=np.ascontiguousarray(prices),
            threshold=threshold,
            theta=theta,
            order=np.ascontiguousarray(order),
            apart=np.ascontiguousarray(apart),
            uncovered=np.ascontiguousarray(uncovered),
        )

    def verify(self, proof: CoverProof) -> bool:
        """Whether a proof with its log holds; nothing is searched for."""
        if proof.log is None:
            return False
        question = self.question(proof.threshold, proof.prices, proof.theta, proof.order)
        if question is None:
            return True
        enough = self.problem.useful_stages * proof.theta < sum(proof.prices.tolist())
        return enough and self.pricer.verify(question, proof.log)

    def refute(
        self, threshold: int, *, effort: int, should_stop: Callable[[], bool] = lambda: False
    ) -> CoverProof | Failure:
        """Try to refute a threshold (ticks) with at most about `effort` vertices."""
        n, k = self.problem.instance.n, self.problem.useful_stages
        if threshold >= self.pricer.largest_cost:
            return Failure.COVERED
        nothing = np.zeros(n, np.int64)
        question = self.question(threshold, nothing, 0, self._order)
        if question is None:
            return CoverProof(
                threshold=threshold, prices=nothing, theta=0, order=self._order, log=np.zeros((0, 3), np.int64)
            )
        self._grow(np.ones(n, np.int64) << 20, threshold, 0)
        master = _Master(n)
        master.restart(self.columns(threshold))
        patience = np.full(n, _FIRST_PATIENCE, np.int64)
        ceiling = _FIRST_CEILING
        centre: FloatArray | None = None
        mixed = False
        limit = self.vertices + effort
        while self.vertices < limit:
            value, duals = master.solve()
            if value <= k * (1 + 1e-9):
                if not mixed:
                    return Failure.COVERED
                # Only because of mixtures: look deeper before paying for them.
                ceiling *= 8
                np.minimum(patience * 8, ceiling, out=patience)
                master.restart(self.columns(threshold))
                centre, mixed = None, False
                continue
            proposal = duals if centre is None else (centre + duals) / 2
            prices = np.rint(proposal * (PRICE_TOTAL / max(1e-9, float(np.abs(proposal).sum())))).astype(np.int64)
            theta = (int(prices.sum()) - 1) // k
            if theta < 0:
                return Failure.EXHAUSTED
            question = self.question(threshold, prices, theta, self._order)
            assert question is not None
            answer = self.pricer.decide(question, patience=patience, max_columns=n, should_stop=should_stop)
            self.rounds += 1
            self.vertices += answer.vertices
            if answer.verdict is Verdict.PROVEN:
                return CoverProof(threshold=threshold, prices=prices, theta=theta, order=self._order, log=answer.log)
            for column in answer.columns:
                self._keep(column)
            fresh = [column for column in answer.columns if float(column @ duals) > 1 + 1e-6]
            master.add(fresh)
            paid, grown = self._take_mixtures(master, answer, duals, patience, ceiling)
            mixed |= paid
            if fresh or paid or grown:
                centre = proposal
            elif centre is not None:
                centre = None
            else:
                # The prices satisfy all that is known, yet some tree is not complete: look deeper.
                ceiling *= 4
                patience[answer.failed] *= 4
        return Failure.EXHAUSTED

    def _take_mixtures(
        self, master: _Master, answer: Pricing, duals: FloatArray, patience: IntArray, ceiling: int
    ) -> tuple[bool, bool]:
        """Add what the failed anchors tell; return whether a column came of it, and whether a tree may grow."""
        paid = grown = False
        chosen = []
        for anchor, deep, root in zip(answer.failed.tolist(), answer.mixtures, answer.roots, strict=True):
            if float(deep @ duals) > 1 + 1e-6:
                chosen.append(deep)
            elif patience[anchor] < ceiling:
                patience[anchor] = min(ceiling, 2 * int(patience[anchor]))
                grown = True
            elif float(root @ duals) > 1 + 1e-6:
                chosen.append(root)
        if chosen:
            paid = True
            master.add(chosen)
        return paid, grown

    def _grow(self, prices: IntArray, threshold: int, theta: int) -> None:
        starts = np.arange(len(prices), dtype=np.int64)
        for column in self._grower.grow(prices, threshold, theta, starts, 1):
            self._keep(column)

    def _keep(self, column: RoleArray) -> bool:
        """Keep a column; whether it is new."""
        key = column.tobytes()
        if key in self._columns:
            return False
        self._columns[key] = (column.copy(), set_cost(self.problem.instance, np.flatnonzero(column)))
        return True

    def _forced_costs(self, should_stop: Callable[[], bool]) -> ForcedCosts:
        n, nets = self.problem.instance.n, len(self.pricer.shape.net_cost)
        if n * (n // 2 + nets) > _LARGEST_FORCED:
            return ForcedCosts(pairs=np.zeros((0, 0), np.int64), nets=np.zeros((0, 0), np.int64))
        return self.pricer.forced_costs(should_stop)


class _Master:
    """The linear program over known columns; its duals are the prices."""

    def __init__(self, n: int) -> None:
        self._n = n
        self._model: highspy.Highs

    def restart(self, columns: list[RoleArray]) -> None:
        """Forget everything and take these columns."""
        import highspy

        model = highspy.Highs()
        model.setOptionValue("output_flag", False)
        model.setOptionValue("threads", 1)
        nothing = (np.zeros(0, np.int32), np.zeros(0))
        for _ in range(self._n):
            model.addRow(1.0, highspy.kHighsInf, 0, *nothing)
        for v in range(self._n):
            model.addCol(_SLACK_COST, 0.0, highspy.kHighsInf, 1, np.array([v], np.int32), np.ones(1))
        self._model = model
        self.add(columns)

    def add(self, columns: list[Any]) -> None:
        """Add columns; thin out those of large reduced cost when there are too many."""
        for column in columns:
            rows = np.flatnonzero(column > 1e-9).astype(np.int32)
            self._model.addCol(1.0, 0.0, float("inf"), len(rows), rows, np.asarray(column[rows], np.float64))
        if self._model.getNumCol() > _LARGEST_LP * self._n + 200:
            self._thin_out()

    def solve(self) -> tuple[float, FloatArray]:
        """Return the optimum and the prices."""
        self._model.run()
        duals = np.maximum(np.array(self._model.getSolution().row_dual, np.float64), 0.0)
        return float(self._model.getInfo().objective_function_value), duals

    def _thin_out(self) -> None:
        reduced = np.zeros(self._model.getNumCol())
        known = np.array(self._model.getSolution().col_dual)
        reduced[: len(known)] = known
        reduced[: self._n] = 0.0
        worst = np.argsort(-reduced)[: len(reduced) // 2]
        dropped = np.sort(worst[reduced[worst] > 1e-6])
        self._model.deleteCols(len(dropped), dropped.astype(np.int32))
