"""Destructive bound by shares: weights of nodes whose sum exceeds k, improved as far as time allows.

Initial weights are the costs of the nodes. They are divided by their bounds g_v a few times, which shifts weight to
nodes that heavy stages do not contain. Then the gap between each bound g_v and the heaviest known set is halved
repeatedly, by trees of limited size. See `framework.structure.covering.anchor_weights` for the proof.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import numpy as np

from framework.errors import OutOfTimeError
from framework.model.arrays import IntArray
from framework.model.graph import FloatArray
from framework.model.problem import Problem
from framework.structure.covering.anchor_weights import Progress, bound_roots, search_anchor
from framework.structure.covering.farley import StageCover
from framework.structure.pricing.propagation import rules_of
from framework.structure.pricing.tree import ROWS, VERTICES, Claim, CutModel, new_search, verify_trees
from framework.structure.pricing.vertex_bound import MAGNITUDE

WEIGHT_TOTAL = float(1 << 36)
"""What integer weights add up to, about."""
_ONE = 1 << 60
"""Terms of the count are rounded down to multiples of its inverse."""
_ANCHORS_A_CALL, _VERTICES_A_CALL = 16, 256
_LONGEST_LOG = 1 << 14
_REWEIGHTINGS = 16
_PATIENCE = 3
"""Reweightings in a row that may fail to raise the count."""


class Failure(Enum):
    """Why a threshold was not refuted."""

    COUNTED = "sets that stages may be weigh too much"
    EXHAUSTED = "the bounds on what stages weigh are too weak"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CountProof:
    """No stage of cost at most the threshold that holds node v weighs more than ``bounds[v]``, and that is too little.

    `logs` has the record of each node; all empty, with weights zero, if the stage windows alone refute.
    """

    threshold: int
    weights: IntArray
    bounds: IntArray
    logs: tuple[IntArray, ...]


class CountRefuter:
    """Refutes thresholds of one problem.

    Raises
    ------
    OutOfTimeError
        From the constructor and from `refute`, if `should_stop` returns true.
    """

    def __init__(self, problem: Problem, should_stop: Callable[[], bool] = lambda: False) -> None:
        self.problem = problem
        self.vertices = 0
        self._cover = StageCover(problem, should_stop)
        self._search = new_search(np.arange(problem.instance.n), max_columns=0, log_size=_LONGEST_LOG)
        self._weights = self._first_weights()

    def refute(
        self, threshold: int, *, effort: int, should_stop: Callable[[], bool] = lambda: False
    ) -> CountProof | Failure:
        """Try to refute a threshold (ticks) with trees of at most `effort` vertices."""
        n, k = self.problem.instance.n, self.problem.useful_stages
        if threshold >= self._cover.pricer.largest_cost:
            return Failure.COUNTED
        model = self._at(threshold)
        if model is None:
            nothing = np.zeros(n, np.int64)
            return CountProof(threshold=threshold, weights=nothing, bounds=nothing, logs=())
        best: _Count | None = None
        weights, failed = self._weights, 0
        for _ in range(_REWEIGHTINGS):
            count = _Count(self._cover.pricer.claim(_integers(weights), threshold, 0))
            self._bound_roots(count, model, should_stop)
            if count.total() > k * _ONE:
                self._weights = weights
                return count.proof()
            if best is None or count.total() > best.total():
                best, failed = count, 0
            else:
                failed += 1
                if failed == _PATIENCE:
                    break
            # Half of the way, in logarithms, to the weights that would make all terms equal to their last value.
            weights = count.weights / np.sqrt(np.maximum(1.0, count.bounds))
        assert best is not None
        patience = 8
        while patience <= effort:
            self._tighten(best, model, patience, should_stop)
            if best.total() > k * _ONE:
                self._weights = best.weights.astype(np.float64)
                return best.proof()
            if best.most() <= k * _ONE:
                return Failure.COUNTED
            patience *= 4
        return Failure.EXHAUSTED

    def verify(self, proof: CountProof) -> bool:
        """Whether a proof holds; nothing is searched for."""
        n, k = self.problem.instance.n, self.problem.useful_stages
        if not 0 <= proof.threshold <= self._cover.pricer.largest_cost:
            return False
        model = self._at(proof.threshold)
        if model is None:
            return True
        weights, bounds = proof.weights, proof.bounds
        if len(weights) != n or len(bounds) != n or len(proof.logs) != n:
            return False
        total = sum(weights.tolist())
        if min(weights.tolist()) < 1 or min(bounds.tolist()) < 0 or total > MAGNITUDE >> 8:
            return False
        if max(bounds.tolist()) > total or _count(weights, bounds) <= k * _ONE:
            return False
        claim = self._cover.pricer.claim(weights, proof.threshold, 0)
        return all(
            verify_trees(
                model,
                self._search._replace(order=np.array([v])),
                claim._replace(theta=int(bounds[v])),
                np.ascontiguousarray(log),
            )
            for v, log in enumerate(proof.logs)
        )

    def _at(self, threshold: int) -> CutModel | None:
        """Return what cuts are made of at a threshold; None if the windows refute it."""
        n = self.problem.instance.n
        question = self._cover.question(threshold, np.zeros(n, np.int64), 0, np.arange(n))
        if question is None:
            return None
        return self._cover.pricer.model(rules_of(question.apart, question.uncovered))

    def _first_weights(self) -> FloatArray:
        instance, top = self.problem.instance, self.problem.instance.topology
        pays: FloatArray = instance.work.astype(np.float64)
        np.add.at(pays, top.producer, instance.tensor_cost / 2)
        share = instance.tensor_cost / (2 * np.maximum(1, np.diff(top.consumer_ptr)))
        np.add.at(pays, top.consumers, np.repeat(share, np.diff(top.consumer_ptr)))
        pays += max(1.0, float(pays.mean())) / 64
        return pays

    def _bound_roots(self, count: _Count, model: CutModel, should_stop: Callable[[], bool]) -> None:
        n = len(count.weights)
        bounds, leaves = np.zeros(n, np.int64), np.zeros((n, 3), np.int64)
        claim = count.claim._replace(theta=-1, wanted=MAGNITUDE)
        for start in range(0, n, _ANCHORS_A_CALL):
            if should_stop():
                raise OutOfTimeError("stopped while stages were weighed")
            stop = min(n, start + _ANCHORS_A_CALL)
            search = self._search._replace(order=np.arange(start, stop))
            bound_roots(model, search, claim, self._guess(count), bounds[start:stop], leaves[start:stop])
        self.vertices += n
        # Nothing weighs more than all nodes together.
        whole = int(count.weights.sum())
        for v in range(n):
            if int(bounds[v]) <= whole:
                count.improve(v, int(bounds[v]), leaves[v : v + 1])
            else:
                count.improve(v, whole, np.array([[0, 1, 0]]))

    def _tighten(self, count: _Count, model: CutModel, patience: int, should_stop: Callable[[], bool]) -> None:
        """Move every bound towards the heaviest set known, those first that can add most to the count."""
        k = self.problem.useful_stages
        floors = count.floors.copy()
        for _ in range(4):
            gain = count.weights / np.maximum(1.0, np.maximum(floors, count.weights)) - count.weights / np.maximum(
                1.0, count.bounds
            )
            for v in np.argsort(-gain, kind="stable").tolist():
                floor = max(int(floors[v]), int(count.floors[v]), int(count.weights[v]))
                if floor >= count.bounds[v] or gain[v] <= 1e-4:
                    continue
                theta = (floor + int(count.bounds[v])) // 2
                outcome = self._search_anchor(count, v, theta, model, patience, should_stop)
                if outcome == Progress.DONE:
                    count.improve(v, theta, self._search.log[: self._search.counters[ROWS]].copy())
                elif outcome == Progress.FOUND_SET:
                    members = self._search.low > 0
                    worth = int(count.weights[members].sum())
                    count.floors[members] = np.maximum(count.floors[members], worth)
                    floors[v] = max(int(floors[v]), worth)
                else:
                    floors[v] = theta
            if count.total() > k * _ONE or count.most() <= k * _ONE:
                return

    def _search_anchor(
        self,
        count: _Count,
        v: int,
        theta: int,
        model: CutModel,
        patience: int,
        should_stop: Callable[[], bool],
    ) -> Progress:
        search = self._search._replace(order=np.array([v]))
        claim, guess = count.claim._replace(theta=theta, wanted=theta), self._guess(count)
        fresh = True
        while patience > 0:
            if should_stop():
                raise OutOfTimeError("stopped while stages were weighed")
            allowed = min(patience, _VERTICES_A_CALL)
            before = int(search.counters[VERTICES])
            progress = search_anchor(model, search, claim, guess, allowed, fresh)
            self.vertices += int(search.counters[VERTICES]) - before
            if progress != Progress.PAUSED:
                return progress
            fresh = False
            patience -= allowed
        return Progress.PAUSED

    def _guess(self, count: _Count) -> float:
        return float(count.weights.sum()) / max(1.0, float(self._cover.pricer.largest_cost))


class _Count:
    """Weights with the bounds proven so far, and the heaviest sets known."""

    def __init__(self, claim: Claim) -> None:
        self.claim, self.weights = claim, claim.prices
        n = len(self.weights)
        self.bounds = np.zeros(n, np.int64)
        self.floors = np.zeros(n, np.int64)
        self.logs: list[IntArray] = [np.zeros((0, 3), np.int64)] * n

    def improve(self, v: int, bound: int, log: IntArray) -> None:
        """Take a proven bound."""
        self.bounds[v] = bound
        self.logs[v] = np.ascontiguousarray(log)

    def total(self) -> int:
        """Return the count that the bounds prove, in `_ONE`."""
        return _count(self.weights, self.bounds)

    def most(self) -> int:
        """Return the most that it can become with these weights, in `_ONE`."""
        return _count(self.weights, np.maximum(self.floors, self.weights))

    def proof(self) -> CountProof:
        """Return what was proven."""
        return CountProof(
            threshold=self.claim.threshold, weights=self.weights, bounds=self.bounds, logs=tuple(self.logs)
        )


def _count(weights: IntArray, bounds: IntArray) -> int:
    """Return the sum of weight / bound in `_ONE`, rounded down; a node that fits into no stage counts for all."""
    total = 0
    for weight, bound in zip(weights.tolist(), bounds.tolist(), strict=True):
        total += _ONE * weight // bound if bound >= weight else _ONE << 32
    return total


def _integers(weights: FloatArray) -> IntArray:
    scaled: IntArray = np.maximum(1, np.rint(weights * (WEIGHT_TOTAL / float(weights.sum())))).astype(np.int64)
    return scaled
