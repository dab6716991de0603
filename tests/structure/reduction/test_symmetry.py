"""Exchangeable branches: found, verified, put in order at no loss, and left alone where anything differs."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from framework.errors import OutOfTimeError
from framework.model.arrays import IntArray
from framework.model.instance import Instance, instance_from_lists
from framework.model.problem import Problem
from framework.structure.poset.closure import closure
from framework.structure.reduction.hard_limits import pin
from framework.structure.reduction.symmetry import exchangeable, put_in_order
from framework.testing.brute_force import brute_force_optimum
from framework.testing.instances import random_branches, random_instance, with_equal_nodes

SEEDS = 80


def _pairs(instance: Instance) -> list[tuple[int, int]]:
    """Return all pairs of nodes of which the first comes before the second."""
    reach = closure(instance)
    return [(u, v) for u, v in permutations(range(instance.n), 2) if reach.is_ancestor(u, v)]


def _is_automorphism(instance: Instance, image: IntArray) -> bool:
    """Whether a map of the nodes keeps costs and tensors, by plain comparison."""
    top = instance.topology

    def tensors(name: IntArray) -> list[tuple[int, int, tuple[int, ...]]]:
        rows = np.split(name[top.consumers], top.consumer_ptr[1:-1])
        costs = instance.tensor_cost.tolist()
        return sorted(
            (int(u), cost, tuple(sorted(row.tolist())))
            for u, cost, row in zip(name[top.producer], costs, rows, strict=True)
        )

    return (
        np.array_equal(instance.work[image], instance.work)
        and (not instance.can_overflow or np.array_equal(instance.parameter_cost[image], instance.parameter_cost))
        and tensors(image) == tensors(np.arange(instance.n))
    )


@pytest.mark.parametrize("seed", range(SEEDS))
def test_planted_branches_are_exchangeable_and_put_in_order(seed: int) -> None:
    instance, branches = random_branches(seed)
    for one, other in permutations(branches, 2):
        assert exchangeable(instance, np.array(one), np.array(other))
    ordered = put_in_order(instance)
    assert ordered is not None
    assert ordered.n == instance.n
    names = ordered.node_of_input
    kept = {(int(names[u]), int(names[v])) for u, v in _pairs(instance)}
    assert kept < set(_pairs(ordered))


@pytest.mark.parametrize("seed", range(SEEDS))
def test_order_keeps_the_optimum(seed: int) -> None:
    rng = np.random.default_rng([seed, 2])
    instances = [random_branches(seed)[0], with_equal_nodes(random_instance(seed, 9), seed)]
    for instance in instances:
        stages = int(rng.integers(2, 5))
        optimum = brute_force_optimum(Problem(instance=instance, stages=stages))
        while (ordered := put_in_order(instance)) is not None:
            assert brute_force_optimum(Problem(instance=ordered, stages=stages)) == optimum
            instance = ordered


@pytest.mark.parametrize("seed", range(SEEDS))
def test_exchangeable_is_what_plain_comparison_says(seed: int) -> None:
    rng = np.random.default_rng([seed, 4])
    instance, branches = random_branches(seed)
    if rng.random() < 0.7:
        # One cost of something is another now: most exchanges are none any more.
        changed = int(rng.integers(instance.m))
        cost = instance.tensor_cost.copy()
        cost[changed] += 1
        instance = replace(instance, tensor_cost=cost)
    for _ in range(20):
        if rng.random() < 0.5:
            one, other = (np.array(branches[i]) for i in rng.permutation(len(branches))[:2])
        else:
            size = int(rng.integers(1, instance.n // 2 + 1))
            one, other = rng.permutation(instance.n)[: 2 * size].reshape(2, size)
        image = np.arange(instance.n)
        image[one], image[other] = other, one
        assert exchangeable(instance, one, other) == _is_automorphism(instance, image)


def test_parameters_that_fit_keep_nothing_apart() -> None:
    tensors = [(0, 1, [1]), (0, 1, [2]), (1, 1, [3]), (2, 1, [3])]
    for capacity, exchanged in ((13, True), (12, False)):
        instance = instance_from_lists(
            [1, 4, 4, 1], tensors, parameter_cost=[0, 3, 4, 0], capacity=capacity, shared=[(6, [0, 1])]
        ).without_idle_parameters()
        assert exchangeable(instance, np.array([1]), np.array([2])) == exchanged
        assert (put_in_order(instance) is not None) == exchanged


def test_branches_within_branches_are_found_once_these_are_in_order() -> None:
    # Two blocks 1-4 and 5-8 between 0 and 9: in each, two equal nodes hang between its first and its last one.
    tensors = [(0, 3, [1, 5])]
    for first in (1, 5):
        tensors += [(first, 2, [first + 1, first + 2]), (first + 1, 1, [first + 3]), (first + 2, 1, [first + 3])]
        tensors.append((first + 3, 4, [9]))
    instance = instance_from_lists([1, *[5, 2, 2, 7] * 2, 1], tensors)
    once = put_in_order(instance)
    assert once is not None
    assert closure(once).is_ancestor(int(once.node_of_input[4]), int(once.node_of_input[8]))
    twice = put_in_order(once)
    assert twice is not None
    assert put_in_order(twice) is None
    names = twice.node_of_input[once.node_of_input]
    for one, other in ((2, 3), (6, 7)):
        assert closure(twice).is_ancestor(int(names[one]), int(names[other]))


def test_nothing_alike_is_left_alone() -> None:
    chain = instance_from_lists([4, 4, 4], [(0, 1, [1]), (1, 1, [2])])
    assert put_in_order(chain) is None
    # Alike but for what they read.
    assert put_in_order(instance_from_lists([1, 4, 4, 1], [(0, 1, [1]), (0, 2, [2]), (1, 1, [3]), (2, 1, [3])])) is None


def test_hard_limits_are_left_alone() -> None:
    instance, branches = random_branches(3)
    assert put_in_order(pin(instance, {branches[0][0]: 0}, 3)) is None


def test_stopping_is_said() -> None:
    with pytest.raises(OutOfTimeError):
        put_in_order(random_branches(0)[0], lambda: True)
