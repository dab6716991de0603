"""Farley's bound from a fractional cover: refutes T if covering all nodes takes more than k stages.

Let pi be prices, and theta an upper bound on pi(S) for every stage S of cost at most T. Then k stages contain nodes of
total price at most k theta, so ``k theta < pi(V)`` refutes T. The best prices are the dual solution of a linear program
with a column for every such stage. It is solved by column generation: stages are grown greedily at smoothed prices
until no improving column is found. Then the prices are close to the best ones, and k times the largest price of a known
column is usually well below pi(V). This margin makes the proof of theta short
(`framework.structure.pricing.branch_and_bound`, in exact integers). A failed proof returns a stage of larger price,
which is a new column.

Columns of cost at most T stay columns at larger T, so thresholds are best tried in ascending order.

Source: Farley's bound (1990) in column generation; smoothing as of Wentges (1997).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import numpy as np

from framework.errors import OutOfTimeError
from framework.model.arrays import IntArray
from framework.model.graph import FloatArray
from framework.model.problem import Partition, Problem
from framework.structure.covering.restricted_master import RestrictedMaster
from framework.structure.flow.convex_cuts import set_cost
from framework.structure.flow.max_flow import INFINITE
from framework.structure.poset.closure import closure
from framework.structure.poset.stage_windows import StageWindows
from framework.structure.pricing.branch_and_bound import StagePricer
from framework.structure.pricing.enumeration import enumerate_stages
from framework.structure.pricing.greedy import StageGrower
from framework.structure.pricing.network import RoleArray
from framework.structure.pricing.query import ForcedCosts, Pricing, Question, Verdict

PRICE_TOTAL = float(1 << 32)
"""What the absolute values of integer prices add up to, about."""
_SMOOTHING = 0.8
"""Weight of the former prices at which stages are grown."""
_COLUMNS_A_ROUND = 64
_TOLERANCE = 2e-3
"""What theta exceeds the worth of known columns by, where prices are to be optimal."""
_PATIENCE = 4
"""Rounds in a row that improve the program by less than `_PROGRESS` before growing is given up."""
_PROGRESS = 3e-4
_MEAN_OF = 5
_GROWING_A_CALL = 5_000_000
"""Stages grown in one call, times the square of the nodes: less than a tenth of a second."""
_FIRST_COLUMNS = 4
"""Columns that the program begins with, as a multiple of the nodes."""
_LARGEST_FORCED = 250_000
"""Pairs of nodes, and of nodes and nets, for which forced costs are computed: some seconds."""
_THIN = 1 / 10
"""Part of the effort that is spent where the margin is too thin."""


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

    Parameters
    ----------
    ceiling
        Ticks; thresholds from here on are of no interest, which saves time.

    Raises
    ------
    OutOfTimeError
        From the constructor and from `refute`, if `should_stop` returns true.
    """

    def __init__(
        self, problem: Problem, should_stop: Callable[[], bool] = lambda: False, *, ceiling: int = INFINITE
    ) -> None:
        instance = problem.instance
        self.problem = problem
        self.reach = closure(instance, should_stop=should_stop)
        self.pricer = StagePricer(instance, self.reach)
        self.forced = self._forced_costs(ceiling, should_stop)
        self.rounds = self.vertices = 0
        self._windows = StageWindows(instance, should_stop)
        self._grower = StageGrower(self.pricer.shape)
        self._seed = 0
        self._duals: FloatArray = np.ones(instance.n)
        self._columns: dict[bytes, tuple[RoleArray, int]] = {}
        self.order = _anchor_order(self.pricer)
        self._master: tuple[int, RestrictedMaster] | None = None

    def take(self, columns: list[RoleArray], node_of: IntArray) -> None:
        """Take stages as columns.

        Parameters
        ----------
        columns
            0/1 vectors over the nodes of this instance, or of one that it was contracted from; then those are taken
            that separate no nodes merged here.
        node_of
            The node of this instance for each entry of a column.
        """
        for column in columns:
            merged = np.zeros(self.problem.instance.n, np.int8)
            merged[node_of] = column
            if np.array_equal(merged[node_of], column):
                self._keep(merged)

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
        self, threshold: int, *, effort: int, margin: float = 0.0, should_stop: Callable[[], bool] = lambda: False
    ) -> CoverProof | Failure:
        """Try to refute a threshold (ticks) with at most about `effort` vertices.

        Parameters
        ----------
        margin
            A fractional cover that exceeds k stages by less than this share promises a long proof: it is given a small
            part of the effort.
        """
        n, k = self.problem.instance.n, self.problem.useful_stages
        if threshold >= self.pricer.largest_cost:
            return Failure.COVERED
        if self.question(threshold, np.zeros(n, np.int64), 0, self.order) is None:
            return self._nothing_fits(threshold)
        master = self._master_at(threshold)
        begun, limit = self.vertices, self.vertices + effort
        while self.vertices < limit:
            value, duals = self._grow(master, threshold, should_stop)
            if value <= k * (1 + 1e-9):
                return Failure.COVERED
            if value < k * (1 + margin):
                limit = min(limit, begun + max(1, int(_THIN * effort)))
            self._duals = duals
            prices = integer_prices(duals)
            theta = max(0, (int(prices.sum()) - 1) // k)
            answer = self.prove(threshold, prices, theta, max(1, limit - self.vertices), should_stop)
            if isinstance(answer, CoverProof):
                return answer
            if not len(answer.columns):
                break
            self._take_all(master, answer.columns)
        return Failure.EXHAUSTED

    def prove(
        self, threshold: int, prices: IntArray, theta: int, effort: int, should_stop: Callable[[], bool]
    ) -> CoverProof | Pricing:
        """Search for a proof that no stage of cost at most a threshold is worth more than theta."""
        question = self.question(threshold, prices, theta, self.order)
        if question is None:
            return self._nothing_fits(threshold)
        answer = self.pricer.decide(question, effort=effort, max_columns=len(prices), should_stop=should_stop)
        self.rounds += 1
        self.vertices += answer.vertices
        if answer.verdict is Verdict.PROVEN:
            return CoverProof(threshold=threshold, prices=prices, theta=theta, order=self.order, log=answer.log)
        return answer

    def converge(
        self, threshold: int, *, effort: int, should_stop: Callable[[], bool] = lambda: False
    ) -> tuple[IntArray, int] | None:
        """Generate columns until prices are optimal, but for a little, at a threshold (ticks) that is not refuted.

        Returns
        -------
        tuple[IntArray, int] | None
            Prices of at least 0, and a theta: no stage of cost at most the threshold is worth more, which is proven;
            None if that took more than about `effort` vertices.
        """
        master, limit = self._master_at(threshold), self.vertices + effort
        while self.vertices < limit:
            self._grow(master, threshold, should_stop, enough=0.0)
            self._duals = master.solve(should_stop)[1]
            prices = integer_prices(self._duals)
            known = np.array(self.columns(threshold), np.int64).reshape(-1, len(prices)) @ prices
            theta = int(max(known, default=0) * (1 + _TOLERANCE)) + 1
            answer = self.prove(threshold, prices, theta, max(1, limit - self.vertices), should_stop)
            if isinstance(answer, CoverProof):
                return prices, theta
            if not len(answer.columns):
                break
            self._take_all(master, answer.columns)
        return None

    def stages_worth(
        self,
        threshold: int,
        prices: IntArray,
        least: int,
        *,
        effort: int,
        max_stages: int,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> RoleArray | None:
        """Return all stages of partitions of cost at most a threshold that are worth at least so much.

        ``[stages, n]``; None if there are more than `max_stages`, or it takes more than about `effort` vertices.
        """
        question = self.question(threshold, prices, least - 1, self.order)
        if question is None:
            return np.zeros((0, len(prices)), np.int8)
        found, vertices = enumerate_stages(
            self.pricer, question, effort=effort, max_stages=max_stages, should_stop=should_stop
        )
        self.vertices += vertices
        return found

    def grow(self, prices: IntArray, threshold: int, should_stop: Callable[[], bool] = lambda: False) -> RoleArray:
        """Return stages of cost at most a threshold that are worth much, ``[stages, n]``, one grown from each node.

        Raises
        ------
        OutOfTimeError
            If `should_stop` returns true.
        """
        nodes = np.arange(len(prices), dtype=np.int64)
        grown = []
        for starts in np.array_split(nodes, 1 + len(nodes) ** 3 // _GROWING_A_CALL):
            if should_stop():
                raise OutOfTimeError("stopped while stages were grown")
            self._seed += 1
            grown.append(self._grower.grow(prices, threshold, 0, starts, self._seed))
        return np.concatenate(grown)

    def _nothing_fits(self, threshold: int) -> CoverProof:
        """Return the proof where the stage windows refute a threshold: prices of nothing, and no tree."""
        nothing, log = np.zeros(self.problem.instance.n, np.int64), np.zeros((0, 3), np.int64)
        return CoverProof(threshold=threshold, prices=nothing, theta=0, order=self.order, log=log)

    def _master_at(self, threshold: int) -> RestrictedMaster:
        """Return a program over stages of cost at most a threshold; that of a lower one with columns added."""
        if self._master is not None and self._master[0] <= threshold:
            before, master = self._master
            master.add([column for column, cost in self._columns.values() if before < cost <= threshold])
        else:
            master = RestrictedMaster(self.problem.instance.n)
            master.add(self.most_valuable(threshold))
        self._master = threshold, master
        return master

    def _grow(
        self, master: RestrictedMaster, threshold: int, should_stop: Callable[[], bool], enough: float | None = None
    ) -> tuple[float, FloatArray]:
        """Add grown stages while that lowers the optimum to no less than `enough`, k stages; return it and prices.

        The prices are the mean of the latest ones: about as good, and further from the edge, proofs are shorter.
        """
        enough = self.problem.useful_stages if enough is None else enough
        value, duals = master.solve(should_stop)
        smooth = duals
        latest = deque([duals], maxlen=_MEAN_OF)
        stalled = 0
        while value > enough * (1 + 1e-9) and stalled < _PATIENCE:
            smooth = _SMOOTHING * smooth + (1 - _SMOOTHING) * duals
            grown = self.grow(integer_prices(smooth), threshold, should_stop)
            worth = grown @ duals
            best = np.argsort(-worth, kind="stable")[:_COLUMNS_A_ROUND]
            fresh = [grown[i] for i in best if worth[i] > 1 + 1e-6]
            before = value
            if fresh:
                self._take_all(master, fresh)
                value, duals = master.solve(should_stop)
                latest.append(duals)
            stalled = 0 if value < before * (1 - _PROGRESS) else stalled + 1
            if not fresh:
                smooth = duals
        return value, np.mean(latest, axis=0)

    def most_valuable(self, threshold: int) -> list[RoleArray]:
        """Return the known columns that are worth most at the latest prices, at most four a node."""
        known = self.columns(threshold)
        if len(known) <= _FIRST_COLUMNS * len(self._duals):
            return known
        worth = np.array(known) @ self._duals
        return [known[i] for i in np.argsort(-worth, kind="stable")[: _FIRST_COLUMNS * len(self._duals)]]

    def _take_all(self, master: RestrictedMaster, columns: RoleArray | list[RoleArray]) -> None:
        for column in columns:
            self._keep(column)
        master.add(list(columns))

    def _keep(self, column: RoleArray) -> None:
        key = column.tobytes()
        if key not in self._columns:
            self._columns[key] = (column.copy(), set_cost(self.problem.instance, np.flatnonzero(column)))

    def _forced_costs(self, ceiling: int, should_stop: Callable[[], bool]) -> ForcedCosts:
        n, nets = self.problem.instance.n, len(self.pricer.shape.net_cost)
        if max(n * n // 2, n * nets) > _LARGEST_FORCED:
            return ForcedCosts(pairs=np.zeros((0, 0), np.int64), nets=np.zeros((0, 0), np.int64))
        return self.pricer.forced_costs(ceiling, should_stop)


def stages_of(partition: Partition) -> list[RoleArray]:
    """Return the stages of a partition as 0/1 vectors, ``[n]`` each."""
    return [(partition.stage_of == stage).astype(np.int8) for stage in np.unique(partition.stage_of)]


def _anchor_order(pricer: StagePricer) -> IntArray:
    """Return the nodes with hubs first: by the cost of their nets."""
    shape = pricer.shape
    costs = np.zeros(pricer.instance.n, np.int64)
    np.add.at(costs, shape.net_pins, np.repeat(shape.net_cost, np.diff(shape.net_ptr)))
    return np.argsort(-costs, kind="stable").astype(np.int64)


def integer_prices(duals: FloatArray) -> IntArray:
    """Return prices in proportion, adding up to about `PRICE_TOTAL`."""
    scale = PRICE_TOTAL / max(1e-9, float(duals.sum()))
    return np.rint(duals * scale).astype(np.int64)
