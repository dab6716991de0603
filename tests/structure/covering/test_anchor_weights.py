"""Bounds on what stages of a node weigh, and records of them, against all stages of the node."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.model.arrays import IntArray
from framework.structure.covering.anchor_weights import Progress, bound_roots, search_anchor
from framework.structure.poset.closure import closure
from framework.structure.pricing.branch_and_bound import StagePricer
from framework.structure.pricing.propagation import rules_of
from framework.structure.pricing.tree import ROWS, new_search, verify_trees
from framework.structure.pricing.vertex_bound import MAGNITUDE
from framework.testing.brute_force import stage_cost
from framework.testing.instances import random_instance
from tests.structure.plain_definitions import convex_sets, nodes_of, worth

SEEDS = st.integers(0, 2**32 - 1)
GUESS = 1.0


class Anchors:
    """The kernels on one random instance, at a random threshold, with what is true of its stages."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng([seed, 5])
        instance = random_instance(seed, max_nodes=6)
        self.n = instance.n
        self.costs = {members: stage_cost(instance, members) for members in convex_sets(instance)}
        self.threshold = max(0, int(rng.choice(list(self.costs.values()))) - int(rng.integers(0, 2)))
        self.weights: IntArray = rng.integers(1, 40, self.n)
        pricer = StagePricer(instance, closure(instance))
        forced = pricer.forced_costs()
        self._model = pricer.model(rules_of(forced.pairs > self.threshold, forced.nets > self.threshold))
        self._search = new_search(np.arange(self.n), max_columns=1, log_size=1 << 12)
        self._claim = pricer.claim(self.weights, self.threshold, 0)

    def heaviest(self, anchor: int) -> int:
        """Return the most that a stage of the anchor weighs; 0 if it has none."""
        stages = [x for x, cost in self.costs.items() if x >> anchor & 1 and cost <= self.threshold]
        return max([worth(members, self.weights.tolist()) for members in stages], default=0)

    def roots(self) -> tuple[IntArray, IntArray]:
        """Return bounds and leaves of the roots."""
        bounds, leaves = np.full(self.n, -1, np.int64), np.zeros((self.n, 3), np.int64)
        claim = self._claim._replace(theta=-1, wanted=MAGNITUDE)
        bound_roots(self._model, self._search, claim, GUESS, bounds, leaves)
        return bounds, leaves

    def search(self, anchor: int, theta: int, patience: int, *, fresh: bool) -> Progress:
        """Go on with the tree of an anchor."""
        search, claim = self._search._replace(order=np.array([anchor])), self._claim._replace(theta=theta, wanted=theta)
        return search_anchor(self._model, search, claim, GUESS, patience, fresh)

    def decide(self, anchor: int, theta: int) -> Progress:
        """Search to the end, one vertex a call."""
        outcome = self.search(anchor, theta, 1, fresh=True)
        while outcome == Progress.PAUSED:
            outcome = self.search(anchor, theta, 1, fresh=False)
        assert outcome != Progress.LOG_FULL
        return outcome

    def log(self) -> IntArray:
        """Return the record of the latest search."""
        return self._search.log[: self._search.counters[ROWS]].copy()

    def found(self) -> int:
        """Return the set that the latest search found."""
        return sum(1 << v for v in np.flatnonzero(self._search.low > 0).tolist())

    def walk(self, anchor: int, theta: int, log: IntArray) -> bool:
        """Check a record."""
        search, claim = self._search._replace(order=np.array([anchor])), self._claim._replace(theta=theta)
        return bool(verify_trees(self._model, search, claim, np.ascontiguousarray(log)))


@given(SEEDS)
@settings(max_examples=30, derandomize=True, deadline=None)
def test_a_root_bounds_every_stage_of_its_anchor(seed: int) -> None:
    anchors = Anchors(seed)
    bounds, leaves = anchors.roots()
    for v in range(anchors.n):
        most = anchors.heaviest(v)
        assert bounds[v] >= most
        if bounds[v] < anchors.weights.sum():
            assert anchors.walk(v, int(bounds[v]), leaves[v : v + 1])
        assert not most or not anchors.walk(v, most - 1, leaves[v : v + 1])


@given(SEEDS)
@settings(max_examples=30, derandomize=True, deadline=None)
def test_a_tree_decides_every_bound_and_its_record_proves_just_that(seed: int) -> None:
    anchors = Anchors(seed)
    rng = np.random.default_rng([seed, 6])
    for v in range(anchors.n):
        most = anchors.heaviest(v)
        for theta in {0, most // 2, most - 1, most, most + 2} - {-1}:
            outcome = anchors.decide(v, theta)
            assert outcome == (Progress.DONE if theta >= most else Progress.FOUND_SET)
            if outcome == Progress.FOUND_SET:
                members = anchors.found()
                assert v in nodes_of(members)
                assert anchors.costs[members] <= anchors.threshold
                assert worth(members, anchors.weights.tolist()) > theta
        anchors.decide(v, most)
        log = anchors.log()
        assert anchors.walk(v, most, log)
        assert not anchors.walk(v, most, log[:-1])
        assert not anchors.walk(v, most, np.vstack((log, log[-1:])))
        assert not most or not anchors.walk(v, most - 1, log)
        forged = log.copy()
        forged[rng.integers(len(forged)), rng.integers(3)] += int(rng.integers(-3, 4))
        assert not most or not anchors.walk(v, most - 1, forged)
        # What was proven of the stages of one node says nothing of another one's, unless it is as true there.
        other = int(rng.integers(anchors.n))
        assert anchors.heaviest(other) <= most or not anchors.walk(other, most, log)
