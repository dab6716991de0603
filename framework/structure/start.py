"""Both sides of the interval in numpy alone, so that a run has something from its first moment on."""

from __future__ import annotations

import numpy as np

from framework.model.problem import Partition, Problem, bottleneck


def simple_bound(problem: Problem) -> int:
    """Return the standard combinatorial bound in ticks.

    Some stage holds the node with the most work; and the k stages share all work and all parameters beyond
    what they can hold, so the largest is at least the average. Source: Archer et al., ICML 2024, section 3.
    """
    instance, k = problem.instance, problem.useful_stages
    beyond = max(0, instance.total_parameter_cost - k * instance.capacity)
    average = -(-(instance.total_work + beyond) // k)
    return max(int(instance.work.max()), average)


def balanced_partition(problem: Problem) -> Partition:
    """Return the better of one stage for all and k contiguous stages of about equal work."""
    instance, k = problem.instance, problem.useful_stages
    together = Partition(stage_of=np.zeros(instance.n, np.int64))
    middle = np.cumsum(instance.work) - instance.work // 2
    stages = np.minimum(k - 1, middle * k // max(1, instance.total_work)).astype(np.int64)
    spread = Partition(stage_of=np.maximum.accumulate(stages))
    return min(together, spread, key=lambda partition: bottleneck(problem, partition))
