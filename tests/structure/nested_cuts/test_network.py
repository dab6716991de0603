"""Nested minimum cuts, windows and trees against enumeration of all groupings."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.model.arrays import IntArray
from framework.model.instance import Instance
from framework.model.problem import Partition, Problem, bottleneck
from framework.model.unequal import make_unequal
from framework.structure.nested_cuts.branching import Brancher
from framework.structure.nested_cuts.network import NestedNetwork, finest_multiplier
from framework.structure.nested_cuts.prices import most_charged
from framework.structure.nested_cuts.rounding import Repair, balanced_sizes, group_windows
from framework.structure.nested_cuts.tree import NestedTree
from framework.testing.brute_force import brute_force_optimum, stage_cost
from framework.testing.instances import random_instance, random_layered_instance

SEEDS = st.integers(0, 2**32 - 1)


def _groupings(instance: Instance, groups: int) -> list[IntArray]:
    top = instance.topology
    tails = np.repeat(np.arange(instance.n), np.diff(top.succ_ptr))
    every = (np.array(stages, np.int64) for stages in itertools.product(range(groups), repeat=instance.n))
    return [stages for stages in every if bool((stages[tails] <= stages[top.succs]).all())]


def _relaxed_optimum(network: NestedNetwork) -> int:
    every = _groupings(network.instance, network.groups)
    return min(int((-(-network.costs(group_of)[0] // network.sizes)).max()) for group_of in every)


def _random_sizes(rng: np.random.Generator) -> list[int]:
    groups = int(rng.integers(2, 5))
    return [1] * groups if rng.random() < 0.5 else rng.integers(1, 4, groups).tolist()


def _random_windows(network: NestedNetwork, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
    """Windows after a few random choices, closed under precedence."""
    earliest, latest = network.free
    brancher = Brancher(network)
    for _ in range(int(rng.integers(0, 4))):
        v, j = int(rng.integers(network.instance.n)), int(rng.integers(network.boundaries))
        brancher.restrict(earliest, latest, v, j, later=bool(rng.integers(2)))
    return earliest, latest


def _unequal(seed: int, sizes: list[int]) -> Instance:
    """A random instance whose stages, so many in each group, run on different devices."""
    rng = np.random.default_rng([seed, 9])
    base = random_instance(seed, max_nodes=6)
    kinds = [
        replace(
            base,
            work=rng.permutation(base.work) * int(rng.integers(1, 4)),
            parameter_cost=base.parameter_cost * int(rng.integers(1, 4)),
            tensor_cost=base.tensor_cost * int(rng.integers(0, 4)),
            capacity=int(rng.integers(0, 1 + base.total_parameter_cost)),
        )
        for _ in range(min(2, sum(sizes)))
    ]
    device = rng.permutation(np.arange(sum(sizes)) % len(kinds))
    return make_unequal(base, kinds, device)


@given(SEEDS, st.booleans())
@settings(max_examples=80, derandomize=True, deadline=None)
def test_a_cut_bounds_the_weighted_costs_of_every_grouping_in_the_windows(seed: int, unequal: bool) -> None:
    rng = np.random.default_rng([seed, 5])
    sizes = _random_sizes(rng)
    instance = _unequal(seed, sizes) if unequal else random_instance(seed, max_nodes=6)
    network = NestedNetwork(instance, sizes)
    earliest, latest = _random_windows(network, rng)
    multipliers = network.multipliers(rng.random(network.groups) + 1e-3, rng.random(network.groups))
    priority = rng.random((len(network.tensors.producer), network.boundaries))
    base = network.prepare(multipliers, earliest, latest, priority)
    value = base + network.network.augment()
    allowed = [
        group_of
        for group_of in _groupings(instance, network.groups)
        if (earliest <= group_of).all() and (group_of <= latest).all()
    ]
    # Overflow as it is dualised: mu (p - c), not its positive part.
    weighted = []
    for group_of in allowed:
        costs, parameters = network.costs(group_of)
        beyond = parameters - network.capacities
        total = multipliers.loads * (costs - np.maximum(beyond, 0)) + multipliers.overflow * beyond
        weighted.append(int(total.sum()))
        assert int((multipliers.loads * costs).sum()) >= weighted[-1]
    assert value <= min(weighted)
    if network.groups == 2:
        assert value == min(weighted)
    for group_of in (network.smallest(), network.largest()):
        assert any(np.array_equal(group_of, other) for other in allowed)


@given(SEEDS)
@settings(max_examples=40, derandomize=True, deadline=None)
def test_group_costs_are_stage_costs_with_more_capacity(seed: int) -> None:
    instance = random_instance(seed, max_nodes=7)
    rng = np.random.default_rng([seed, 6])
    sizes = _random_sizes(rng)
    network = NestedNetwork(instance, sizes)
    every = _groupings(instance, network.groups)
    group_of = every[int(rng.integers(len(every)))]
    costs, parameters = network.costs(group_of)
    for g, r in enumerate(sizes):
        members = sum(1 << v for v in np.flatnonzero(group_of == g).tolist())
        held = int(instance.parameter_cost[group_of == g].sum())
        saved = max(0, held - instance.capacity) - max(0, held - r * instance.capacity)
        assert costs[g] == stage_cost(instance, members) - saved
        assert parameters[g] == held


@given(SEEDS, st.booleans())
@settings(max_examples=60, derandomize=True, deadline=None)
def test_trees_decide_every_threshold_and_bound_at_every_moment(seed: int, unequal: bool) -> None:
    rng = np.random.default_rng([seed, 7])
    sizes = _random_sizes(rng)
    instance = _unequal(seed, sizes) if unequal else random_instance(seed, max_nodes=6)
    network = NestedNetwork(instance, sizes)
    optimum = _relaxed_optimum(network)
    for threshold in {optimum - 1, optimum, optimum + 3, 2 * optimum} - {-1}:
        tree = NestedTree(network, threshold, *network.free)
        while not tree.done:
            assert tree.bound <= optimum
            tree.advance()
            assert tree.nodes < 20_000
        assert tree.bound == min(optimum, threshold + 1)
        assert (tree.found is None) == (threshold < optimum)
        if tree.found is not None:
            value, group_of = tree.found
            assert value == optimum == int((-(-network.costs(group_of)[0] // network.sizes)).max())


@given(SEEDS, st.booleans())
@settings(max_examples=60, derandomize=True, deadline=None)
def test_merging_stages_relaxes(seed: int, unequal: bool) -> None:
    rng = np.random.default_rng([seed, 8])
    sizes = _random_sizes(rng)
    instance = _unequal(seed, sizes) if unequal else random_instance(seed, max_nodes=6)
    stages = sum(sizes)
    optimum = brute_force_optimum(Problem(instance=instance, stages=stages))
    relaxed = _relaxed_optimum(NestedNetwork(instance, sizes))
    assert relaxed <= optimum
    if max(sizes) == 1:
        assert relaxed == optimum


@given(SEEDS)
@settings(max_examples=40, derandomize=True, deadline=None)
def test_windows_keep_every_grouping_they_may_not_lose(seed: int) -> None:
    instance = random_instance(seed, max_nodes=6)
    rng = np.random.default_rng([seed, 9])
    sizes = _random_sizes(rng)
    network = NestedNetwork(instance, sizes)
    brancher = Brancher(network)
    groupings = _groupings(instance, network.groups)
    worst = [int((-(-network.costs(group_of)[0] // network.sizes)).max()) for group_of in groupings]
    threshold = int(rng.choice(worst))
    earliest, latest = _random_windows(network, rng)
    inside = [(earliest <= group_of).all() and (group_of <= latest).all() for group_of in groupings]
    kept = [x for x, value, within in zip(groupings, worst, inside, strict=True) if within and value <= threshold]
    possible = brancher.tighten(earliest, latest, threshold)
    assert possible or not kept
    assert all((earliest <= x).all() and (x <= latest).all() for x in kept if possible)
    if max(sizes) == 1:
        windows = group_windows(instance, sizes, threshold)
        assert windows is not None
        good = [x for x, value in zip(groupings, worst, strict=True) if value <= threshold]
        assert all((windows[0] <= x).all() and (x <= windows[1]).all() for x in good)


def test_large_costs_stay_exact() -> None:
    rng = np.random.default_rng(4)
    small = random_layered_instance(4, 9)
    factor = (1 << 46) // (8 * int(small.work.sum() + small.tensor_cost.sum() * 3))
    large = replace(small, work=small.work * factor, tensor_cost=small.tensor_cost * factor)
    for sizes in ([1, 1], [1, 1, 1]):
        optimum = _relaxed_optimum(NestedNetwork(small, sizes))
        tree = NestedTree(NestedNetwork(large, sizes), 2 * optimum * factor, *NestedNetwork(large, sizes).free)
        while not tree.done:
            tree.advance()
        assert tree.bound == optimum * factor
    many = NestedNetwork(large, [1] * 64)
    multipliers = many.multipliers(rng.random(64), np.zeros(64))
    assert many.resolution >= 64
    assert int(multipliers.loads.sum()) * int(large.work.sum()) < 1 << 59


def test_sizes_and_repair() -> None:
    assert balanced_sizes(8, 2) == [4, 4]
    assert balanced_sizes(7, 3) == [2, 2, 3]
    instance = random_layered_instance(2, 20)
    with pytest.raises(ValueError, match="2 to 64 groups"):
        NestedNetwork(instance, [3])
    repair = Repair(Problem(instance=instance, stages=4))
    group_of = (np.arange(20) >= 10).astype(np.int64)
    sliced = repair.partition(group_of, 2, 1 << 40, lambda: False)
    assert sliced is not None
    assert int(sliced.partition.stage_of.max()) == 3
    assert repair.partition(group_of, 2, 1 << 40, lambda: False) is None


def test_groupings_of_unequal_stages_are_taken_as_they_are() -> None:
    problem = Problem(instance=_unequal(3, [1, 1]), stages=2)
    group_of = np.sort(np.arange(problem.instance.n) % 2)
    repair, value = Repair(problem), bottleneck(problem, Partition(stage_of=group_of))
    found = repair.partition(group_of, 2, value + 1, lambda: False)
    assert found is not None
    assert found.value == value
    assert repair.partition(group_of, 2, value, lambda: False) is None
    assert repair.partition(group_of, 1, value + 1, lambda: False) is None


def test_multipliers_are_safe_or_none() -> None:
    instance = _unequal(3, [1, 1])
    for groups in (2, 8):
        assert finest_multiplier(instance, groups) * most_charged(instance) * groups * (2 * groups - 1) <= 1 << 58
    unequal = instance.unequal
    assert unequal is not None
    dear = replace(instance, unequal=replace(unequal, work=unequal.work + (1 << 55)))
    assert finest_multiplier(dear, 8) == 0
