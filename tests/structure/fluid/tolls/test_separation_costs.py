"""Tolls of fluid nodes: no stage pays more than it does, and nothing possible is refuted with them."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.model.instance import Instance, instance_from_lists
from framework.model.problem import Problem
from framework.structure.fluid.chain_dp import FluidSearch
from framework.structure.fluid.core import build_core
from framework.structure.fluid.ideal_table import run_with_tolls
from framework.structure.fluid.interchangeable import find_chains
from framework.structure.fluid.tolls.separation_costs import choose_tolled, find_tolls
from framework.structure.ideals.chain_dp import ChainSearch
from framework.structure.ideals.lattice import enumerate_ideals
from framework.structure.poset.closure import BoolArray, closure
from framework.testing.brute_force import brute_force_optimum, stage_cost
from framework.testing.instances import random_cross_attention, with_equal_nodes

SEEDS = st.integers(0, 2**32 - 1)
EXHAUSTIVE = settings(derandomize=True, deadline=None, max_examples=150)


def never() -> bool:
    return False


def random_fluid(seed: int, n: int, paths: list[int]) -> BoolArray:
    """Return a mask of most path nodes and, sometimes, others."""
    rng = np.random.default_rng([seed, 4])
    mask = np.zeros(n, np.bool_)
    mask[paths] = rng.random(len(paths)) < rng.choice([1.0, 0.8])
    if rng.random() < 0.3:
        mask |= rng.random(n) < 0.15
    if mask.all():
        mask[0] = False
    return mask


def cross_attention(readers: int, *, toll: int = 3, common: int = 2) -> tuple[Instance, BoolArray]:
    """Return an encoder, nodes of work 4 that each feed one reader of a chain, and the mask of these nodes."""
    fed = list(range(1, readers + 1))
    tensors = [(0, common, fed), *((v, toll, [v + readers]) for v in fed)]
    tensors += [(v, 1, [v + 1]) for v in range(readers + 1, 2 * readers)]
    instance = instance_from_lists([6, *[4] * readers, *[3] * readers], tensors)
    mask = np.zeros(instance.n, np.bool_)
    mask[fed] = True
    return instance, mask


@EXHAUSTIVE
@given(SEEDS)
def test_no_stage_pays_more_for_nets_and_tolls_than_for_tensors(seed: int) -> None:
    problem, paths = random_cross_attention(seed)
    instance, n = problem.instance, problem.instance.n
    fluid = random_fluid(seed, n, paths)
    free = replace(instance, work=np.zeros(n, np.int64), parameter_cost=np.zeros(n, np.int64))
    core, tolls, top = build_core(instance, fluid), find_tolls(instance, fluid, ~fluid), instance.topology
    groups = []
    for u, cost in enumerate(tolls.cost[0].tolist()):
        members = np.flatnonzero(tolls.unit == u)
        if len(members):
            takers = np.concatenate([top.succs[top.succ_ptr[v] : top.succ_ptr[v + 1]] for v in members])
            groups.append((cost, np.union1d(members, takers)))
    if len(tolls.feeder):
        feeder = tolls.feeder[0]
        readers = top.succs[top.succ_ptr[feeder] : top.succ_ptr[feeder + 1]]
        sources = np.intersect1d(np.flatnonzero(tolls.fed), readers)
        groups.append((int(tolls.feeding_cost[0]), np.array([feeder, *sources, *tolls.takers])))
    for i, cost in enumerate(core.net_cost.tolist()):
        groups.append((cost, core.nodes[core.net_pins[core.net_ptr[i] : core.net_ptr[i + 1]]]))
    for stage in range(1 << n):
        inside = (stage >> np.arange(n)) & 1
        assert sum(cost * (0 < inside[g].sum() < len(g)) for cost, g in groups) <= stage_cost(free, stage)


@settings(EXHAUSTIVE, max_examples=300)
@given(SEEDS)
def test_nothing_possible_is_refuted(seed: int) -> None:
    problem, paths = random_cross_attention(seed)
    optimum = brute_force_optimum(problem)
    core = build_core(problem.instance, random_fluid(seed, problem.instance.n, paths))
    crowded = np.random.default_rng([seed, 5]).random(problem.instance.n) < 0.5
    search = FluidSearch(core, enumerate_ideals(core.order, max_ideals=100_000), crowded)
    for variant in search.variants:
        assert search.decide(problem.useful_stages, optimum, never, variant=variant) is not None


@EXHAUSTIVE
@given(SEEDS)
def test_nothing_possible_is_refuted_beside_chains(seed: int) -> None:
    problem, paths = random_cross_attention(seed)
    rng = np.random.default_rng([seed, 6])
    instance = with_equal_nodes(problem.instance, seed)
    problem = Problem(instance=instance, stages=problem.stages)
    fluid = random_fluid(seed, instance.n, paths)
    chains = find_chains(instance, closure(instance), ~fluid | (rng.random(instance.n) < 0.3), least_weight=0, most=1)
    for chain in chains:
        fluid[chain.nodes] = False
    core = build_core(instance, fluid, chains)
    search = FluidSearch(core, enumerate_ideals(core.order, max_ideals=100_000))
    optimum = brute_force_optimum(problem)
    for variant in search.variants:
        assert search.decide(problem.useful_stages, optimum, never, variant=variant) is not None


def test_tolls_and_the_common_tensor_refute_more_than_a_fluid() -> None:
    gained = {"tolls": 0, "common": 0}
    for readers, stages in product((6, 8), (2, 3, 4)):
        instance, fluid = cross_attention(readers)
        core = build_core(instance, fluid)
        assert (core.unit >= 0).all()
        assert core.feeding_cost == 2
        lattice = enumerate_ideals(core.order, max_ideals=100_000)
        exact = ChainSearch(instance, enumerate_ideals(instance, max_ideals=1_000_000))
        whole = FluidSearch(core, lattice)
        no_common = FluidSearch(replace(core, feeding_cost=0), lattice)
        no_tolls = FluidSearch(replace(core, unit_cost=np.zeros_like(core.unit_cost), feeding_cost=0), lattice)
        for threshold in range(int(instance.work.sum()) // stages, instance.total_work // stages + 12):
            answers = [s.decide(stages, threshold, never) is None for s in (no_tolls, no_common, whole)]
            assert answers == sorted(answers)
            gained["tolls"] += answers[1] > answers[0]
            gained["common"] += answers[2] > answers[1]
            assert not answers[2] or exact.decide(stages, threshold, never) is None
    assert all(gained.values())


def test_what_a_stage_runs_with_tolls_is_the_most_of_all_ways() -> None:
    for toll, weight in ((1, 2), (2, 5), (3, 7)):
        for room, owned, free in product(range(15), range(0, 15, 2), (0, 1, 4)):
            best = -1
            for run in range(31):
                due = toll * -(-abs(run - owned) // weight)
                if run + due <= room:
                    best = max(best, run + min(free, room - due - run))
            got = run_with_tolls(room, owned, free, toll, weight)
            assert got == best or (best <= 0 and got < 0) or (got >= best and room < owned)


def test_a_node_on_a_path_is_left_to_the_nets() -> None:
    instance = instance_from_lists([1, 1, 1], [(0, 5, [1]), (1, 3, [2])])
    fluid = np.array([False, True, False])
    tolls = find_tolls(instance, fluid, ~fluid)
    assert (tolls.unit < 0).all()
    assert tolls.tensor_cost.tolist() == [[5, 3]]


def test_a_unit_takes_in_what_only_feeds_it() -> None:
    # Two paths from node 0; on the second one, the first tensor is the cheaper one, yet dear for what it saves.
    tensors = [(0, 9, [1, 3, 5]), (1, 4, [2]), (2, 4, [6]), (3, 2, [4]), (4, 4, [7]), (5, 4, [8])]
    instance = instance_from_lists([1, 10, 10, 10, 10, 10, 1, 1, 1], tensors)
    fluid = np.array([False] + [True] * 5 + [False] * 3)
    tolls = find_tolls(instance, fluid, ~fluid)
    assert tolls.unit[1] == tolls.unit[2] != tolls.unit[3] == tolls.unit[4]
    assert tolls.cost[0, tolls.unit[1:6]].tolist() == [4, 4, 2, 2, 4]
    assert tolls.tensor_cost.tolist() == [[0, 0, 0, 0, 2, 0]]
    assert tolls.feeder.tolist() == [0]


def test_tolled_units_are_those_whose_tolls_come_to_most() -> None:
    unit, weight = np.array([0, 1, 2, -1]), np.array([10, 10, 100, 50])
    mask, toll, most = choose_tolled(unit, np.array([[3, 4, 1], [9, 8, 1]]), weight)
    assert (mask.tolist(), toll, most) == ([True, True, False, False], [3, 5], 10)
    mask, toll, most = choose_tolled(unit, np.zeros((1, 3), np.int64), weight)
    assert not mask.any()
    assert (toll, most) == ([0], 0)
