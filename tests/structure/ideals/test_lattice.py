"""The lattice of ideals against exhaustion, and its limits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.errors import OutOfTimeError
from framework.model.instance import Instance, instance_from_lists
from framework.model.problem import Problem, bottleneck
from framework.structure.ideals.chain_dp import ChainSearch
from framework.structure.ideals.lattice import IdealLattice, LatticeStatus, count_ideals, enumerate_ideals
from framework.structure.primal.slicing import Slicer
from framework.testing.brute_force import brute_force_optimum
from framework.testing.instances import random_instance, random_layered_instance, random_problem

SEEDS = st.integers(0, 2**32 - 1)
EXHAUSTIVE = settings(derandomize=True, deadline=None, max_examples=200)


def all_ideals(instance: Instance) -> set[int]:
    top = instance.topology
    needs = [0] * instance.n
    for t, u in enumerate(top.producer.tolist()):
        for v in top.consumers[top.consumer_ptr[t] : top.consumer_ptr[t + 1]].tolist():
            needs[v] |= 1 << u
    return {s for s in range(1 << instance.n) if all(needs[v] & ~s == 0 for v in range(instance.n) if s >> v & 1)}


def as_masks(lattice: IdealLattice) -> list[int]:
    return [sum(int(word) << (64 * i) for i, word in enumerate(row)) for row in lattice.bits]


def cut_of(instance: Instance, mask: int) -> int:
    top, total = instance.topology, 0
    for t, u in enumerate(top.producer.tolist()):
        consumers = top.consumers[top.consumer_ptr[t] : top.consumer_ptr[t + 1]].tolist()
        if mask >> u & 1 and not all(mask >> v & 1 for v in consumers):
            total += int(instance.tensor_cost[t])
    return total


@EXHAUSTIVE
@given(SEEDS)
def test_every_ideal_is_found_once_with_its_costs(seed: int) -> None:
    instance = random_instance(seed)
    lattice = enumerate_ideals(instance, max_ideals=10_000)
    masks = as_masks(lattice)
    assert lattice.complete
    assert len(masks) == len(set(masks))
    assert set(masks) == all_ideals(instance)
    assert masks[0] == 0
    assert masks[-1] == (1 << instance.n) - 1
    for i, mask in enumerate(masks):
        inside = [v for v in range(instance.n) if mask >> v & 1]
        assert lattice.work[i] == instance.work[inside].sum()
        assert lattice.parameter_cost[i] == instance.parameter_cost[inside].sum()
        assert lattice.cut[i] == cut_of(instance, mask)


@EXHAUSTIVE
@given(SEEDS)
def test_edges_add_each_available_node(seed: int) -> None:
    instance = random_instance(seed)
    lattice = enumerate_ideals(instance, max_ideals=10_000)
    masks = as_masks(lattice)
    known = set(masks)
    for i, mask in enumerate(masks):
        row = slice(int(lattice.edge_ptr[i]), int(lattice.edge_ptr[i + 1]))
        nodes = lattice.edge_node[row].tolist()
        assert nodes == [v for v in range(instance.n) if not mask >> v & 1 and mask | 1 << v in known]
        assert [masks[j] for j in lattice.edge_ideal[row]] == [mask | 1 << v for v in nodes]


def test_more_than_one_word_and_growing_arrays() -> None:
    # Two chains of 75 nodes: an ideal is a prefix of each.
    chains = [(v, 1, [v + 1]) for v in [*range(74), *range(75, 149)]]
    instance = instance_from_lists([1] * 150, chains)
    lattice = enumerate_ideals(instance, max_ideals=100_000)
    assert lattice.complete
    assert len(lattice) == 76 * 76
    assert lattice.bits.shape[1] == 3
    assert count_ideals(instance, max_ideals=100_000) == (len(lattice), True)


def test_limits_are_named() -> None:
    antichain = instance_from_lists([1] * 30, [])
    assert enumerate_ideals(antichain, max_ideals=500).status is LatticeStatus.TOO_MANY
    assert enumerate_ideals(antichain, max_ideals=10**6, max_bytes=1 << 20).status is LatticeStatus.TOO_LARGE
    assert enumerate_ideals(antichain, max_ideals=10**6, should_stop=lambda: True).status is LatticeStatus.STOPPED
    found, complete = count_ideals(antichain, max_ideals=500)
    assert not complete
    assert found <= 500
    with pytest.raises(ValueError, match="only a complete lattice"):
        ChainSearch(antichain, enumerate_ideals(antichain, max_ideals=500))


@EXHAUSTIVE
@given(SEEDS)
def test_decisions_agree_with_the_optimum(seed: int) -> None:
    problem = random_problem(seed)
    optimum = brute_force_optimum(problem)
    chains = ChainSearch(problem.instance, enumerate_ideals(problem.instance, max_ideals=10_000))
    for threshold in (optimum, optimum + 1, 2 * optimum + 3):
        partition = chains.decide(problem.useful_stages, threshold, lambda: False)
        assert partition is not None
        assert bottleneck(problem, partition) <= threshold
    if optimum:
        assert chains.decide(problem.useful_stages, optimum - 1, lambda: False) is None


@EXHAUSTIVE
@given(SEEDS)
def test_what_is_looked_for_keeps_the_threshold(seed: int) -> None:
    problem = random_problem(seed)
    chains = ChainSearch(problem.instance, enumerate_ideals(problem.instance, max_ideals=10_000))
    optimum = brute_force_optimum(problem)
    for threshold in (optimum, optimum + optimum // 4, 2 * optimum + 3):
        partition = chains.look_for(problem.useful_stages, threshold, lambda: False)
        assert partition is None or bottleneck(problem, partition) <= threshold
    if optimum:
        assert chains.look_for(problem.useful_stages, optimum - 1, lambda: False) is None
    # It forgets nothing for the decisions after it.
    assert chains.decide(problem.useful_stages, optimum, lambda: False) is not None


def test_looking_takes_a_part_of_the_steps_and_finds_as_much() -> None:
    instance = random_layered_instance(3, 60, width=4)
    lattice = enumerate_ideals(instance, max_ideals=300_000)
    decided = looked = steps_to_look = steps_to_decide = 0
    for stages in (4, 8, 12):
        sliced = Slicer(instance, np.arange(60)).solve(stages)
        assert sliced is not None
        for part in (0.8, 0.9, 1.0):
            threshold = int(part * sliced.value)
            looking, deciding = ChainSearch(instance, lattice), ChainSearch(instance, lattice)
            decided += deciding.decide(stages, threshold, lambda: False) is not None
            looked += looking.look_for(stages, threshold, lambda: False) is not None
            steps_to_look += looking.steps
            steps_to_decide += deciding.steps
    assert 3 <= decided < 9
    assert looked >= decided - 1
    assert 2 * steps_to_look < steps_to_decide


def test_a_stopped_decision_claims_nothing() -> None:
    instance = random_layered_instance(3, 60, width=12)
    lattice = enumerate_ideals(instance, max_ideals=300_000)
    assert lattice.complete
    chains = ChainSearch(instance, lattice)
    threshold = int(instance.total_work / 4 * 1.3)
    with pytest.raises(OutOfTimeError):
        chains.decide(6, threshold, lambda: True)
    partition = chains.decide(6, instance.total_work, lambda: False)
    assert partition is not None
    assert np.array_equal(np.unique(partition.stage_of) < 6, np.ones(len(np.unique(partition.stage_of)), bool))


@pytest.mark.parametrize("stages", [8, 16, 17, 32, 48])
def test_many_stages_without_a_capacity(stages: int) -> None:
    # Stages times an unlimited capacity once left 64 bits, which refuted what a slicing reaches.
    instance = random_layered_instance(5, 60, width=3)
    sliced = Slicer(instance, np.arange(60)).solve(stages)
    assert sliced is not None
    chains = ChainSearch(instance, enumerate_ideals(instance, max_ideals=10_000))
    partition = chains.decide(stages, sliced.value, lambda: False)
    assert partition is not None
    assert bottleneck(Problem(instance=instance, stages=stages), partition) <= sliced.value


def test_too_many_are_foreseen() -> None:
    antichain = instance_from_lists([1] * 100, [])
    hopeless = enumerate_ideals(antichain, max_ideals=80_000, foresee=True)
    assert hopeless.status is LatticeStatus.TOO_MANY
    assert len(hopeless) < 40_000
    # Two chains: half of their ideals have half of the nodes or fewer, so there is never a reason to give up.
    chains = [(v, 1, [v + 1]) for v in [*range(74), *range(75, 149)]]
    assert enumerate_ideals(instance_from_lists([1] * 150, chains), max_ideals=6_000, foresee=True).complete
