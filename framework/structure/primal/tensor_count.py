"""How many stages must pay for a tensor whose producer and consumers do not fit into one stage."""

from __future__ import annotations

import numpy as np

from framework.model.arrays import IntArray
from framework.model.problem import Problem
from framework.structure.primal.initial_interval import simple_bound


def tensor_count_bound(problem: Problem) -> int:
    """Return the least threshold that the count of tensors does not refute, in ticks; never below `simple_bound`.

    Theorem: at a threshold T, let W_t be the work of the producer and the consumers of a tensor t, and c_t its cost.
    If W_t > T, no stage holds them all, so that each stage that holds one of them pays c_t, has at most T - c_t left
    for them, and there are at least s_t = ceil(W_t / (T - c_t)) such stages. So T is refuted if some s_t exceeds the
    number k of stages or of these nodes, or if

        work + (parameters beyond k capacities) + sum of c_t s_t over all t with W_t > T   exceeds   k T.

    All this only gets less as T grows, so that the least threshold that is left is found by bisection.
    """
    instance, k = problem.instance, problem.useful_stages
    low = simple_bound(problem)
    if not instance.m or low > instance.largest_cost:
        return low
    top = instance.topology
    shared = instance.work[top.producer] + np.add.reduceat(instance.work[top.consumers], top.consumer_ptr[:-1])
    matter = (shared > low) & (instance.tensor_cost > 0)
    cost, shared = instance.tensor_cost[matter], shared[matter]
    members = np.minimum(1 + np.diff(top.consumer_ptr)[matter], k)
    fixed = instance.total_work + max(0, instance.total_parameter_cost - k * instance.capacity)
    # One stage for all is a partition, so that its cost is not refuted.
    high = max(low, instance.total_work + max(0, instance.total_parameter_cost - instance.capacity))
    while low < high:
        threshold = (low + high) // 2
        if _refuted(threshold, k, fixed, cost, shared, members):
            low = threshold + 1
        else:
            high = threshold
    return low


def _refuted(threshold: int, k: int, fixed: int, cost: IntArray, shared: IntArray, members: IntArray) -> bool:
    cut = shared > threshold
    room = threshold - cost[cut]
    if bool((room <= 0).any()):
        return True
    stages = -(-shared[cut] // room)
    if bool((stages > members[cut]).any()):
        return True
    # At most the cost of a tensor for each of its nodes, whose sum instances bound: no overflow.
    return fixed + int((cost[cut] * stages).sum()) > k * threshold
