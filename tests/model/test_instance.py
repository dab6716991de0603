from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.model.instance import MAX_TOTAL, UNLIMITED, instance_from_lists
from framework.testing.brute_force import stage_cost
from framework.testing.instances import random_instance


def test_nodes_are_numbered_topologically() -> None:
    instance = instance_from_lists([10, 20, 30], [(2, 5, [0]), (0, 7, [1])], parameter_cost=[1, 2, 3])
    assert instance.topology.is_topological
    assert instance.node_of_input.tolist() == [1, 2, 0]
    assert instance.work.tolist() == [30, 10, 20]
    assert instance.parameter_cost.tolist() == [3, 1, 2]
    assert instance.topology.producer.tolist() == [0, 1]
    assert instance.tensor_cost.tolist() == [5, 7]


def test_a_topological_numbering_is_kept() -> None:
    instance = instance_from_lists([1, 2, 3, 4], [(0, 1, [3]), (1, 1, [2])])
    assert instance.node_of_input.tolist() == [0, 1, 2, 3]


@settings(derandomize=True, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_renumbering_and_merging_keep_the_cost_of_every_node_set(seed: int) -> None:
    """Against the definition of a stage's cost, on the tensors as they were given."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 7))
    order = rng.permutation(n)
    work, parameters = rng.integers(0, 20, n).tolist(), rng.integers(0, 20, n).tolist()
    tensors: list[tuple[int, int, list[int]]] = []
    for _ in range(int(rng.integers(0, 12))):
        at = int(rng.integers(0, n))
        consumers = [int(v) for v in order[at + 1 :] if rng.random() < 0.5]
        tensors.append((int(order[at]), int(rng.integers(0, 9)), consumers))
    capacity = int(rng.integers(0, 40))
    instance = instance_from_lists(work, tensors, parameter_cost=parameters, capacity=capacity)
    distinct = {(u, tuple(sorted(row))) for u, _, row in tensors if row}
    assert instance.m == len(distinct)
    for chosen in range(1 << n):
        inside = [bool(chosen >> v & 1) for v in range(n)]
        expected = sum(w for w, is_in in zip(work, inside, strict=True) if is_in)
        expected += max(0, sum(p for p, is_in in zip(parameters, inside, strict=True) if is_in) - capacity)
        expected += sum(cost for u, cost, row in tensors if any(inside[v] != inside[u] for v in row))
        renumbered = sum(1 << int(instance.node_of_input[v]) for v in range(n) if inside[v])
        assert stage_cost(instance, renumbered) == expected


def test_unconsumed_tensors_are_dropped_and_equal_ones_merged_in_any_order() -> None:
    tensors = [(0, 3, [1, 2]), (0, 100, []), (1, 2, [2]), (0, 4, [2, 1]), (0, 1, [1]), (1, 5, [2])]
    instance = instance_from_lists([1, 1, 1], tensors)
    expected = {(0, (1, 2)): 7, (0, (1,)): 1, (1, (2,)): 7}
    for given_order in (tensors, tensors[::-1]):
        again = instance_from_lists([1, 1, 1], given_order)
        assert again.sha256() == instance.sha256()
        top = again.topology
        found = {
            (int(u), tuple(top.consumers[top.consumer_ptr[t] : top.consumer_ptr[t + 1]].tolist())): int(cost)
            for t, (u, cost) in enumerate(zip(top.producer, again.tensor_cost, strict=True))
        }
        assert found == expected


@pytest.mark.parametrize(
    ("work", "tensors", "parameters"),
    [
        ([MAX_TOTAL + 1], [], [0]),
        ([MAX_TOTAL], [], [1]),
        ([0, 0], [(0, MAX_TOTAL // 2 + 1, [1])], [0, 0]),
        ([0, 0, 0], [(0, MAX_TOTAL // 3 + 1, [1, 2])], [0, 0, 0]),
        ([2**62] * 4, [], [0] * 4),
        ([0, 0], [(0, 2**62, [1])] * 4, [0, 0]),
        ([0, 0], [(0, 2**63 - 1, [1])] * 2, [0, 0]),
    ],
)
def test_sums_beyond_the_limit_are_refused(
    work: list[int], tensors: list[tuple[int, int, list[int]]], parameters: list[int]
) -> None:
    with pytest.raises(OverflowError, match="ticks, more than"):
        instance_from_lists(work, tensors, parameter_cost=parameters)


def test_sums_up_to_the_limit_are_accepted() -> None:
    half = MAX_TOTAL // 4
    instance = instance_from_lists([half, half], [(0, half, [1])])
    assert instance.total_work == 2 * half


def test_negative_costs_and_cycles_are_refused() -> None:
    for work, cost, parameter, capacity in [(-1, 0, 0, 1), (0, -1, 0, 1), (0, 0, -1, 1), (0, 0, 0, -1)]:
        with pytest.raises(ValueError, match="must not be negative"):
            instance_from_lists([work, 0], [(0, cost, [1])], parameter_cost=[parameter, 0], capacity=capacity)
    with pytest.raises(ValueError, match="cycle"):
        instance_from_lists([1, 1], [(0, 1, [1]), (1, 1, [0])])


def test_capacity() -> None:
    tight = instance_from_lists([1, 1], [], parameter_cost=[3, 4], capacity=6)
    assert tight.total_parameter_cost == 7
    assert tight.can_overflow
    assert not instance_from_lists([1, 1], [], parameter_cost=[3, 4], capacity=7).can_overflow
    assert instance_from_lists([1], [], capacity=2**70).capacity == UNLIMITED
    assert not instance_from_lists([1], [], parameter_cost=[5]).can_overflow


@settings(derandomize=True, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_random_instances_are_valid_and_reproducible(seed: int) -> None:
    instance = random_instance(seed)
    assert instance.topology.is_topological
    assert sorted(instance.node_of_input.tolist()) == list(range(instance.n))
    assert bool(np.all(np.diff(instance.topology.consumer_ptr) > 0))
    assert random_instance(seed).sha256() == instance.sha256()
