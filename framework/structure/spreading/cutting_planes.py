"""Cutting planes for the spreading metric: lengths of tensors that minimise T, with an exact dual bound.

At a threshold, some pairs of nodes are known to share no stage: their windows do not meet, or the cheapest convex set
that holds both costs more. The program minimises T over lengths in [0, 1] subject to the rows of
`framework.structure.spreading.rows`; it contains the rows that earlier solutions violated. For any subset of the rows,
its optimum is a lower bound on the bottleneck of every partition within the threshold. So the optimum of the problem is
at least the smaller of this bound and the threshold plus 1.

The bound does not depend on the accuracy of the solver: its duals are rounded to integers and evaluated exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from framework.errors import OutOfTimeError
from framework.model.arrays import IntArray
from framework.model.graph import FloatArray
from framework.model.problem import Problem
from framework.structure.poset.closure import BoolArray, closure
from framework.structure.poset.stage_windows import StageWindows
from framework.structure.pricing.network import incidence_of, network_for, shape_of
from framework.structure.pricing.propagation import NO_RULES
from framework.structure.spreading.paths import ABSENT, Survey, Tree, grow_tree, pair_cost, price_row, survey
from framework.structure.spreading.payers import Payers
from framework.structure.spreading.rows import (
    Paths,
    Row,
    check_paths,
    path_to,
    paths_of,
    proven_by,
    row_of,
    total_row,
)

if TYPE_CHECKING:
    import highspy

PRECISION = 1 << 30
"""Multipliers of rows of cost are rounded to multiples of its inverse."""
_ROOTS_A_CALL = 32
_SLICE_SECONDS = 0.5
"""The solver is asked to pause this often, to see whether to stop."""
_ROWS_A_ROUND = 60
_VIOLATED = 1e-5
"""Smallest violation worth a row, relative to the bottleneck."""
_SLOW_ROUNDS, _SLOW_RISE = 12, 2e-4
"""The program is left when it has risen by less than this in so many rounds."""
LARGEST_PAIRS = 120_000
"""Pairs of nodes above which only those with a common tensor are priced."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SpreadingProof:
    """Every partition has a bottleneck of at least `value`.

    Attributes
    ----------
    threshold
        The pairs apart are those at this threshold, in ticks.
    paths
        What the rows beside the total come of; none, nor the total, if the windows alone refute the threshold.
    multipliers
        Of the total first, then of the rows.
    nets, cliques
        The nets of which some pins are apart, and those pins.
    """

    value: int
    threshold: int
    paths: tuple[Paths, ...]
    multipliers: tuple[int, ...]
    nets: tuple[int, ...]
    cliques: tuple[IntArray, ...]


