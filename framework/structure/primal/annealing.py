"""Simulated annealing of a partition: single nodes and small convex groups move between stages.

The energy is the sum over stages of (f_b / reference)^16, a smooth stand-in for the largest f_b: near it only the most
expensive stages count, yet a plateau of the maximum still has a slope. A move of one node goes anywhere between the
last stage of its predecessors and the first stage of its successors; a compound move takes a node together with
its descendants (ancestors) of the same stage to the next (previous) stage; a swap exchanges two nodes of different
stages, which matters where stages hold few nodes. Per tensor and stage the number of consumers
is kept, so the change of both stages follows in O(degree). Stage costs are exact integers; only the energy is a float,
and it only decides what to accept.

Source: this project, for the neighbourhood and the energy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from framework.model.arrays import SPLITMIX_STEP, IntArray
from framework.model.problem import Partition, Problem, stage_costs
from framework.structure.kernel import allocating_kernel, kernel
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
LARGEST_GROUP = 60
"""Nodes of a compound move; larger groups are rarely accepted and dear to try."""


class _Nodes(NamedTuple):
    """What the kernels need of an instance."""

    work: IntArray
    parameters: IntArray
    tensor_cost: IntArray
    capacity: int
    sizes: IntArray
    size_limit: int
    producer: IntArray
    consumer_ptr: IntArray
    in_ptr: IntArray
    in_tensors: IntArray
    out_ptr: IntArray
    out_tensors: IntArray
    succ_ptr: IntArray
    succs: IntArray
    pred_ptr: IntArray
    preds: IntArray


class _Walk(NamedTuple):
    """The partition the walk stands at: stage per node, consumers per tensor and stage, what stages cost and hold."""

    stage: IntArray
    counts: NDArray[np.int32]
    cost: IntArray
    parameters: IntArray
    held: IntArray


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
        instance, top = problem.instance, problem.instance.topology
        k = problem.useful_stages
        limit = instance.stage_limit
        self._nodes = _Nodes(
            work=instance.work,
            parameters=instance.parameter_cost,
            tensor_cost=instance.tensor_cost,
            capacity=instance.bounded_capacity,
            sizes=np.zeros(instance.n, np.int64) if limit is None else limit.sizes,
            size_limit=0 if limit is None else limit.limit,
            producer=top.producer,
            consumer_ptr=top.consumer_ptr,
            in_ptr=top.in_ptr,
            in_tensors=top.in_tensors,
            out_ptr=top.out_ptr,
            out_tensors=top.out_tensors,
            succ_ptr=top.succ_ptr,
            succs=top.succs,
            pred_ptr=top.pred_ptr,
            preds=top.preds,
        )
        self._walk = _Walk(
            stage=np.zeros(instance.n, np.int64),
            counts=np.zeros((instance.m, k), np.int32),
            cost=np.zeros(k, np.int64),
            parameters=np.zeros(k, np.int64),
            held=np.zeros(k, np.int64),
        )
        self._best_stage = np.zeros(instance.n, np.int64)
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
        instance, top = self._problem.instance, self._problem.instance.topology
        k = len(self._walk.cost)
        self._walk.stage[:] = _used_stages(partition.stage_of, k)
        self._walk.cost[:] = stage_costs(self._problem, Partition(stage_of=self._walk.stage)).total[:k]
        self._walk.parameters[:] = 0
        np.add.at(self._walk.parameters, self._walk.stage, instance.parameter_cost)
        self._walk.held[:] = 0
        np.add.at(self._walk.held, self._walk.stage, self._nodes.sizes)
        self._walk.counts[:] = 0
        tensor = np.repeat(np.arange(instance.m), np.diff(top.consumer_ptr))
        np.add.at(self._walk.counts, (tensor, self._walk.stage[top.consumers]), 1)
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


def polish(problem: Problem, partition: Partition, seed: int, should_stop: Callable[[], bool]) -> Partition:
    """Return the best partition a short cold walk meets: for partitions that are good but in details.

    Of a plan of `framework.structure.fluid.chain_dp`, which places the nodes that matter well together, it makes
    partitions that walks from elsewhere do not find: 1.6% below the best of ten seconds on a diffusion transformer in
    32 stages.
    """
    if problem.instance.m * problem.useful_stages > LARGEST_TABLE:
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


@kernel
def _move(v: int, b: int, nodes: _Nodes, walk: _Walk) -> None:
    """Move v to stage b and update the costs of both stages."""
    work, parameters_of, tensor_cost, capacity = nodes.work, nodes.parameters, nodes.tensor_cost, nodes.capacity
    producer, consumer_ptr = nodes.producer, nodes.consumer_ptr
    stage, counts, cost, parameters = walk.stage, walk.counts, walk.cost, walk.parameters
    a = stage[v]
    from_a, to_b = -work[v], work[v]
    from_a += max(0, parameters[a] - parameters_of[v] - capacity) - max(0, parameters[a] - capacity)
    to_b += max(0, parameters[b] + parameters_of[v] - capacity) - max(0, parameters[b] - capacity)
    for i in range(nodes.in_ptr[v], nodes.in_ptr[v + 1]):
        t = nodes.in_tensors[i]
        home = stage[producer[t]]
        consumers = consumer_ptr[t + 1] - consumer_ptr[t]
        if home != a:
            if counts[t, a] == 1:
                from_a -= tensor_cost[t]
        elif counts[t, a] == consumers:
            from_a += tensor_cost[t]
        if home != b:
            if counts[t, b] == 0:
                to_b += tensor_cost[t]
        elif consumers - counts[t, b] == 1:
            to_b -= tensor_cost[t]
        counts[t, a] -= 1
        counts[t, b] += 1
    for i in range(nodes.out_ptr[v], nodes.out_ptr[v + 1]):
        t = nodes.out_tensors[i]
        consumers = consumer_ptr[t + 1] - consumer_ptr[t]
        if counts[t, a] < consumers:
            from_a -= tensor_cost[t]
        if counts[t, a] > 0:
            from_a += tensor_cost[t]
        if counts[t, b] > 0:
            to_b -= tensor_cost[t]
        if counts[t, b] < consumers:
            to_b += tensor_cost[t]
    cost[a] += from_a
    cost[b] += to_b
    parameters[a] -= parameters_of[v]
    parameters[b] += parameters_of[v]
    walk.held[a] -= nodes.sizes[v]
    walk.held[b] += nodes.sizes[v]
    stage[v] = b


@allocating_kernel
def _anneal(
    nodes: _Nodes,
    walk: _Walk,
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
            size = _collect(v, right, nodes, walk, mark, move, group)
            if size < 2:
                continue
        else:
            low, high = _span(v, nodes, walk)
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
            _move(group[i], b, nodes, walk)
        if other >= 0:
            low, high = _span(other, nodes, walk)
            if low <= a <= high:
                _move(other, a, nodes, walk)
            else:
                other = -1
        change = _energy(cost[a], reference) + _energy(cost[b], reference) - before
        fits = walk.held[a] <= nodes.size_limit and walk.held[b] <= nodes.size_limit
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
            _move(other, b, nodes, walk)
        for i in range(size - 1, -1, -1):
            _move(group[i], a, nodes, walk)


@kernel
def _span(v: int, nodes: _Nodes, walk: _Walk) -> tuple[int, int]:
    """Return the first and last stage that v may move to while all others stay."""
    stage = walk.stage
    low, high = 0, len(walk.cost) - 1
    for i in range(nodes.pred_ptr[v], nodes.pred_ptr[v + 1]):
        low = max(low, stage[nodes.preds[i]])
    for i in range(nodes.succ_ptr[v], nodes.succ_ptr[v + 1]):
        high = min(high, stage[nodes.succs[i]])
    return low, high


@kernel
def _collect(v: int, right: bool, nodes: _Nodes, walk: _Walk, mark: IntArray, stamp: int, group: IntArray) -> int:
    """Fill `group` with v and its descendants (or ancestors) of the same stage, in an order they can move in.

    Returns their number, 0 if there are too many. Moving right, a node moves before its predecessors, that is in
    falling numbers; moving left, in rising numbers.
    """
    stage = walk.stage
    ptr, items = (nodes.succ_ptr, nodes.succs) if right else (nodes.pred_ptr, nodes.preds)
    mark[v] = stamp
    group[0] = v
    size = 1
    taken = 0
    while taken < size:
        u = group[taken]
        taken += 1
        for i in range(ptr[u], ptr[u + 1]):
            x = items[i]
            if stage[x] == stage[v] and mark[x] != stamp:
                if size > LARGEST_GROUP - 1:
                    return 0
                mark[x] = stamp
                group[size] = x
                size += 1
    # At most `LARGEST_GROUP`, so the simplest sort will do.
    for i in range(1, size):
        x = group[i]
        j = i
        while j > 0 and (group[j - 1] < x) == right:
            group[j] = group[j - 1]
            j -= 1
        group[j] = x
    return size
