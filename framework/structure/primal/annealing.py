"""Simulated annealing of a partition: single nodes and small convex groups move between stages.

The energy is the sum over stages of (f_b / reference)^16, a smooth stand-in for the largest f_b: near it only the most
expensive stages count, yet a plateau of the maximum still has a slope. A move of one node goes anywhere between the
last stage of its predecessors and the first stage of its successors; a compound move takes a node together with
its descendants (ancestors) of the same stage to the next (previous) stage; a swap exchanges two nodes of different
stages, which matters where stages hold few nodes. Per tensor and stage the number of consumers
is kept, and per shared parameter and stage the number of users, so the change of both stages follows in O(degree).
Stage costs are exact integers; only the energy is a float,
and it only decides what to accept.

Source: this project, for the neighbourhood and the energy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from framework.model.arrays import SPLITMIX_STEP, IntArray
from framework.model.problem import Partition, Problem
from framework.structure.kernel import allocating_kernel, kernel
from framework.structure.primal.moves import (
    LARGEST_GROUP,
    Nodes,
    Walk,
    collect,
    move_node,
    nodes_of,
    obeys_limit,
    span,
    stand_at,
    walk_of,
)
from framework.structure.scrambling import scrambled

HOTTEST, COLDEST = 0.5, 0.02
"""Temperatures of a full cooling, in units of the energy of a stage at the reference."""
POLISHING, MOST_POLISHING = 200, 400_000
"""Moves of a polish per node, and at most."""
MOVES_A_POLISH = 25_000
"""Moves between two looks at the clock."""
COMPOUND_SHARE, SWAP_SHARE = 0.15, 0.3
LARGEST_TABLE = 1 << 27
"""Entries of the table of consumers per tensor and stage; beyond, it would not fit into a member's memory."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cooling:
    """A stretch of the schedule: so many moves, the temperature falling geometrically."""

    moves: int
    hottest: float = HOTTEST
    coldest: float = COLDEST


class Annealer:
    """Anneals partitions of one problem; the state goes on from call to call.

    A hard limit on what stages hold is kept by every move.

    Parameters
    ----------
    partition
        Where to start; it has to obey the limit.
    seed
        Seed of the moves: the same calls with the same seed give the same partitions.

    Attributes
    ----------
    best
        Lowest bottleneck met, in ticks.
    """

    def __init__(self, problem: Problem, partition: Partition, seed: int) -> None:
        self._problem = problem
        self._nodes = nodes_of(problem)
        self._walk = walk_of(problem, self._nodes)
        self._best_stage = np.zeros(problem.instance.n, np.int64)
        self._random = np.array([(seed * SPLITMIX_STEP + 0x1234567) & ((1 << 64) - 1)], np.uint64)
        self._values = np.zeros(1, np.int64)
        self.restart(partition)
        self._values[0] = self._walk.cost.max()

    @property
    def best(self) -> int:
        """Lowest bottleneck met so far, in ticks."""
        return int(self._values[0])

    @property
    def costs(self) -> IntArray:
        """Costs of the stages of the current partition, ``[stages]`` ticks."""
        return self._walk.cost

    def best_partition(self) -> Partition:
        """Return a partition that attains `best`."""
        return Partition(stage_of=self._best_stage.copy())

    def current_partition(self) -> Partition:
        """Return the partition the walk stands at."""
        return Partition(stage_of=self._walk.stage.copy())

    def restart(self, partition: Partition) -> None:
        """Go on from another partition; `best` stays unless this one is better."""
        stage = _used_stages(partition.stage_of, len(self._walk.cost))
        stand_at(Partition(stage_of=stage), self._problem, self._nodes, self._walk)
        if not self._values[0] or int(self._walk.cost.max()) < self.best:
            self._values[0] = self._walk.cost.max()
            self._best_stage[:] = self._walk.stage

    def cool(self, cooling: Cooling) -> None:
        """Make the moves of a stretch of the schedule."""
        if len(self.costs) > 1:
            _anneal(
                self._nodes,
                self._walk,
                cooling.moves,
                cooling.hottest,
                cooling.coldest,
                self._best_stage,
                self._values,
                self._random,
            )


def _used_stages(stage_of: IntArray, k: int) -> IntArray:
    """Number the stages that are used from 0 when k or more are allowed than there are nodes."""
    if int(stage_of.max()) < k:
        return stage_of
    return np.unique(stage_of, return_inverse=True)[1].astype(np.int64)