class Spreading:
    """The program of one problem, at one threshold after the other.

    Raises
    ------
    OutOfTimeError
        From the constructor and from the methods, if `should_stop` returns true.
    """

    def __init__(self, problem: Problem, should_stop: Callable[[], bool] = lambda: False) -> None:
        instance = problem.instance
        self.stages = problem.useful_stages
        self.shape = shape_of(instance, closure(instance, should_stop=should_stop))
        self.payers = Payers(self.shape, instance)
        self.rounds = 0
        self._shares = 2 if instance.can_overflow else 1
        self._incidence = incidence_of(self.shape)
        self._network = network_for(self.shape)
        self._windows = StageWindows(instance, should_stop)
        n, nets = instance.n, len(self.shape.net_cost)
        self._pairs = np.zeros((n, n), np.int64)
        self._priced = 0
        self._distance = np.zeros(n)
        self._tree = Tree(
            parent=np.zeros(n, np.int64),
            step=np.zeros(n, np.int64),
            pin=np.zeros(nets, np.int64),
            order=np.zeros(n, np.int64),
        )
        self._kept: list[Row] = []

    def price_pairs(self, should_stop: Callable[[], bool]) -> bool:
        """Go on pricing pairs of nodes in one stage until `should_stop`; return whether all are priced that will be.

        On large graphs these are the pairs with a tensor in common.
        """
        n = len(self.shape.work)
        while self._priced < n and not should_stop():
            all_nodes = n * (n - 1) // 2 <= LARGEST_PAIRS
            price_row(
                self.shape, NO_RULES, self._incidence, self._network, self._priced, self._shares, all_nodes, self._pairs
            )
            self._priced += 1
        return self._priced == n

    def solve(
        self,
        threshold: int,
        *,
        should_stop: Callable[[], bool] = lambda: False,
        report: Callable[[SpreadingProof], None] = lambda proof: None,
    ) -> SpreadingProof | None:
        """Solve the program at a threshold (ticks); the proof is None if it proves nothing.

        Parameters
        ----------
        report
            Called with better and better proofs on the way.
        """
        apart = self.apart(threshold)
        if apart is None:
            by_windows = _by_windows(threshold)
            report(by_windows)
            return by_windows
        nets, cliques = self._cliques(apart)
        low = _lows(len(self.shape.net_cost), nets)
        rows = [total_row(self.payers.shape, self.stages, cliques, nets)]
        rows += [row for row in self._kept if _holds(row, apart)]
        program = _Program(low, rows, base=max(1, threshold))
        best: SpreadingProof | None = None
        history: list[float] = []
        while True:
            if not program.run(should_stop):
                break
            self.rounds += 1
            history.append(program.value)
            fresh = [] if program.value > threshold else self._violated(program, apart, should_stop)
            stalled = len(history) > _SLOW_ROUNDS and program.value < history[-_SLOW_ROUNDS - 1] * (1 + _SLOW_RISE)
            last = not fresh or stalled
            if last or best is None or program.value > best.value * (1 + _SLOW_RISE):
                found = self._prove(program, threshold, nets, cliques)
                if found is not None and (best is None or found.value > best.value):
                    best = found
                    report(found)
            if last:
                break
            program.add(fresh)
        self._kept = [row for row in program.tight() if row.paths is not None]
        return best

    def verify(self, proof: SpreadingProof) -> int:
        """Return the bound that a proof gives, checked from the instance alone and without a program.

        Raises
        ------
        ValueError
            If it proves none.
        """
        threshold = proof.threshold
        if threshold < 0:
            raise ValueError("the threshold is negative")
        windows = self._windows.at(self.stages, threshold)
        if windows is None:
            return threshold + 1
        together = (windows.earliest[:, None] <= windows.latest[None, :]) & (
            windows.earliest[None, :] <= windows.latest[:, None]
        )
        known: dict[tuple[int, int], bool] = {}

        def require_apart(u: int, v: int) -> None:
            pair = (min(u, v), max(u, v))
            if pair not in known:
                known[pair] = u != v and (
                    not together[u, v]
                    or pair_cost(self.shape, NO_RULES, self._network, *pair, self._shares) > threshold
                )
            if not known[pair]:
                raise ValueError("two nodes may share a stage")

        if len(set(proof.nets)) != len(proof.nets) or len(proof.nets) != len(proof.cliques):
            raise ValueError("a tensor is named twice")
        for t, clique in zip(proof.nets, proof.cliques, strict=True):
            if not 0 <= t < len(self.shape.net_cost) or len(clique) < 2:
                raise ValueError("a tensor is out of range")
            pins = set(self.shape.net_pins[self.shape.net_ptr[t] : self.shape.net_ptr[t + 1]].tolist())
            for i, u in enumerate(clique.tolist()):
                if u not in pins:
                    raise ValueError("a node is no pin of its tensor")
                for v in clique[:i].tolist():
                    require_apart(u, v)
        for paths in proof.paths:
            check_paths(self.shape, paths)
            if paths.target != ABSENT:
                require_apart(paths.root, paths.target)
        rows = [total_row(self.payers.shape, self.stages, proof.cliques, proof.nets)]
        rows += [row_of(self.payers.at(paths.root), paths) for paths in proof.paths]
        low = _lows(len(self.shape.net_cost), proof.nets)
        return min(threshold + 1, proven_by(rows, proof.multipliers, low))

    def apart(self, threshold: int) -> BoolArray | None:
        """Return the pairs that share no stage; None if there is no partition at all."""
        windows = self._windows.at(self.stages, threshold)
        if windows is None:
            return None
        apart: BoolArray = windows.earliest[:, None] > windows.latest[None, :]
        apart |= apart.T
        apart |= self._pairs > threshold
        np.fill_diagonal(apart, False)
        return np.ascontiguousarray(apart)

    def _cliques(self, apart: BoolArray) -> tuple[tuple[int, ...], tuple[IntArray, ...]]:
        """Return pins of each net that are all apart, where there are two or more; greedily as many as possible."""
        nets, cliques = [], []
        for t in range(len(self.shape.net_cost)):
            pins = self.shape.net_pins[self.shape.net_ptr[t] : self.shape.net_ptr[t + 1]]
            among = apart[np.ix_(pins, pins)]
            left, chosen = np.ones(len(pins), np.bool_), []
            while left.any():
                best = int(np.argmax(np.where(left, among[:, left].sum(axis=1), -1)))
                chosen.append(best)
                left &= among[best]
            if len(chosen) > 1:
                nets.append(t)
                cliques.append(np.sort(pins[chosen]))
        return tuple(nets), tuple(cliques)

    def _violated(self, program: _Program, apart: BoolArray, should_stop: Callable[[], bool]) -> list[Row]:
        """Return rows that the lengths of the program violate, the worst of each kind."""
        n = len(self.shape.work)
        found = Survey(demand=np.zeros((n, self._shares)), partner=np.full(n, ABSENT), nearness=np.ones(n))
        lengths = program.lengths
        for start in range(0, n, _ROOTS_A_CALL):
            if should_stop():
                raise OutOfTimeError("stopped while stages were surveyed")
            stop = min(n, start + _ROOTS_A_CALL)
            for first, last, shape in self.payers.between(start, stop):
                survey(
                    shape,
                    self._incidence,
                    lengths,
                    apart,
                    np.arange(first, last),
                    self._tree,
                    self._distance,
                    Survey(found.demand[first:last], found.partner[first:last], found.nearness[first:last]),
                )
        excess = found.demand.max(axis=1) - program.value
        share = found.demand.argmax(axis=1)
        rows = []
        for root in np.argsort(-excess, kind="stable")[:_ROWS_A_ROUND].tolist():
            if excess[root] <= _VIOLATED * program.base:
                break
            count = grow_tree(self.shape, self._incidence, lengths, root, self._tree, self._distance)
            paths = paths_of(self._tree, count, root, int(share[root]))
            rows.append(row_of(self.payers.at(root), paths))
        for root in np.argsort(found.nearness, kind="stable")[:_ROWS_A_ROUND].tolist():
            if found.nearness[root] > 1.0 - 100 * _VIOLATED:
                break
            grow_tree(self.shape, self._incidence, lengths, root, self._tree, self._distance)
            rows.append(row_of(self.shape, path_to(self._tree, root, int(found.partner[root]))))
        return rows

    def _prove(
        self, program: _Program, threshold: int, nets: tuple[int, ...], cliques: tuple[IntArray, ...]
    ) -> SpreadingProof | None:
        multipliers = program.multipliers()
        used = [i for i, multiplier in enumerate(multipliers) if multiplier and i]
        rows = [program.rows[0], *(program.rows[i] for i in used)]
        chosen = [multipliers[0], *(multipliers[i] for i in used)]
        try:
            value = proven_by(rows, chosen, program.low)
        except ValueError:
            return None
        return SpreadingProof(
            value=min(threshold + 1, value),
            threshold=threshold,
            paths=tuple(row.paths for row in rows if row.paths is not None),
            multipliers=tuple(chosen),
            nets=nets,
            cliques=cliques,
        )


