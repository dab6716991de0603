"""Slicing into unequal stages against the best over all slicings of the order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from framework.errors import OutOfTimeError
from framework.model.arrays import IntArray
from framework.model.instance import MAX_TOTAL, Instance, instance_from_lists
from framework.model.problem import Partition, Problem, bottleneck, check_limit
from framework.model.unequal import make_unequal
from framework.structure.poset.topological_orders import OrderKind, topological_order
from framework.structure.primal.slicing import Slicer
from framework.structure.reduction.hard_limits import limit_memory
from framework.structure.unequal.slicing import UnequalSlicer, slicer_of
from framework.testing.brute_force import stage_cost
from framework.testing.instances import random_layered_instance, random_unequal_problem


def best_slicing(problem: Problem, order: IntArray) -> int | None:
    """Return the least bottleneck over all slicings of an order that obey the limit; None if there is none."""
    instance, n = problem.instance, problem.instance.n
    assert instance.unequal is not None
    devices = instance.on_each_device()
    best: dict[int, int] = {0: 0}
    for b, device in enumerate(instance.unequal.device.tolist()):
        reached = dict(best)
        for i, value in best.items():
            for j in range(i + 1, n + 1):
                # A hard limit is one of this stage alone: the others hold nothing.
                alone = np.full(n, -1)
                alone[order[i:j]] = b
                if not fits(instance, alone == b, b):
                    continue
                price = stage_cost(devices[device], sum(1 << int(v) for v in order[i:j]))
                reached[j] = min(reached.get(j, 1 << 62), max(value, price))
        best = reached
    return best.get(n)


def fits(instance: Instance, stage: np.ndarray, b: int) -> bool:
    limit, shared = instance.stage_limit, instance.shared
    if limit is None:
        return True
    held = int(limit.sizes[stage].sum()) + int(limit.worksets[stage].max())
    held += sum(
        int(limit.shared_sizes[q])
        for q in range(len(shared))
        if stage[shared.users[shared.ptr[q] : shared.ptr[q + 1]]].any()
    )
    return held <= limit.limit - (int(limit.reserved[b]) if len(limit.reserved) else 0)


@pytest.mark.parametrize("batch", range(4))
def test_small_orders(batch: int) -> None:
    for seed in range(100 * batch, 100 * batch + 100):
        problem = random_unequal_problem(seed)
        instance = problem.instance
        order = topological_order(instance, OrderKind.DFS, reverse=bool(seed % 2), noise=1.0, seed=seed)
        expected = best_slicing(problem, order)
        slicer = slicer_of(instance, order)
        best = slicer.solve(problem.stages)
        assert (best is None) == (expected is None), seed
        if best is None or expected is None:
            assert slicer.feasible(problem.stages, MAX_TOTAL) is None
            continue
        assert best.value == expected == bottleneck(problem, best.partition), seed
        check_limit(problem, best.partition)
        assert slicer.feasible(problem.stages, expected - 1) is None, seed
        assert slicer.solve(problem.stages, upper=expected) is None, seed
        again = slicer.solve(problem.stages, upper=expected + 1)
        assert again is not None
        assert again.value == expected


def on_two_devices(instance: Instance, device: list[int]) -> Instance:
    slow = replace(
        instance,
        work=instance.work * 2,
        tensor_cost=instance.tensor_cost * 3,
        capacity=max(1, instance.capacity // 2),
    )
    return make_unequal(instance, [instance, slow], np.array(device))


@pytest.mark.parametrize("seed", range(8))
def test_larger_orders_against_a_program_over_all_segments(seed: int) -> None:
    rng = np.random.default_rng(seed)
    instance = random_layered_instance(seed, 40, width=5, capacity_share=0.2)
    stages = int(rng.integers(2, 9))
    device = rng.permutation([0, 1, *rng.integers(0, 2, stages - 2)]).tolist()
    unequal = on_two_devices(instance, device)
    if seed % 2:
        sizes = rng.integers(0, 9, instance.n).astype(np.int64)
        rooms = rng.integers(int(sizes.sum()) * 2 // stages, int(sizes.sum()), stages).tolist()
        unequal = limit_memory(unequal, sizes, rooms, stages, worksets=rng.integers(0, 9, instance.n).astype(np.int64))
    problem = Problem(instance=unequal, stages=stages)
    order = topological_order(unequal, OrderKind.GREEDY_MIN_CUT, noise=1.0, seed=seed)
    best = slicer_of(unequal, order).solve(stages)
    assert best is not None
    assert best.value == bottleneck(problem, best.partition) == best_slicing(problem, order)


@pytest.mark.parametrize("seed", range(6))
def test_equal_devices_slice_as_equal_stages(seed: int) -> None:
    instance = random_layered_instance(seed, 300, width=8, capacity_share=0.1 if seed % 2 else None)
    stages = 12
    order = topological_order(instance, OrderKind.DFS, noise=1.0, seed=seed)
    same = make_unequal(instance, [instance, instance], np.arange(stages) % 2)
    uniform, unequal = Slicer(instance, order).solve(stages), slicer_of(same, order).solve(stages)
    assert uniform is not None
    assert unequal is not None
    assert unequal.value == uniform.value == bottleneck(Problem(instance=same, stages=stages), unequal.partition)


def test_a_slow_stage_may_stay_empty() -> None:
    base = instance_from_lists([4, 4], [(0, 9, [1])])
    slow = replace(base, work=base.work * 10)
    instance = make_unequal(base, [base, slow], np.array([1, 0, 1]))
    best = slicer_of(instance, np.arange(2)).solve(3)
    assert best is not None
    assert best.value == 8
    assert best.partition.stage_of.tolist() == [1, 1]


def test_the_largest_costs_stay_inside_int64() -> None:
    huge = MAX_TOTAL // 8
    base = instance_from_lists([huge] * 4, [(0, 0, [1])], parameter_cost=[huge // 2] * 4, capacity=huge)
    instance = make_unequal(base, [base, replace(base, work=base.work // 2)], np.arange(60) % 2)
    slicer = slicer_of(instance, np.arange(4))
    best = slicer.solve(60)
    assert best is not None
    # Two nodes on a device with half of the work, or each alone.
    assert best.value == huge // 2
    assert slicer.feasible(60, 1 << 62) is not None
    assert slicer.feasible(60, -1) is None


def test_stopping() -> None:
    instance = on_two_devices(random_layered_instance(12, 300, width=10), [0, 1, 1, 0, 0])
    slicer = UnequalSlicer(instance, np.arange(300))
    with pytest.raises(OutOfTimeError):
        slicer.feasible(5, 1000, should_stop=lambda: True)
    assert slicer.solve(5, should_stop=lambda: True) is None
    optimum = slicer.solve(5)
    assert optimum is not None
    with pytest.raises(ValueError, match="4 stages on 5 devices"):
        slicer.solve(4)
    with pytest.raises(ValueError, match="topological"):
        UnequalSlicer(instance, np.arange(300)[::-1])


def test_a_pass_goes_on_where_it_stopped() -> None:
    instance = on_two_devices(random_layered_instance(12, 300, width=10), [0, 1, 1, 0, 0])
    slicer = UnequalSlicer(instance, np.arange(300))
    optimum = slicer.solve(5)
    assert optimum is not None
    slicer.steps_a_call = 50
    calls: list[Partition] = []

    def count() -> bool:
        calls.append(optimum.partition)
        return False

    assert slicer.feasible(5, optimum.value - 1, should_stop=count) is None
    assert len(calls) > 5
    found = slicer.feasible(5, optimum.value, should_stop=count)
    assert found is not None
    assert bottleneck(Problem(instance=instance, stages=5), found) == optimum.value
