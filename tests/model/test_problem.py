from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.errors import UserError
from framework.model.instance import MAX_STAGES, instance_from_lists
from framework.model.problem import Partition, Problem, bottleneck, stage_costs
from framework.testing.brute_force import stage_cost
from framework.testing.instances import random_problem


def random_partition(problem: Problem, rng: np.random.Generator) -> Partition:
    """A random topological order, cut at random places into stages, some of them empty."""
    top = problem.instance.topology
    stage = np.zeros(problem.instance.n, np.int64)
    for v in range(problem.instance.n):
        before = stage[top.preds[top.pred_ptr[v] : top.pred_ptr[v + 1]]]
        stage[v] = rng.integers(before.max(initial=0), problem.stages)
    return Partition(stage_of=stage)


@settings(derandomize=True, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_evaluator_agrees_with_the_definition(seed: int) -> None:
    problem = random_problem(seed, max_nodes=10, max_stages=6)
    partition = random_partition(problem, np.random.default_rng(seed))
    costs = stage_costs(problem, partition)
    masks = [
        sum(1 << v for v in range(problem.instance.n) if partition.stage_of[v] == b) for b in range(problem.stages)
    ]
    expected = [stage_cost(problem.instance, mask) for mask in masks]
    assert costs.total.tolist() == expected
    assert costs.bottleneck == bottleneck(problem, partition) == max(expected)
    assert int(costs.work.sum()) == problem.instance.total_work
    assert costs.outbound[-1] == costs.inbound[0] == 0


def test_the_parts_of_a_cost() -> None:
    instance = instance_from_lists(
        [1, 2, 3, 4], [(0, 10, [1, 2, 3]), (1, 20, [3]), (2, 30, [3])], parameter_cost=[5, 6, 7, 8], capacity=7
    )
    costs = stage_costs(Problem(instance=instance, stages=5), Partition(stage_of=np.array([0, 2, 2, 3])))
    assert costs.work.tolist() == [1, 0, 5, 4, 0]
    # A tensor is paid once by its producer and once by each stage that reads it; stage 1 it passes for free.
    assert costs.outbound.tolist() == [10, 0, 50, 0, 0]
    assert costs.inbound.tolist() == [0, 0, 10, 60, 0]
    assert costs.overflow.tolist() == [0, 0, 6, 1, 0]
    assert costs.total.tolist() == [11, 0, 71, 65, 0]
    assert costs.bottleneck == 71


def test_one_stage_costs_work_and_overflow() -> None:
    instance = instance_from_lists([1, 2], [(0, 10, [1])], parameter_cost=[5, 6], capacity=7)
    assert bottleneck(Problem(instance=instance, stages=1), Partition(stage_of=np.zeros(2, np.int64))) == 3 + 4


@pytest.mark.parametrize(
    ("stage_of", "expected"),
    [
        ([0], "a partition of 2 nodes has 1 entries"),
        ([0, 0, 0], "a partition of 2 nodes has 3 entries"),
        ([0, 2], r"a stage is outside 0\.\.1"),
        ([-1, 0], r"a stage is outside 0\.\.1"),
        ([1, 0], "the edge 0 -> 1 goes from stage 1 back to stage 0"),
    ],
)
def test_invalid_partitions_are_refused(stage_of: list[int], expected: str) -> None:
    problem = Problem(instance=instance_from_lists([1, 1], [(0, 1, [1])]), stages=2)
    with pytest.raises(ValueError, match=expected):
        stage_costs(problem, Partition(stage_of=np.array(stage_of)))


@pytest.mark.parametrize("stages", [0, -3, MAX_STAGES + 1])
def test_the_number_of_stages_is_checked(stages: int) -> None:
    with pytest.raises(UserError, match=f"the number of stages is {stages} "):
        Problem(instance=instance_from_lists([1], []), stages=stages)


def test_useful_stages() -> None:
    instance = instance_from_lists([1, 1, 1], [])
    assert Problem(instance=instance, stages=2).useful_stages == 2
    assert Problem(instance=instance, stages=MAX_STAGES).useful_stages == 3