class _Program:
    """The linear program in floating numbers; costs are divided by `base`."""

    def __init__(self, low: IntArray, rows: Sequence[Row], *, base: int) -> None:
        import highspy

        self.low, self.base = low, base
        self.rows: list[Row] = []
        self.value = 0.0
        self.lengths: FloatArray = low.astype(np.float64)
        self._duals: FloatArray = np.zeros(0)
        self._model: highspy.Highs = highspy.Highs()
        self._model.setOptionValue("output_flag", False)
        self._model.setOptionValue("threads", 1)
        nothing = (np.zeros(0, np.int32), np.zeros(0))
        for least in low.tolist():
            self._model.addCol(0.0, float(least), 1.0, 0, *nothing)
        self._model.addCol(1.0, 0.0, highspy.kHighsInf, 0, *nothing)
        self.add(rows)

    def add(self, rows: Sequence[Row]) -> None:
        """Add rows."""
        for row in rows:
            scale = 1.0 / self.base if row.share else 1.0
            columns = np.flatnonzero(row.factor)
            values = row.factor[columns] * scale
            if row.share:
                columns, values = np.append(columns, len(self.low)), np.append(values, float(row.share))
            self._model.addRow(
                row.least * scale, float("inf"), len(columns), columns.astype(np.int32), values.astype(np.float64)
            )
            self.rows.append(row)

    def run(self, should_stop: Callable[[], bool]) -> bool:
        """Solve it; False if the solver failed.

        Raises
        ------
        OutOfTimeError
            If `should_stop` returns true.
        """
        import highspy

        while True:
            if should_stop():
                raise OutOfTimeError("stopped while the spreading program was solved")
            self._model.setOptionValue("time_limit", self._model.getRunTime() + _SLICE_SECONDS)
            self._model.run()
            if self._model.getModelStatus() != highspy.HighsModelStatus.kTimeLimit:
                break
        if self._model.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            return False
        solution = self._model.getSolution()
        values = np.array(solution.col_value, np.float64)
        self.value = float(values[-1]) * self.base
        self.lengths = np.clip(values[:-1], 0.0, 1.0)
        self._duals = np.maximum(np.array(solution.row_dual, np.float64), 0.0)
        return True

    def multipliers(self) -> list[int]:
        """Return the duals as integers."""
        return [
            round(float(dual) * (PRECISION if row.share else PRECISION * self.base))
            for dual, row in zip(self._duals, self.rows, strict=True)
        ]

    def tight(self) -> list[Row]:
        """Return the rows with a dual."""
        return [row for dual, row in zip(self._duals, self.rows, strict=False) if dual > 0]


def _by_windows(threshold: int) -> SpreadingProof:
    return SpreadingProof(value=threshold + 1, threshold=threshold, paths=(), multipliers=(), nets=(), cliques=())


def _holds(row: Row, apart: BoolArray) -> bool:
    """Whether a row of another threshold holds at this one."""
    paths = row.paths
    return paths is not None and (paths.target == ABSENT or bool(apart[paths.root, paths.target]))


def _lows(count: int, nets: Sequence[int]) -> IntArray:
    low = np.zeros(count, np.int64)
    low[list(nets)] = 1
    return low
