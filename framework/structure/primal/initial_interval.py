"""The first interval of a run: the simple bound and a balanced partition, in numpy alone."""

from __future__ import annotations

from collections import deque
from itertools import pairwise

import numpy as np

from framework.model.arrays import IntArray, prefix_sums
from framework.model.instance import Instance
from framework.model.problem import Partition, Problem, bottleneck, obeys
from framework.model.stage_limit import StageLimit
from framework.structure.primal.unrelated_machines import bound_by_weights, quick_weights

_WORK_FACTORS = (1.0, 1.1, 1.25, 1.5, 2.0, 4.0)
"""Multiples of the average work that stages may reach while one order is filled into stages with a hard limit."""


def simple_bound(problem: Problem) -> int:
    """Return the standard combinatorial bound in ticks.

    Some stage holds the node with the most work; and the k stages share all work and all parameters beyond
    what they can hold, so the largest is at least the average. Source: Archer et al., ICML 2024, section 3.

    Where stages are unequal, a node costs at least what it does where it is cheapest, and the average is that of
    `framework.structure.primal.unrelated_machines`, with weights by the speeds of devices.

    Where a hard limit leaves no partition because of one node or of the sum of all, it is above any cost.
    """
    instance, k = problem.instance, problem.useful_stages
    if instance.stage_limit is not None and _cannot_hold(instance, instance.stage_limit, k):
        return instance.largest_cost + 1
    # Whatever working set a stage has, it is no smaller than the smallest.
    beyond = max(0, instance.total_parameter_cost - k * instance.without_worksets().capacity)
    average = -(-(instance.total_work + beyond) // k)
    if instance.unequal is not None:
        average = max(average, bound_by_weights(instance, quick_weights(instance)))
    return max(int(instance.work.max()), average)


def balanced_partition(problem: Problem) -> Partition:
    """Return the better of one stage for all and k contiguous stages of about equal time.

    With a hard limit, stages are filled one after the other instead, each until the limit or about the average work is
    reached; where that is in vain, the answer may break the limit (`framework.model.problem.obeys`).
    """
    instance, k = problem.instance, problem.useful_stages
    first = 0 if instance.unequal is None else instance.unequal.fastest_stage
    together = Partition(stage_of=np.full(instance.n, first, np.int64))
    middle = np.cumsum(instance.work) - instance.work // 2
    if instance.unequal is None:
        stages = np.minimum(k - 1, middle * k // max(1, instance.total_work)).astype(np.int64)
    else:
        # A stage takes on as much as its device is fast.
        speed = 1.0 / np.maximum(1, instance.unequal.work.sum(1))[instance.unequal.device]
        ends = np.cumsum(speed)[:-1] / speed.sum() * instance.total_work
        stages = np.searchsorted(ends, middle, side="right").astype(np.int64)
    spread = Partition(stage_of=np.maximum.accumulate(stages))
    candidates = [together, spread]
    if instance.stage_limit is not None:
        candidates += _filled(instance, k) if instance.is_uniform else _filled_each(problem)
        candidates = [partition for partition in candidates if obeys(problem, partition)] or candidates
    return min(candidates, key=lambda partition: bottleneck(problem, partition))


def known_partition(problem: Problem, best: Partition | None) -> tuple[Partition, int]:
    """Return a partition to start from, the best one known if there is one, and its bottleneck in ticks as a cutoff.

    Where none is known that obeys a hard limit the cutoff is above any cost, and the partition is only a hint.
    """
    partition = best or balanced_partition(problem)
    if obeys(problem, partition):
        return partition, bottleneck(problem, partition)
    return partition, problem.instance.largest_cost + 1


def _cannot_hold(instance: Instance, limit: StageLimit, k: int) -> bool:
    """Whether a node or the sum of all is too large; with pins, every stage holds an anchor as well."""
    limit = limit.same_for_all
    alone = limit.sizes + limit.worksets + instance.shared.sums(limit.shared_sizes, np.arange(instance.n), instance.n)
    free = alone.copy()
    # An anchor may be one node with those pinned to its stage: what these hold is left out.
    free[limit.anchors] = 0
    room = limit.limit // 2 if len(limit.anchors) else limit.limit
    total = int(limit.sizes.sum()) + int(limit.shared_sizes.sum())
    return bool(free.max() > room or alone.max() > limit.limit or total > k * limit.additive)


def _filled(instance: Instance, k: int) -> list[Partition]:
    """Return partitions that obey the limit, made by filling stages in the order of the nodes; none if that fails.

    A stage is closed when the next node does not fit, or when it has its share of work and the nodes left need no more
    stages than are left.
    """
    assert instance.stage_limit is not None
    reach = _reach(instance, instance.stage_limit.limit)
    if bool((reach <= np.arange(instance.n)).any()):
        return []
    # How many stages are needed from each node on.
    needed = [0] * (instance.n + 1)
    for v in range(instance.n - 1, -1, -1):
        needed[v] = 1 + needed[int(reach[v])]
    if needed[0] > k:
        return []
    done = prefix_sums(instance.work)
    return [
        Partition(stage_of=_fill(reach, needed, done, k, int(factor * instance.total_work / k)))
        for factor in _WORK_FACTORS
    ]


def _filled_each(problem: Problem) -> list[Partition]:
    """Return the same where stages have limits or costs of their own; some may stay empty."""
    limit, prices, n = problem.instance.stage_limit, problem.prices, problem.instance.n
    assert limit is not None
    devices = problem.instance.on_each_device()
    pairs = list(zip(prices.device.tolist(), limit.rooms(prices.stages).tolist(), strict=True))
    distinct = sorted(set(pairs))
    of_stage = [distinct.index(pair) for pair in pairs]
    reach = [np.append(_reach(devices[device], room), n) for device, room in distinct]
    # The first node from which on all that is left fits into the stages from each one on.
    first = [n] * (prices.stages + 1)
    for b in range(prices.stages - 1, -1, -1):
        first[b] = int(np.searchsorted(reach[of_stage[b]], first[b + 1]))
    if first[0] > 0:
        return []
    done = np.concatenate((np.zeros((prices.kinds, 1), np.int64), np.cumsum(prices.work, axis=1)), axis=1)
    average = 1.0 / (1.0 / np.maximum(1, done[prices.device, -1])).sum()
    partitions = []
    for factor in _WORK_FACTORS:
        ends = [0]
        for b, device in enumerate(prices.device.tolist()):
            most = done[device, ends[-1]] + int(factor * average)
            end = max(first[b + 1], int(np.searchsorted(done[device], most, side="right")) - 1)
            ends.append(min(end, int(reach[of_stage[b]][ends[-1]])))
        partitions.append(Partition(stage_of=np.repeat(np.arange(prices.stages), np.diff(ends))))
    return partitions


def _reach(instance: Instance, most: int) -> IntArray:
    """Return how far a stage that begins at each node reaches in their order before it holds too much, ``[n]``."""
    limit, shared = instance.stage_limit, instance.shared
    assert limit is not None
    held = prefix_sums(limit.sizes)
    if not len(shared) and not limit.worksets.any():
        return np.searchsorted(held, held[:-1] + most, side="right").astype(np.int64) - 1
    ptr, used = (array.tolist() for array in shared.of_nodes(instance.n))
    own, sizes, worksets = limit.sizes.tolist(), limit.shared_sizes.tolist(), limit.worksets.tolist()
    users = [0] * len(shared)
    reach, end, total = [0] * instance.n, 0, 0
    # The nodes of the stage that no later one of it exceeds in working set: the first has the largest.
    largest: deque[int] = deque()
    for v in range(instance.n):
        while largest and largest[0] < v:
            largest.popleft()
        while end < instance.n:
            more = own[end] + sum(sizes[q] for q in used[ptr[end] : ptr[end + 1]] if not users[q])
            working = max(worksets[end], worksets[largest[0]] if largest else 0)
            if total + more + working > most:
                break
            total += more
            while largest and worksets[largest[-1]] <= worksets[end]:
                largest.pop()
            largest.append(end)
            for q in used[ptr[end] : ptr[end + 1]]:
                users[q] += 1
            end += 1
        reach[v] = end
        if end == v:
            end += 1
            continue
        total -= own[v]
        for q in used[ptr[v] : ptr[v + 1]]:
            users[q] -= 1
            if not users[q]:
                total -= sizes[q]
    return np.array(reach, np.int64)


def _fill(reach: IntArray, needed: list[int], done: IntArray, k: int, share: int) -> IntArray:
    n = len(reach)
    boundaries = [0]
    while boundaries[-1] < n:
        start, left = boundaries[-1], k - len(boundaries)
        full = int(reach[start])
        end = full if left else n
        if left:
            end = min(full, max(start + 1, int(np.searchsorted(done, done[start] + share, side="right")) - 1))
            while end < full and needed[end] > left:
                end += 1
        boundaries.append(end)
    return np.concatenate([np.full(end - start, b) for b, (start, end) in enumerate(pairwise(boundaries))])
