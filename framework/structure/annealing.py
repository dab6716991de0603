"""Simulated annealing of a partition: single nodes and small convex groups move between stages.

The energy is the sum over stages of (f_b / reference)^16, a smooth stand-in for the largest f_b: near it only the most
expensive stages count, yet a plateau of the maximum still has a slope. A move of one node goes anywhere between the
last stage of its predecessors and the first stage of its successors; a compound move takes a node together with
its descendants (ancestors) of the same stage to the next (previous) stage. Per tensor and stage the number of consumers
is kept, so the change of both stages follows in O(degree). Stage costs are exact integers; only the energy is a float,
and it only decides what to accept.

Source: the neighbourhood and energy are this project's own (methods.md B6).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from framework.model.problem import Partition, Problem, stage_costs
from framework.model.topology import IntArray

HOTTEST, COLDEST = 0.5, 0.02
"""Temperatures of a full cooling, in units of the energy of a stage at the reference."""
COMPOUND_SHARE = 0.15
LARGEST_TABLE = 1 << 27
"""Entries of the table of consumers per tensor and stage; beyond, it would not fit into a member's memory."""
LARGEST_GROUP = 60
"""Nodes of a compound move; larger groups are rarely accepted and dear to try."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cooling:
    """A stretch of the schedule: so many moves, the temperature falling geometrically."""

    moves: int
    hottest: float = HOTTEST
    coldest: float = COLDEST


class Annealer:
    """Anneals partitions of one problem; the state goes on from call to call.

    Parameters
    ----------
    partition
        Where to start.
    seed
        Seed of the moves: the same calls with the same seed give the same partitions.

    Attributes
    ----------
    best
        Lowest bottleneck met, in ticks.
    """

    def __init__(self, problem: Problem, partition: Partition, seed: int) -> None:
        self._problem = problem
        instance = problem.instance
        k = problem.useful_stages
        self._counts = np.zeros((instance.m, k), np.int32)
        self._cost = np.zeros(k, np.int64)
        self._parameters = np.zeros(k, np.int64)
        self._stage = np.zeros(instance.n, np.int64)
        self._best_stage = np.zeros(instance.n, np.int64)
        self._random = np.array([(seed * 0x9E3779B97F4A7C15 + 0x1234567) & ((1 << 64) - 1)], np.uint64)
        self._values = np.zeros(1, np.int64)
        self.restart(partition)
        self._values[0] = self._cost.max()

    @property
    def best(self) -> int:
        """Lowest bottleneck met so far, in ticks."""
        return int(self._values[0])

    def best_partition(self) -> Partition:
        """Return a partition that attains `best`."""
        return Partition(stage_of=self._best_stage.copy())

    def current_partition(self) -> Partition:
        """Return the partition the walk stands at."""
        return Partition(stage_of=self._stage.copy())

    def restart(self, partition: Partition) -> None:
        """Go on from another partition; `best` stays unless this one is better."""
        instance, top = self._problem.instance, self._problem.instance.topology
        k = len(self._cost)
        self._stage[:] = _used_stages(partition.stage_of, k)
        self._cost[:] = stage_costs(self._problem, Partition(stage_of=self._stage)).total[:k]
        self._parameters[:] = 0
        np.add.at(self._parameters, self._stage, instance.parameter_cost)
        self._counts[:] = 0
        tensor = np.repeat(np.arange(instance.m), np.diff(top.consumer_ptr))
        np.add.at(self._counts, (tensor, self._stage[top.consumers]), 1)
        if not self._values[0] or int(self._cost.max()) < self.best:
            self._values[0] = self._cost.max()
            self._best_stage[:] = self._stage

    def cool(self, cooling: Cooling) -> None:
        """Make the moves of a stretch of the schedule."""
        instance, top = self._problem.instance, self._problem.instance.topology
        if len(self._cost) < 2 or self.best == 0:
            return
        _anneal(
            instance.work,
            instance.parameter_cost,
            instance.tensor_cost,
            # A capacity that everything fits into keeps sums small.
            min(instance.capacity, instance.total_parameter_cost),
            top.producer,
            top.consumer_ptr,
            top.in_ptr,
            top.in_tensors,
            top.out_ptr,
            top.out_tensors,
            top.succ_ptr,
            top.succs,
            top.pred_ptr,
            top.preds,
            cooling.moves,
            cooling.hottest,
            cooling.coldest,
            self._stage,
            self._counts,
            self._cost,
            self._parameters,
            self._best_stage,
            self._values,
            self._random,
        )


def _used_stages(stage_of: IntArray, k: int) -> IntArray:
    """Number the stages that are used from 0 when k or more are allowed than there are nodes."""
    if int(stage_of.max()) < k:
        return stage_of
    return np.unique(stage_of, return_inverse=True)[1].astype(np.int64)


@njit(cache=True)
def _next(state: NDArray[np.uint64]) -> np.uint64:
    """Return 64 random bits (splitmix64)."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    z = state[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.uint64(z ^ (z >> np.uint64(31)))


@njit(cache=True)
def _uniform(state: NDArray[np.uint64]) -> float:
    return float(_next(state) >> np.uint64(11)) * (1.0 / (1 << 53))


