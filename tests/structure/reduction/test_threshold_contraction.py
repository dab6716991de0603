"""Threshold contraction keeps every partition within the threshold, and refutes only what is impossible."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.errors import OutOfTimeError
from framework.model.instance import instance_from_lists
from framework.model.problem import Partition, Problem, bottleneck
from framework.structure.reduction.contraction import lift
from framework.structure.reduction.threshold_contraction import contract_at_threshold
from framework.testing.brute_force import brute_force_optimum
from framework.testing.instances import random_instance, random_layered_instance, random_shared_problem


@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
@settings(max_examples=120, derandomize=True, deadline=None)
def test_the_optimum_stays_where_it_is_within_the_threshold(seed: int, stages: int) -> None:
    problem = Problem(instance=random_instance(seed, max_nodes=8), stages=stages)
    optimum = brute_force_optimum(problem)
    for threshold in (optimum // 2, optimum - 1, optimum, optimum + optimum // 5):
        if threshold < 0:
            continue
        reduced = contract_at_threshold(problem.instance, threshold)
        if reduced is None:
            assert threshold < optimum
            continue
        remaining = brute_force_optimum(Problem(instance=reduced, stages=stages))
        assert remaining >= optimum
        if threshold >= optimum:
            assert remaining == optimum


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=120, derandomize=True, deadline=None)
def test_the_optimum_stays_where_parameters_are_shared(seed: int) -> None:
    problem = random_shared_problem(seed).without_limit()
    optimum = brute_force_optimum(problem)
    for threshold in (optimum // 2, optimum - 1, optimum, optimum + optimum // 5):
        if threshold < 0:
            continue
        reduced = contract_at_threshold(problem.instance, threshold)
        assert reduced is not None or threshold < optimum
        if reduced is not None:
            remaining = brute_force_optimum(problem.on(reduced))
            assert remaining == optimum if threshold >= optimum else remaining >= optimum


def test_a_dear_tensor_is_contracted_at_low_thresholds_only() -> None:
    instance = instance_from_lists([4, 4, 4], [(0, 20, [1]), (1, 1, [2])])
    reduced = contract_at_threshold(instance, 12)
    assert reduced is not None
    assert reduced.n == 2
    assert reduced.node_of_input.tolist() == [0, 0, 1]
    assert contract_at_threshold(instance, 8) is None
    untouched = contract_at_threshold(instance, 30)
    assert untouched is not None
    assert untouched.n == 3


def test_partitions_can_be_lifted() -> None:
    instance = instance_from_lists([4] * 8, [(v, 40 if v % 2 == 0 else 1, [v + 1]) for v in range(7)])
    reduced = contract_at_threshold(instance, 20)
    assert reduced is not None
    assert reduced.n == 4
    partition = Partition(stage_of=np.array([0, 0, 1, 1]))
    lifted = lift(partition, reduced)
    assert lifted.stage_of.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    small, large = Problem(instance=reduced, stages=2), Problem(instance=instance, stages=2)
    assert bottleneck(large, lifted) == bottleneck(small, partition)


def test_stopping_is_obeyed() -> None:
    with pytest.raises(OutOfTimeError):
        contract_at_threshold(random_layered_instance(1, 3000, width=100), 500, should_stop=lambda: True)
