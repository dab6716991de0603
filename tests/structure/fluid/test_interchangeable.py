"""Chains of equal nodes: every partition, sorted, keeps to their arcs, and nothing possible is refuted with them."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.errors import OutOfTimeError
from framework.model.instance import Instance, instance_from_lists
from framework.model.problem import Problem, bottleneck
from framework.structure.fluid.chain_dp import FluidSearch
from framework.structure.fluid.core import build_core
from framework.structure.fluid.interchangeable import Chain, chain_arcs, find_chains
from framework.structure.fluid.rounding import place_fluid
from framework.structure.fluid.selection import FluidChoice
from framework.structure.ideals.lattice import enumerate_ideals
from framework.structure.poset.closure import BoolArray, closure
from framework.testing.brute_force import brute_force_optimum
from framework.testing.instances import random_instance, random_layered_instance, random_problem, with_equal_nodes

SEEDS = st.integers(0, 2**32 - 1)
EXHAUSTIVE = settings(derandomize=True, deadline=None, max_examples=200)


def never() -> bool:
    return False


def random_chains(instance: Instance, seed: int) -> list[Chain]:
    rng = np.random.default_rng([seed, 6])
    candidates: BoolArray = rng.random(instance.n) < rng.choice([0.6, 1.0])
    return find_chains(instance, closure(instance), candidates, least_weight=0, most=int(rng.integers(1, 4)))


def random_fluid(instance: Instance, chains: list[Chain], seed: int) -> BoolArray:
    rng = np.random.default_rng([seed, 7])
    fluid: BoolArray = rng.random(instance.n) < rng.choice([0.0, 0.3, 0.6])
    for chain in chains:
        fluid[chain.nodes] = False
    if fluid.all():
        fluid[0] = False
    return fluid


@EXHAUSTIVE
@given(SEEDS)
def test_sorted_stages_of_every_partition_keep_to_the_arcs(seed: int) -> None:
    instance = with_equal_nodes(random_instance(seed, max_nodes=7), seed)
    chains = random_chains(instance, seed)
    chained = np.zeros(instance.n, np.bool_)
    for chain in chains:
        assert not chained[chain.nodes].any()
        chained[chain.nodes] = True
    arcs = chain_arcs(chains, np.flatnonzero(~chained))
    assert np.all(arcs[0] < arcs[1])
    top = instance.topology
    tails = np.repeat(np.arange(instance.n), np.diff(top.succ_ptr))
    for stages in product(range(3), repeat=instance.n):
        stage = np.array(stages)
        if np.any(stage[tails] > stage[top.succs]):
            continue
        for chain in chains:
            stage[chain.nodes] = np.sort(stage[chain.nodes])
        assert np.all(stage[arcs[0]] <= stage[arcs[1]])


@EXHAUSTIVE
@given(SEEDS)
def test_nothing_possible_is_refuted(seed: int) -> None:
    drawn = random_problem(seed)
    problem = Problem(instance=with_equal_nodes(drawn.instance, seed), stages=drawn.stages)
    optimum = brute_force_optimum(problem)
    chains = random_chains(problem.instance, seed)
    core = build_core(problem.instance, random_fluid(problem.instance, chains, seed), chains)
    search = FluidSearch(core, enumerate_ideals(core.order, max_ideals=100_000))
    for variant in search.variants:
        for threshold in (optimum, optimum + 1, 3 * optimum + 5):
            plan = search.decide(problem.useful_stages, threshold, never, variant=variant)
            assert plan is not None
            placed = place_fluid(problem, core, plan.stage_of_core)
            assert bottleneck(problem, placed) >= optimum


def test_whole_nodes_prove_more_than_a_fluid() -> None:
    # Seven units of 4 on three stages: 12 at least, where a fluid needs 28/3.
    instance = instance_from_lists([4] * 7, [])
    (chain,) = find_chains(instance, closure(instance), np.ones(7, np.bool_), least_weight=1, most=1)
    assert chain.nodes.tolist() == list(range(7))
    core = build_core(instance, np.zeros(7, np.bool_), [chain])
    lattice = enumerate_ideals(core.order, max_ideals=8)
    assert lattice.complete
    search = FluidSearch(core, lattice)
    assert search.decide(3, 11, never) is None
    plan = search.decide(3, 12, never)
    assert plan is not None
    problem = Problem(instance=instance, stages=3)
    assert bottleneck(problem, place_fluid(problem, core, plan.stage_of_core)) == 12


def test_two_chains_know_of_each_other() -> None:
    # Each of three leaves has a root of its own: sorted, the i-th leaf comes after the i-th root.
    instance = instance_from_lists([5, 5, 5, 3, 3, 3], [(v, 0, [v + 3]) for v in range(3)])
    chains = find_chains(instance, closure(instance), np.ones(6, np.bool_), least_weight=1, most=2)
    assert [chain.weight for chain in chains] == [5, 3]
    arcs = {(int(a), int(b)) for a, b in chain_arcs(chains, np.empty(0, np.int64)).T}
    assert arcs == {(0, 1), (1, 2), (3, 4), (4, 5), (0, 3), (1, 4), (2, 5)}


def test_a_node_between_waits_for_as_many_as_come_before_it() -> None:
    # Nodes 0, 1 and 2 feed node 3, which feeds 4, 5 and 6; all but 3 are equal.
    instance = instance_from_lists([2, 2, 2, 9, 2, 2, 2], [*((v, 0, [3]) for v in range(3)), (3, 0, [4, 5, 6])])
    (chain,) = find_chains(instance, closure(instance), np.ones(7, np.bool_), least_weight=1, most=3)
    arcs = {(int(a), int(b)) for a, b in chain_arcs([chain], np.array([3])).T}
    assert arcs == {(0, 1), (1, 2), (2, 4), (4, 5), (5, 6), (2, 3), (3, 4)}


def test_light_rare_and_unequal_nodes_stay_what_they_are() -> None:
    instance = instance_from_lists([9, 9, 1, 1, 1, 5, 5, 5], [], parameter_cost=[0, 0, 0, 0, 0, 1, 1, 2], capacity=3)
    everything = np.ones(instance.n, np.bool_)
    assert not find_chains(instance, closure(instance), everything, least_weight=2, most=9)
    (chain,) = find_chains(instance, closure(instance), everything, least_weight=1, most=9)
    assert chain.nodes.tolist() == [2, 3, 4]
    with pytest.raises(OutOfTimeError):
        find_chains(instance, closure(instance), everything, least_weight=1, most=9, should_stop=lambda: True)


def test_the_choice_keeps_chains_in_the_core() -> None:
    layered = random_layered_instance(7, 80, width=12)
    work = layered.work.copy()
    parameters = layered.parameter_cost.copy()
    work[5:60:3] = work.max()
    parameters[5:60:3] = 0
    instance = replace(layered, work=work, parameter_cost=parameters)
    (chain,) = find_chains(instance, closure(instance), np.ones(80, np.bool_), least_weight=1, most=1)
    choice = FluidChoice(instance, chains=[chain])
    for limit in (100, 1_000):
        mask, lattice = choice.choose(limit)
        assert not mask[chain.nodes].any()
        assert lattice.complete
        assert len(lattice) <= limit
        core = build_core(instance, mask, [chain])
        assert core.nodes[core.chained].tolist() == chain.nodes.tolist()
    with pytest.raises(ValueError, match="the chains alone have more than 10 ideals"):
        choice.choose(10)
