"""Slicing and filling count shared parameters once per segment, as the evaluator does."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations_with_replacement

import numpy as np
import pytest

from framework.model.problem import Partition, Problem, bottleneck, obeys
from framework.structure.primal.initial_interval import balanced_partition
from framework.structure.primal.layout import lay_out
from framework.structure.primal.slicing import Slicer
from framework.testing.instances import random_memory_problem, random_shared_problem, random_workset_problem


@pytest.mark.parametrize("draw", [random_shared_problem, random_memory_problem, random_workset_problem])
@pytest.mark.parametrize("seed", range(80))
def test_the_best_slicing_is_found(draw: Callable[[int], Problem], seed: int) -> None:
    problem = draw(seed)
    n, k = problem.instance.n, problem.useful_stages
    best: int | None = None
    for cuts in combinations_with_replacement(range(n + 1), k - 1):
        stage_of = np.searchsorted(np.array(cuts), np.arange(n), side="right").astype(np.int64)
        partition = Partition(stage_of=stage_of)
        if obeys(problem, partition):
            value = bottleneck(problem, partition)
            best = value if best is None else min(best, value)
    found = Slicer(problem.instance, np.arange(n)).solve(k)
    if best is None:
        assert found is None or not obeys(problem, found.partition)
    else:
        assert found is not None
        assert (found.value, bottleneck(problem, found.partition)) == (best, best)


@pytest.mark.parametrize("draw", [random_shared_problem, random_memory_problem, random_workset_problem])
@pytest.mark.parametrize("seed", range(80))
def test_segments_reach_as_far_as_they_may(draw: Callable[[int], Problem], seed: int) -> None:
    instance = draw(seed).instance
    limit, shared, n = instance.stage_limit, instance.shared, instance.n
    reach = lay_out(instance, np.arange(n)).reach
    for i in range(n):
        if limit is None:
            assert reach[i] == n
            continue

        def holds(begin: int, end: int) -> int:
            used = np.unique(shared.pins[(shared.users >= begin) & (shared.users < end)])
            working = limit.worksets[begin:end].max(initial=0)
            return int(limit.sizes[begin:end].sum() + limit.shared_sizes[used].sum() + working)

        assert holds(i, reach[i]) <= limit.limit
        assert reach[i] == n or holds(i, reach[i] + 1) > limit.limit


@pytest.mark.parametrize("draw", [random_shared_problem, random_memory_problem, random_workset_problem])
@pytest.mark.parametrize("seed", range(200))
def test_a_start_within_the_limit_is_found_where_one_order_has_one(draw: Callable[[int], Problem], seed: int) -> None:
    problem = draw(seed)
    sliced = Slicer(problem.instance, np.arange(problem.instance.n)).solve(problem.useful_stages)
    if sliced is not None and obeys(problem, sliced.partition):
        assert obeys(problem, balanced_partition(problem))