@njit(cache=True)
def _below(state: NDArray[np.uint64], n: int) -> int:
    return int(_next(state) % np.uint64(n))


@njit(cache=True)
def _energy(cost: int, reference: float) -> float:
    x = cost / reference
    x *= x
    x *= x
    x *= x
    return float(x * x)


@njit(cache=True)
def _move(
    v: int,
    b: int,
    work: IntArray,
    parameters_of: IntArray,
    tensor_cost: IntArray,
    capacity: int,
    producer: IntArray,
    consumer_ptr: IntArray,
    in_ptr: IntArray,
    in_tensors: IntArray,
    out_ptr: IntArray,
    out_tensors: IntArray,
    stage: IntArray,
    counts: NDArray[np.int32],
    cost: IntArray,
    parameters: IntArray,
) -> None:
    """Move v to stage b and update the costs of both stages."""
    a = stage[v]
    from_a, to_b = -work[v], work[v]
    from_a += max(0, parameters[a] - parameters_of[v] - capacity) - max(0, parameters[a] - capacity)
    to_b += max(0, parameters[b] + parameters_of[v] - capacity) - max(0, parameters[b] - capacity)
    for i in range(in_ptr[v], in_ptr[v + 1]):
        t = in_tensors[i]
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
    for i in range(out_ptr[v], out_ptr[v + 1]):
        t = out_tensors[i]
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
    stage[v] = b


@njit(cache=True)
def _anneal(
    work: IntArray,
    parameters_of: IntArray,
    tensor_cost: IntArray,
    capacity: int,
    producer: IntArray,
    consumer_ptr: IntArray,
    in_ptr: IntArray,
    in_tensors: IntArray,
    out_ptr: IntArray,
    out_tensors: IntArray,
    succ_ptr: IntArray,
    succs: IntArray,
    pred_ptr: IntArray,
    preds: IntArray,
    moves: int,
    hottest: float,
    coldest: float,
    stage: IntArray,
    counts: NDArray[np.int32],
    cost: IntArray,
    parameters: IntArray,
    best_stage: IntArray,
    best: IntArray,
    random: NDArray[np.uint64],
) -> None:
    n, k = len(work), len(cost)
    mark = np.full(n, -1, np.int64)
    group = np.empty(LARGEST_GROUP + 1, np.int64)
    temperature = hottest
    falling = (coldest / hottest) ** (256.0 / max(256, moves))
    for move in range(moves):
        if move % 256 == 255:
            temperature *= falling
        reference = float(best[0])
        v = _below(random, n)
        a = stage[v]
        size = 1
        group[0] = v
        if _uniform(random) < COMPOUND_SHARE:
            right = _next(random) >> np.uint64(63) == 1
            b = a + 1 if right else a - 1
            if b < 0 or b >= k:
                continue
            size = _collect(v, right, stage, succ_ptr, succs, pred_ptr, preds, mark, move, group)
            if size < 2:
                continue
        else:
            low, high = 0, k - 1
            for i in range(pred_ptr[v], pred_ptr[v + 1]):
                low = max(low, stage[preds[i]])
            for i in range(succ_ptr[v], succ_ptr[v + 1]):
                high = min(high, stage[succs[i]])
            if low == high:
                continue
            b = low + _below(random, high - low)
            if b >= a:
                b += 1
        before = _energy(cost[a], reference) + _energy(cost[b], reference)
        for i in range(size):
            _move(
                group[i],
                b,
                work,
                parameters_of,
                tensor_cost,
                capacity,
                producer,
                consumer_ptr,
                in_ptr,
                in_tensors,
                out_ptr,
                out_tensors,
                stage,
                counts,
                cost,
                parameters,
            )
        change = _energy(cost[a], reference) + _energy(cost[b], reference) - before
        if change <= 0 or _uniform(random) < np.exp(-change / temperature):
            if max(cost[a], cost[b]) < best[0] and cost.max() < best[0]:
                best[0] = cost.max()
                best_stage[:] = stage
            continue
        for i in range(size - 1, -1, -1):
            _move(
                group[i],
                a,
                work,
                parameters_of,
                tensor_cost,
                capacity,
                producer,
                consumer_ptr,
                in_ptr,
                in_tensors,
                out_ptr,
                out_tensors,
                stage,
                counts,
                cost,
                parameters,
            )


@njit(cache=True)
def _collect(
    v: int,
    right: bool,
    stage: IntArray,
    succ_ptr: IntArray,
    succs: IntArray,
    pred_ptr: IntArray,
    preds: IntArray,
    mark: IntArray,
    stamp: int,
    group: IntArray,
) -> int:
    """Fill `group` with v and its descendants (or ancestors) of the same stage, in an order they can move in.

    Returns their number, 0 if there are too many. Moving right, a node moves before its predecessors, that is in
    falling numbers; moving left, in rising numbers.
    """
    ptr, items = (succ_ptr, succs) if right else (pred_ptr, preds)
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
    group[:size].sort()
    if right:
        group[:size] = group[:size][::-1].copy()
    return size
