"""Branch and bound over nested ideals, best bound first.

The relaxed problem: split the nodes into groups of r_1, ..., r_m stages so that the largest ceil(f_g / r_g) is least.
It equals the problem itself if every group is one stage, and bounds it from below otherwise (`nested_cuts`). A tree
looks for a grouping of at most T, or shows that there is none, under windows that hold for partitions of at most T.
The bound of a node is the value of a minimum cut divided by its weight, rounded up; at every moment

    min(T + 1, least bound of an open node)

is a lower bound for the optimum: a partition of at most T satisfies the windows, hence lies in some open node. When
a grouping of at most T turns up, T falls below its value, and the same holds for the new T.

Multipliers are tuned at every node, starting from the parent's. With two groups the value is concave in the one free
multiplier and both ends of a minimum cut give slopes, so that is bisection; otherwise they grow or shrink by the
exponential of their group's excess over T, in falling steps. Multipliers of overflow follow the sign of p(g) - r_g c.
Source: this project.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from framework.model.arrays import IntArray
from framework.model.graph import FloatArray
from framework.structure.nested_cuts.branching import Brancher
from framework.structure.nested_cuts.costs import Multipliers
from framework.structure.nested_cuts.network import SMOOTHING, NestedNetwork
from framework.structure.nested_cuts.tree_log import WINDOWS, Leaf, NodeLog, leaf_of, rows_of

_SMALLEST_LOAD = 0.02
_MOST_SHARES = 20_000_000
"""Numbers in shares of tensors beyond which a tree is not logged any more: two bytes each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much is spent on a node, by its depth.

    Attributes
    ----------
    root_tunings, top_tunings, tunings
        Minimum cuts to tune multipliers with: at the root, at depths below 4, deeper.
    root_step, step
        First step of the multiplicative updates: at the root, elsewhere.
    top_choices, choices
        Choices probed: at depths 2 to 7, deeper. Above, all are.
    """

    root_tunings: int
    top_tunings: int
    tunings: int
    root_step: float
    step: float
    top_choices: int
    choices: int


TWO_GROUPS = Effort(root_tunings=12, top_tunings=8, tunings=5, root_step=0.0, step=0.0, top_choices=16, choices=8)
MANY_GROUPS = Effort(root_tunings=60, top_tunings=16, tunings=10, root_step=0.5, step=0.25, top_choices=24, choices=12)


@dataclass(slots=True, kw_only=True)
class _Node:
    """Windows and where the parent's search for multipliers ended; loads add up to the number of groups.

    `log` is what becomes of the node.
    """

    log: NodeLog
    depth: int
    earliest: IntArray
    latest: IntArray
    loads: FloatArray
    shares: FloatArray
    priority: FloatArray


@dataclass(slots=True, kw_only=True)
class _Cut:
    """A maximal flow kept: what it refutes in a log, residual capacities, and the bound it gives as a fraction."""

    leaf: Leaf
    residual: IntArray
    flow: int
    base: int
    weight: int

    @property
    def ratio(self) -> float:
        return (self.base + self.flow) / self.weight


class NestedTree:
    """One tree: refutes a threshold, or finds groupings below it.

    Parameters
    ----------
    threshold
        T in ticks.
    earliest, latest
        ``[n]`` windows in groups for partitions of at most T, closed under precedence.
    offer
        Called with the ``[n]`` groups of every minimum cut and the largest ceil(f_g / r_g).
    should_stop
        Asked during flows.

    Attributes
    ----------
    threshold
        T: what is still looked for. It falls with every grouping found.
    found
        The best grouping found and its value in ticks, if any.
    """

    def __init__(
        self,
        network: NestedNetwork,
        threshold: int,
        earliest: IntArray,
        latest: IntArray,
        *,
        offer: Callable[[IntArray, int], None] = lambda group_of, value: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.network, self.threshold = network, threshold
        self.found: tuple[int, IntArray] | None = None
        self.nodes = self.cuts = 0
        self._offer, self._should_stop = offer, should_stop
        self._brancher = Brancher(network, should_stop)
        self._effort = TWO_GROUPS if network.groups == 2 else MANY_GROUPS
        self._root = NodeLog(WINDOWS)
        root = _Node(
            log=self._root,
            depth=0,
            earliest=earliest,
            latest=latest,
            loads=np.ones(network.groups),
            shares=np.zeros(network.groups),
            priority=network.even_priority(),
        )
        self._open: list[tuple[int, int, _Node]] = [(0, 0, root)]
        self._serial = 0

    @property
    def bound(self) -> int:
        """The lower bound for the optimum that is proven now, in ticks."""
        return min(self.threshold + 1, self._open[0][0]) if self._open else self.threshold + 1

    @property
    def done(self) -> bool:
        """Whether nothing of at most the threshold is left."""
        return self.bound > self.threshold

    def certificate(self, most: int) -> dict[str, Any] | None:
        """Return what shows that nothing of at most the threshold is left, once that is so (see `tree_log`).

        None if it takes more than so many numbers.
        """
        found = rows_of(self._root, most) if self._is_logged else None
        if found is None:
            return None
        tensors, shares = self.network.charged_by(found[1])
        return {"sizes": self.network.sizes.tolist(), "tree": found[0], "tensors": tensors, "shares": shares}

    @property
    def _is_logged(self) -> bool:
        return self.nodes * self.network.shares_size <= _MOST_SHARES

    def advance(self) -> None:
        """Work on the open node of least bound.

        Raises
        ------
        OutOfTimeError
            If it is told to stop; the node stays open.
        """
        bound, _, node = self._open[0]
        if bound > self.threshold:
            return
        children = self._branch(node, bound)
        heapq.heappop(self._open)
        self.nodes += 1
        for key, child in children:
            if key <= self.threshold:
                self._serial += 1
                heapq.heappush(self._open, (key, self._serial, child))

    def _branch(self, node: _Node, bound: int) -> list[tuple[int, _Node]]:
        """Return the children of a node with their bounds; none if it is refuted."""
        effort, depth = self._effort, node.depth
        earliest, latest = node.earliest.copy(), node.latest.copy()
        state = _Node(
            log=node.log,
            depth=depth,
            earliest=earliest,
            latest=latest,
            loads=node.loads,
            shares=node.shares,
            priority=node.priority.copy(),
        )
        tunings = effort.root_tunings if depth == 0 else effort.top_tunings if depth < 4 else effort.tunings
        step = effort.root_step if depth == 0 else effort.step
        # A node that was stopped is worked on again from its start.
        log, shown, attempts = node.log, node.log.bound, 0
        log.settled.clear()
        while True:
            if not self._brancher.tighten(earliest, latest, self.threshold):
                log.end = WINDOWS
                return []
            tuned = self._tune(state, tunings, step)
            if isinstance(tuned, Leaf):
                log.end = tuned
                return []
            cut, low, high = tuned
            leaf, reached = cut.leaf, -(-(cut.base + cut.flow) // cut.weight)
            bound, shown = (reached, leaf) if reached > bound else (bound, shown)
            most = len(earliest) * self.network.boundaries if depth < 2 else effort.top_choices
            most = effort.choices if depth >= 8 else most
            candidates = self._brancher.candidates(earliest, latest, low, high, most)
            if not len(candidates):
                log.end = self._price(earliest)
                return []
            limit = self.threshold * cut.weight + 1 - cut.base
            probe = self._brancher.probe(earliest, latest, candidates, limit, len(candidates))
            self.cuts += 2 * len(candidates)
            log.settled += [(v, j, later, leaf) for v, j, later in probe.imposed]
            if probe.refuted:
                assert probe.choice is not None
                log.end = (probe.choice, NodeLog(leaf), NodeLog(leaf))
                return []
            attempts += 1
            if probe.choice is None or (probe.imposed and attempts <= 3):
                tunings, step = effort.tunings, effort.step
                continue
            return self._children(state, cut, (bound, shown), probe.choice, probe.values)

    def _children(
        self, state: _Node, cut: _Cut, known: tuple[int, Leaf], choice: tuple[int, int], values: tuple[int, int]
    ) -> list[tuple[int, _Node]]:
        """Return both sides of a choice with their bounds; `known` is the bound of the node, and what shows it."""
        children = []
        for later, flow in ((False, values[0]), (True, values[1])):
            earliest, latest = state.earliest.copy(), state.latest.copy()
            self._brancher.restrict(earliest, latest, *choice, later=later)
            reached = -(-(cut.base + flow) // cut.weight), cut.leaf
            bound, shown = reached if reached[0] > known[0] else known
            child = _Node(
                log=NodeLog(shown),
                depth=state.depth + 1,
                earliest=earliest,
                latest=latest,
                loads=state.loads,
                shares=state.shares,
                priority=state.priority,
            )
            children.append((bound, child))
        state.log.end = (choice, children[0][1].log, children[1][1].log)
        return children

    def _tune(self, state: _Node, tunings: int, step: float) -> tuple[_Cut, IntArray, IntArray] | Leaf:
        """Tune the multipliers of a node; return its best cut, its flow in the network, and two groupings.

        The leaf alone if it refutes the node.
        """
        network, flow = self.network, self.network.network
        tuner = _Bisection(network, state) if network.groups == 2 else _Multiplicative(network, state, step)
        best: _Cut | None = None
        for _ in range(tunings):
            multipliers = tuner.multipliers()
            base = network.prepare(multipliers, state.earliest, state.latest, state.priority)
            weight = network.weight(multipliers)
            leaf = leaf_of(multipliers, network.shares() if self._is_logged else None)
            limit = self.threshold * weight + 1 - base
            if limit <= 0 or flow.augment(limit=limit, should_stop=self._should_stop) >= limit:
                return leaf
            self.cuts += 1
            cut = _Cut(leaf=leaf, residual=flow.residual, flow=flow.value, base=base, weight=weight)
            ends = network.smallest(), network.largest()
            if best is None or cut.ratio > best.ratio:
                best = cut
                best.residual = flow.residual.copy()
                tuner.keep()
            costs = [self._take(group_of) for group_of in ends]
            crossed = network.crossings(ends[0])
            state.priority += SMOOTHING * (crossed - state.priority)
            if not tuner.update(costs, self.threshold):
                break
        if best is None:
            raise AssertionError("at least one cut is made")
        if best.base + best.flow > self.threshold * best.weight:
            return best.leaf
        flow.reset(best.residual, value=best.flow)
        # Nothing is sent, but the search for more marks the source side.
        flow.augment(should_stop=self._should_stop)
        return best, network.smallest(), network.largest()

    def _price(self, group_of: IntArray) -> Leaf:
        """Price the only grouping that a node has; return the leaf that says what its dearest group costs."""
        costs, parameters = self._take(group_of)
        dearest = int((-(-costs // self.network.sizes)).argmax())
        loads = [int(g == dearest) for g in range(self.network.groups)]
        overflow = [load * int(p > c) for load, p, c in zip(loads, parameters, self.network.capacities, strict=True)]
        return Leaf((*loads, *overflow))

    def _take(self, group_of: IntArray) -> tuple[IntArray, IntArray]:
        """Price a grouping, keep it if it is the best, and return its costs and parameters."""
        costs, parameters = self.network.costs(group_of)
        value = int((-(-costs // self.network.sizes)).max())
        if value <= self.threshold:
            self.threshold = value - 1
            self.found = (value, group_of.copy())
        self._offer(group_of, value)
        return costs, parameters


class _Tuner:
    """Where the search for multipliers stands; `keep` writes the current ones to the node."""

    def __init__(self, network: NestedNetwork, state: _Node) -> None:
        self.network, self.state = network, state
        self.loads, self.shares = state.loads.copy(), state.shares.copy()
        self._share_step = np.ones(network.groups)
        self._share_sign = np.zeros(network.groups)
        self._share_moves = network.overflows

    def multipliers(self) -> Multipliers:
        """Round the current point."""
        return self.network.multipliers(self.loads, self.shares)

    def keep(self) -> None:
        """The current point is the best so far."""
        self.state.loads, self.state.shares = self.loads.copy(), self.shares.copy()

    def move_shares(self, parameters: IntArray) -> bool:
        """Follow the sign of p(g) - r_g c, halving the step where it changes; whether anything moved."""
        if not self._share_moves:
            return False
        sign = np.sign(parameters - self.network.capacities).astype(float)
        self._share_step = np.where(sign * self._share_sign < 0, self._share_step / 2, self._share_step)
        self._share_sign = np.where(sign != 0, sign, self._share_sign)
        moved = np.clip(self.shares + sign * self._share_step, 0.0, 1.0)
        changed = bool((np.abs(moved - self.shares) > 1 / 256).any())
        self.shares = moved
        return changed

    def update(self, costs: list[tuple[IntArray, IntArray]], threshold: int) -> bool:
        """Move on after a cut with the costs and parameters at both its ends; False when there is nowhere to go."""
        raise NotImplementedError


class _Bisection(_Tuner):
    """Two groups: the load of the first one, between a slope up and a slope down."""

    def __init__(self, network: NestedNetwork, state: _Node) -> None:
        super().__init__(network, state)
        self._low, self._high = 0, network.resolution
        self._bracketed = [False, False]
        self._at = int(np.rint(self.loads[0] * network.resolution / self.loads.sum()))
        self._stride = max(1, network.resolution // 8)
        self._place()

    def update(self, costs: list[tuple[IntArray, IntArray]], threshold: int) -> bool:
        sizes = self.network.sizes
        excess = [cost - sizes * threshold for cost, _ in costs]
        slopes = [int(x[0]) - int(x[1]) for x in excess]
        shares_moved = self.move_shares(costs[0][1])
        if min(slopes) <= 0 <= max(slopes):
            return shares_moved
        if slopes[0] > 0:
            self._low, self._bracketed[0] = self._at, True
        else:
            self._high, self._bracketed[1] = self._at, True
        if all(self._bracketed):
            if self._high - self._low <= 1:
                return shares_moved
            self._at = (self._low + self._high) // 2
        elif self._bracketed[0]:
            self._at = min(self.network.resolution - 1, self._at + self._stride)
        else:
            self._at = max(1, self._at - self._stride)
        self._stride *= 2
        self._place()
        return self._low < self._at < self._high or shares_moved

    def _place(self) -> None:
        share = self._at / self.network.resolution
        self.loads = np.array([2 * share, 2 * (1 - share)])


class _Multiplicative(_Tuner):
    """Any number of groups: loads grow with the excess of their group's cost over its share of T."""

    def __init__(self, network: NestedNetwork, state: _Node, step: float) -> None:
        super().__init__(network, state)
        self._step = step

    def update(self, costs: list[tuple[IntArray, IntArray]], threshold: int) -> bool:
        aims = np.maximum(1, self.network.sizes * threshold)
        excess = (sum(cost for cost, _ in costs) / len(costs) - aims) / aims
        self.loads = self.loads * np.exp(self._step * np.clip(excess, -1.0, 3.0))
        self.loads = np.maximum(self.loads * (len(aims) / self.loads.sum()), _SMALLEST_LOAD)
        self._step *= 0.93
        self.move_shares(costs[0][1])
        return math.isfinite(float(self.loads.sum()))
