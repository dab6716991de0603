"""Costs of groups: tensors that matter, prices of groupings, and capacities where the windows decide everything."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.model.problem import Partition, stage_costs
from framework.structure.nested_cuts.costs import group_costs, groups_of, tensors_that_cost
from framework.structure.nested_cuts.network import NestedNetwork
from framework.structure.poset.closure import closure
from framework.testing.brute_force import stage_cost
from framework.testing.instances import random_instance, random_unequal_problem
from tests.structure.plain_definitions import descendants, stage_vectors, tensor_rows, worth

SEEDS = st.integers(0, 2**32 - 1)


@given(SEEDS)
@settings(max_examples=30, derandomize=True, deadline=None)
def test_the_tensors_are_those_of_positive_cost_with_their_last_consumers(seed: int) -> None:
    instance = random_instance(seed, max_nodes=9)
    after = descendants(instance)
    found = tensors_that_cost(instance, closure(instance), instance.tensor_cost)
    rows = [
        (u, cost, consumers, [v for v in consumers if not any(after[v] >> x & 1 for x in consumers)])
        for (u, consumers), cost in zip(tensor_rows(instance), instance.tensor_cost.tolist(), strict=True)
        if cost > 0
    ]
    assert found.producer.tolist() == [u for u, _, _, _ in rows]
    assert found.cost.tolist() == [cost for _, cost, _, _ in rows]
    for t, (_, _, consumers, last) in enumerate(rows):
        assert found.consumers[found.ptr[t] : found.ptr[t + 1]].tolist() == consumers
        assert found.last[found.last_ptr[t] : found.last_ptr[t + 1]].tolist() == last


@given(SEEDS)
@settings(max_examples=30, derandomize=True, deadline=None)
def test_a_group_costs_what_one_stage_with_its_capacity_would(seed: int) -> None:
    instance = random_instance(seed, max_nodes=7)
    rng = np.random.default_rng([seed, 6])
    groups = int(rng.integers(1, 5))
    capacities = rng.integers(0, 1 + instance.total_parameter_cost, groups)
    tensors = tensors_that_cost(instance, closure(instance), instance.tensor_cost)
    every = stage_vectors(instance, groups)
    group_of = np.array(every[int(rng.integers(len(every)))], np.int64)
    costs, held = group_costs(group_of, instance.work, instance.parameter_cost, tensors, capacities)
    for g in range(groups):
        members = sum(1 << v for v in np.flatnonzero(group_of == g).tolist())
        parameters = worth(members, instance.parameter_cost.tolist())
        without = stage_cost(instance, members) - max(0, parameters - instance.capacity)
        assert held[g] == parameters
        assert costs[g] == without + max(0, parameters - int(capacities[g]))


@given(SEEDS)
@settings(max_examples=30, derandomize=True, deadline=None)
def test_where_windows_decide_all_groups_the_relaxed_sum_is_exact(seed: int) -> None:
    instance = random_instance(seed, max_nodes=6)
    rng = np.random.default_rng([seed, 7])
    sizes = rng.integers(1, 4, int(rng.integers(2, 5))).tolist()
    network = NestedNetwork(instance, sizes)
    multipliers = network.multipliers(rng.random(network.groups) + 1e-3, rng.random(network.groups))
    every = stage_vectors(instance, network.groups)
    for place in rng.integers(len(every), size=6).tolist():
        group_of = np.array(every[place], np.int64)
        base = network.prepare(multipliers, group_of, group_of, network.even_priority())
        total = 0
        for g in range(network.groups):
            members = sum(1 << v for v in np.flatnonzero(group_of == g).tolist())
            parameters = worth(members, instance.parameter_cost.tolist())
            without = stage_cost(instance, members) - max(0, parameters - instance.capacity)
            beyond = parameters - int(network.capacities[g])
            total += int(multipliers.loads[g]) * without + int(multipliers.overflow[g]) * beyond
        assert base + network.network.augment() == total
        assert network.smallest().tolist() == group_of.tolist()


@given(SEEDS)
@settings(max_examples=60, derandomize=True, deadline=None)
def test_unequal_groups_are_charged_on_their_devices(seed: int) -> None:
    problem = random_unequal_problem(seed).charged().without_limit()
    instance, k = problem.instance, problem.stages
    if k < 2:
        return
    rng = np.random.default_rng([seed, 8])
    network = NestedNetwork(instance, [1] * k)
    multipliers = network.multipliers(rng.random(k) + 1e-3, rng.random(k))
    every = stage_vectors(instance, k)
    for place in rng.integers(len(every), size=6).tolist():
        group_of = np.array(every[place], np.int64)
        priced = stage_costs(problem, Partition(stage_of=group_of))
        costs, parameters = network.costs(group_of)
        assert np.array_equal(costs, priced.total)
        base = network.prepare(multipliers, group_of, group_of, network.even_priority())
        total = multipliers.loads @ (priced.total - priced.overflow)
        total += multipliers.overflow @ (parameters - network.capacities)
        assert base + network.network.augment() == total


@given(SEEDS)
@settings(max_examples=30, derandomize=True, deadline=None)
def test_the_group_of_a_node_is_the_first_boundary_that_holds_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, copies = int(rng.integers(1, 8)), int(rng.integers(1, 5))
    group_of = rng.integers(0, copies + 1, n)
    inside = group_of[None, :] <= np.arange(copies)[:, None]
    # Vertices beyond those of the nodes do not matter.
    vertices = np.concatenate((inside.ravel(), rng.random(3) < 0.5))
    assert groups_of(vertices, n, copies).tolist() == group_of.tolist()
