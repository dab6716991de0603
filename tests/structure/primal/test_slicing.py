"""Slicing against the best over all slicings of the order."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.errors import OutOfTimeError
from framework.model.arrays import IntArray
from framework.model.instance import MAX_TOTAL, Instance, instance_from_lists
from framework.model.problem import Partition, Problem, bottleneck, stage_costs
from framework.structure.poset.topological_orders import OrderKind, order_of_partition, topological_order
from framework.structure.primal.slicing import Slicer
from framework.testing.brute_force import stage_cost
from framework.testing.instances import random_instance, random_layered_instance

seeds = st.integers(0, 2**32 - 1)


def _segment_costs(instance: Instance, order: IntArray) -> IntArray:
    """Return the cost of every segment [i, j) of the order, priced as a stage from the definition."""
    n = instance.n
    costs = np.zeros((n + 1, n + 1), np.int64)
    for i in range(n):
        members = 0
        for j in range(i + 1, n + 1):
            members |= 1 << int(order[j - 1])
            costs[i, j] = stage_cost(instance, members)
    return costs


def _best_slicing(costs: IntArray, stages: int) -> int:
    """Return the least bottleneck over all slicings into at most `stages` segments."""
    n = len(costs) - 1
    best = np.full(n + 1, np.iinfo(np.int64).max)
    best[0] = 0
    for _ in range(min(stages, n)):
        best = np.array(
            [min(best[j], *(max(best[i], costs[i, j]) for i in range(j))) if j else 0 for j in range(n + 1)]
        )
    return int(best[n])


def _noisy_order(instance: Instance, seed: int) -> IntArray:
    return topological_order(instance, OrderKind.DFS, reverse=bool(seed % 2), noise=1.0, seed=seed)


def _check(instance: Instance, order: IntArray, stages: int, expected: int) -> None:
    problem = Problem(instance=instance, stages=stages)
    slicer = Slicer(instance, order)
    best = slicer.solve(stages)
    assert best is not None
    assert best.value == expected == bottleneck(problem, best.partition)
    within = slicer.feasible(stages, expected)
    assert within is not None
    assert bottleneck(problem, within) <= expected
    assert slicer.feasible(stages, expected - 1) is None


@given(seeds, st.integers(1, 12))
@settings(max_examples=400, derandomize=True, deadline=None)
def test_small_orders(seed: int, stages: int) -> None:
    instance = random_instance(seed, 11)
    order = _noisy_order(instance, seed)
    _check(instance, order, stages, _best_slicing(_segment_costs(instance, order), stages))


@pytest.mark.parametrize("capacity_share", [None, 0.03])
@pytest.mark.parametrize("width", [2, 6, 50])
def test_longer_orders_where_corners_are_carried(width: int, capacity_share: float | None) -> None:
    instance = random_layered_instance(width, 60, width=width, capacity_share=capacity_share)
    for order in (np.arange(60, dtype=np.int64), _noisy_order(instance, 1)):
        costs = _segment_costs(instance, order)
        for stages in (1, 2, 3, 5, 9, 20):
            _check(instance, order, stages, _best_slicing(costs, stages))


@given(seeds, st.integers(0, 60))
@settings(max_examples=150, derandomize=True, deadline=None)
def test_every_threshold_is_decided_right(seed: int, threshold: int) -> None:
    instance = random_instance(seed, 10)
    order = _noisy_order(instance, seed)
    costs = _segment_costs(instance, order)
    for stages in (2, 4):
        satisfied = Slicer(instance, order).feasible(stages, threshold) is not None
        assert satisfied == (_best_slicing(costs, stages) <= threshold)


def test_small_kernel_calls_change_nothing() -> None:
    instance = random_layered_instance(9, 80, width=8, capacity_share=0.1)
    order = np.arange(80, dtype=np.int64)
    whole = Slicer(instance, order).solve(6)
    calls: list[int] = []
    slicer = Slicer(instance, order)
    slicer.steps_a_call = 1
    parts = slicer.solve(6, should_stop=_count(calls, 10**9))
    assert whole is not None
    assert parts is not None
    assert parts.value == whole.value
    assert len(calls) > 100


def _count(calls: list[int], limit: int) -> Callable[[], bool]:
    def should_stop() -> bool:
        calls.append(1)
        return len(calls) > limit

    return should_stop


@given(seeds, st.integers(1, 6))
@settings(max_examples=200, derandomize=True, deadline=None)
def test_upper_and_lower(seed: int, stages: int) -> None:
    instance = random_instance(seed, 10)
    slicer = Slicer(instance, _noisy_order(instance, seed))
    best = slicer.solve(stages)
    assert best is not None
    assert slicer.solve(stages, upper=best.value) is None
    for upper in (best.value + 1, best.value * 2 + 3):
        for lower in (0, best.value):
            again = slicer.solve(stages, upper=upper, lower=lower)
            assert again is not None
            assert again.value == best.value


def test_the_corner_is_passed_on_although_cost_falls_as_a_segment_grows() -> None:
    # Cutting after 1 or 2 pays 50 on both sides; the segment that holds 0..3 is cheaper than 0..1.
    instance = instance_from_lists([5, 5, 5, 5, 5, 5], [(0, 25, [3]), (1, 25, [3]), (3, 1, [4]), (4, 1, [5])])
    _check(instance, np.arange(6, dtype=np.int64), 2, 21)


def test_an_order_of_a_partition_is_sliced_at_least_as_well() -> None:
    instance = random_layered_instance(11, 200, width=20, capacity_share=0.1)
    problem = Problem(instance=instance, stages=7)
    partition = Partition(stage_of=np.arange(200, dtype=np.int64) * 7 // 200)
    best = Slicer(instance, order_of_partition(instance, partition)).solve(7)
    assert best is not None
    assert best.value <= bottleneck(problem, partition)


def test_a_long_chain_is_split_evenly() -> None:
    n, stages = 20_000, 16
    instance = instance_from_lists([3] * n, [(v, 1, [v + 1]) for v in range(n - 1)])
    best = Slicer(instance, np.arange(n, dtype=np.int64)).solve(stages)
    assert best is not None
    totals = stage_costs(Problem(instance=instance, stages=stages), best.partition).total
    assert best.value == totals.max() == 3 * n // stages + 2


def test_more_stages_than_nodes() -> None:
    instance = instance_from_lists([4, 6], [(0, 1, [1])])
    best = Slicer(instance, np.arange(2, dtype=np.int64)).solve(1000)
    assert best is not None
    assert best.value == 7


def test_costs_of_zero() -> None:
    best = Slicer(instance_from_lists([0, 0], []), np.arange(2, dtype=np.int64)).solve(2)
    assert best is not None
    assert best.value == 0


def test_the_largest_costs_stay_inside_int64() -> None:
    huge = MAX_TOTAL // 8
    instance = instance_from_lists(
        [huge] * 4, [(0, 0, [1])], parameter_cost=[huge // 2] * 4, capacity=huge, name="huge"
    )
    slicer = Slicer(instance, np.arange(4, dtype=np.int64))
    best = slicer.solve(3)
    assert best is not None
    assert best.value == 2 * huge
    assert slicer.feasible(4, 1 << 62) is not None
    assert slicer.feasible(4, -1) is None


def test_stopping() -> None:
    instance = random_layered_instance(12, 300, width=10)
    slicer = Slicer(instance, np.arange(300, dtype=np.int64))
    optimum = slicer.solve(5)
    with pytest.raises(OutOfTimeError):
        slicer.feasible(5, 1000, should_stop=lambda: True)
    assert slicer.solve(5, should_stop=lambda: True) is None
    early = slicer.solve(5, upper=10**9, should_stop=_count([], 2))
    assert optimum is not None
    assert early is not None
    assert early.value > optimum.value
    assert early.value == bottleneck(Problem(instance=instance, stages=5), early.partition)


@pytest.mark.parametrize("order", [[1, 0, 2], [0, 1], [0, 1, 1], [0, 1, 3], [0, 1, 2, 2], [-1, 0, 1]])
def test_what_is_no_topological_order_is_refused(order: list[int]) -> None:
    instance = instance_from_lists([1] * 3, [(0, 1, [1]), (1, 1, [2])])
    with pytest.raises(ValueError, match="topological"):
        Slicer(instance, np.array(order, np.int64))


def test_no_stages_are_refused() -> None:
    instance = random_instance(1)
    with pytest.raises(ValueError, match="stages"):
        Slicer(instance, np.arange(instance.n)).solve(0)