def table_of(problem: Problem) -> int:
    """Return the entries of the tables of consumers and users that an `Annealer` of a problem keeps."""
    return (problem.instance.m + len(problem.instance.shared)) * problem.useful_stages


def polish(problem: Problem, partition: Partition, seed: int, should_stop: Callable[[], bool]) -> Partition:
    """Return the best partition a short cold walk meets: for partitions that are good but in details.

    Of a plan of `framework.structure.fluid.chain_dp`, which places the nodes that matter well together, it makes
    partitions that walks from elsewhere do not find: 1.6% below the best of ten seconds on a diffusion transformer in
    32 stages.
    """
    if table_of(problem) > LARGEST_TABLE:
        return partition
    annealer = Annealer(problem, partition, seed)
    moves = min(POLISHING * problem.instance.n, MOST_POLISHING)
    for _ in range(-(-moves // MOVES_A_POLISH)):
        if should_stop():
            break
        annealer.cool(Cooling(moves=min(moves, MOVES_A_POLISH), hottest=COLDEST, coldest=COLDEST))
    return annealer.best_partition()


@kernel
def _next(state: NDArray[np.uint64]) -> np.uint64:
    """Return 64 random bits (splitmix64)."""
    bits = scrambled(state[0])
    state[0] += np.uint64(SPLITMIX_STEP)
    return bits


@kernel
def _uniform(state: NDArray[np.uint64]) -> float:
    return float(_next(state) >> np.uint64(11)) * (1.0 / (1 << 53))


@kernel
def _below(state: NDArray[np.uint64], n: int) -> int:
    return int(np.int64(_next(state) % np.uint64(n)))


@kernel
def _energy(cost: int, reference: float) -> float:
    x = cost / reference
    x *= x
    x *= x
    x *= x
    return float(x * x)


@allocating_kernel
def _anneal(
    nodes: Nodes,
    walk: Walk,
    moves: int,
    hottest: float,
    coldest: float,
    best_stage: IntArray,
    best: IntArray,
    random: NDArray[np.uint64],
) -> None:
    stage, cost = walk.stage, walk.cost
    n, k = len(stage), len(cost)
    mark = np.full(n, -1, np.int64)
    group = np.empty(LARGEST_GROUP + 1, np.int64)
    temperature = hottest
    falling = (coldest / hottest) ** (256.0 / max(256, moves))
    for move in range(moves):
        if move % 256 == 255:
            temperature *= falling
        if best[0] == 0:
            break
        reference = float(best[0])
        v = _below(random, n)
        a = stage[v]
        size = 1
        group[0] = v
        other = -1
        kind = _uniform(random)
        if kind < COMPOUND_SHARE:
            right = _next(random) >> np.uint64(63) == 1
            b = a + 1 if right else a - 1
            if b < 0 or b >= k:
                continue
            size = collect(v, right, nodes, walk, mark, move, group)
            if size < 2:
                continue
        else:
            low, high = span(v, nodes, walk)
            if low == high:
                continue
            if kind < COMPOUND_SHARE + SWAP_SHARE:
                other = _below(random, n)
                b = stage[other]
                if b == a or b < low or b > high:
                    continue
            else:
                b = low + _below(random, high - low)
                if b >= a:
                    b += 1
        before = _energy(cost[a], reference) + _energy(cost[b], reference)
        for i in range(size):
            move_node(group[i], b, nodes, walk)
        if other >= 0:
            low, high = span(other, nodes, walk)
            if low <= a <= high:
                move_node(other, a, nodes, walk)
            else:
                other = -1
        change = _energy(cost[a], reference) + _energy(cost[b], reference) - before
        fits = obeys_limit(a, nodes, walk) and obeys_limit(b, nodes, walk)
        if fits and (change <= 0 or _uniform(random) < np.exp(-change / temperature)):
            if max(cost[a], cost[b]) < best[0]:
                largest = 0
                for x in range(k):
                    largest = max(largest, cost[x])
                if largest < best[0]:
                    best[0] = largest
                    for i in range(n):
                        best_stage[i] = stage[i]
            continue
        if other >= 0:
            move_node(other, b, nodes, walk)
        for i in range(size - 1, -1, -1):
            move_node(group[i], a, nodes, walk)
