"""Kinds of stages, and the tests of what the last stages can hold against exhaustion."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from framework.model.instance import MAX_TOTAL, instance_from_lists
from framework.model.problem import Partition, Problem, bottleneck, cut_tensors, obeys
from framework.model.unequal import make_unequal
from framework.structure.primal.initial_interval import simple_bound
from framework.structure.reduction.hard_limits import limit_memory
from framework.structure.unequal.stage_kinds import MOST_SETS, completion_tests, stage_kinds
from framework.testing.brute_force import brute_force_optimum
from framework.testing.instances import random_unequal_problem


def test_kinds_differ_by_device_and_room() -> None:
    base = instance_from_lists([1, 1], [])
    instance = make_unequal(base, [base, replace(base, work=base.work * 2)], np.array([0, 1, 0, 0]))
    assert stage_kinds(instance).of_stage == (0, 1, 0, 0)
    limited = limit_memory(instance, np.array([3, 3]), [3, 6, 6, 3], 4)
    kinds = stage_kinds(limited)
    assert [(kinds.device[kind], kinds.room[kind]) for kind in kinds.of_stage] == [(0, 3), (1, 6), (0, 6), (0, 3)]
    small, large = kinds.of_stage[0], kinds.of_stage[2]
    assert set(kinds.covered_by[small]) == {small, large}
    assert kinds.covered_by[large] == (large,)


def random_partition(problem: Problem, rng: np.random.Generator) -> Partition:
    return Partition(stage_of=np.sort(rng.integers(0, problem.stages, problem.instance.n)))


@pytest.mark.parametrize("batch", range(4))
def test_what_the_last_stages_of_a_partition_hold_passes(batch: int) -> None:
    for seed in range(60 * batch, 60 * batch + 60):
        problem, rng = random_unequal_problem(seed), np.random.default_rng(seed)
        instance, tests = problem.instance, completion_tests(problem.instance)
        top, shared = instance.topology, instance.shared
        for _ in range(5):
            partition = random_partition(problem, rng)
            threshold = bottleneck(problem, partition)
            stage_of = partition.stage_of
            for done in range(problem.stages):
                beyond = stage_of >= done
                crossing = cut_tensors(top, beyond.astype(np.int64), 2).leaving
                users = [q for q in range(len(shared)) if beyond[shared.users[shared.ptr[q] : shared.ptr[q + 1]]].any()]
                sums = tests.node[:, beyond].sum(1) + tests.tensor[:, crossing].sum(1) + tests.shared[:, users].sum(1)
                rows = slice(*tests.rows[done])
                assert (sums[rows] <= tests.affordable(threshold)[rows, done]).all(), seed
                if done == 0 and obeys(problem, partition):
                    assert tests.least_threshold(sums) <= threshold


def test_the_tests_know_slow_devices() -> None:
    # Divisible work of 12 on a fast device and one that is three times as slow: 9 and 3 of it, 9 ticks each.
    fast = instance_from_lists([1] * 12, [])
    instance = make_unequal(fast, [fast, replace(fast, work=fast.work * 3)], np.array([0, 1]))
    tests = completion_tests(instance)
    assert tests.least_threshold(tests.node.sum(1)) == 9
    # The slow one alone takes three times as long for all of it.
    rows = slice(*tests.rows[1])
    sums = tests.node[rows].sum(1)
    assert (sums <= tests.affordable(36)[rows, 1]).all()
    assert not (sums <= tests.affordable(35)[rows, 1]).all()
    assert simple_bound(Problem(instance=instance, stages=2)) == 9


def test_many_devices_share_tests() -> None:
    base = instance_from_lists([3, 4, 5], [(0, 1, [1]), (1, 2, [2])])
    rows = [replace(base, work=base.work * (d + 1)) for d in range(9)]
    instance = make_unequal(base, rows, np.arange(9))
    tests = completion_tests(instance)
    assert len(tests.node) <= 2 * MOST_SETS
    assert tests.least_threshold(tests.node.sum(1)) <= brute_force_optimum(Problem(instance=instance, stages=9))


def test_the_largest_costs_stay_inside_int64() -> None:
    huge, stages = MAX_TOTAL // 8, 3000
    base = instance_from_lists([huge] * 2, [(0, huge, [1])], parameter_cost=[huge] * 2, capacity=huge)
    slow = replace(base, work=base.work // 2, capacity=2 * huge - 1)
    instance = make_unequal(base, [base, slow], np.arange(stages) % 2)
    tests = completion_tests(instance)
    for threshold in (0, huge, MAX_TOTAL):
        exact = [
            sum(int(z) for z in np.diff(-speed)) * threshold + int(streams[0])
            for speed, streams in zip(tests.speed, tests.streams, strict=True)
        ]
        most = tests.affordable(threshold)
        assert (np.diff(most) <= 0).all()
        assert all(int(got) == want or int(got) > 1 << 61 <= want for got, want in zip(most[:, 0], exact, strict=True))
