"""The kernels of the chain relaxation where nothing is fluid: then they are a program over chains of ideals."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.model.arrays import IntArray
from framework.model.problem import Problem
from framework.structure.fluid import ideal_table as rows
from framework.structure.fluid import kernels
from framework.structure.fluid.core import build_core, incidence
from framework.structure.fluid.ideal_table import Limits, Nets
from framework.structure.ideals.lattice import IdealLattice, enumerate_ideals
from framework.testing.brute_force import brute_force_optimum, stage_cost
from framework.testing.instances import random_problem

NOTHING = np.zeros((2, 0), np.int64)
SEEDS = st.integers(0, 2**32 - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chains:
    """The lattice of an instance that is all core, with what the kernels need, and its ideals as sets of nodes."""

    lattice: IdealLattice
    graph: kernels.Graph
    facts: IntArray
    sets: list[int]


def _chains(problem: Problem) -> Chains:
    instance = problem.instance
    core = build_core(instance, np.zeros(instance.n, np.bool_))
    lattice = enumerate_ideals(core.order, max_ideals=10_000)
    pin_nets = np.repeat(np.arange(len(core.net_cost), dtype=np.int64), np.diff(core.net_ptr))
    heads = np.zeros(len(pin_nets), np.bool_)
    heads[core.net_ptr[:-1][core.headed]] = True
    entering = incidence(core.net_pins[~heads], pin_nets[~heads], core.order.n)
    facts = np.zeros((rows.PLAIN_FACTS, len(lattice)), np.int64)
    facts[rows.WORK] = facts[rows.WEIGHT] = lattice.work
    facts[rows.PARAMETERS], facts[rows.AVAILABLE] = lattice.parameter_cost, rows.ANY_NUMBER
    nodes = core.nodes.tolist()
    sets = [sum(1 << v for i, v in enumerate(nodes) if int(bits) >> i & 1) for bits in lattice.bits[:, 0]]
    # What a stage from the start to an ideal pays beside work and overflow is for what crosses its end.
    overflow = np.maximum(0, lattice.parameter_cost - instance.capacity)
    facts[rows.CUT] = [stage_cost(instance, members) for members in sets] - lattice.work - overflow
    graph = kernels.graph_of(lattice.arrays, Nets(core.net_cost, core.net_ptr, core.net_pins, *entering))
    return Chains(lattice=lattice, graph=graph, facts=facts, sets=sets)


def _limits(problem: Problem, threshold: int) -> Limits:
    return Limits(
        threshold=threshold,
        allowance=0,
        capacity=problem.instance.bounded_capacity,
        fluid=0,
        apart=True,
        exchangeable=True,
        overflows=problem.instance.can_overflow,
        rate=1.0,
        grain=1,
        toll=0,
        unit=0,
        feeding=0,
        factors=np.zeros(0, np.int64),
        by_unit=False,
        prefixes=np.zeros((2, 0), np.int64),
    )


def _stages_to(chains: Chains, problem: Problem, threshold: int, *, backwards: bool) -> list[int]:
    """Return how many stages of cost at most a threshold lead to each ideal, or from it to all; 99 where none do."""
    sets = chains.sets
    order = range(len(sets))
    least = [99] * len(sets)
    least[-1 if backwards else 0] = 0
    for i in reversed(order) if backwards else order:
        for j in order:
            below, above = (sets[i], sets[j]) if backwards else (sets[j], sets[i])
            if below & ~above == 0 and stage_cost(problem.instance, above ^ below) <= threshold:
                least[i] = min(least[i], least[j] + (below != above))
    return least


@given(SEEDS)
@settings(max_examples=30, derandomize=True, deadline=None)
def test_levels_hold_all_ideals_of_partitions_and_only_what_stages_reach(seed: int) -> None:
    problem = random_problem(seed, max_nodes=6)
    if seed % 2:
        # Where transfers outweigh work, a stage can cost more than a larger one.
        light = replace(problem.instance, work=problem.instance.work // 8)
        problem = replace(problem, instance=light)
    chains, k, optimum = _chains(problem), problem.useful_stages, brute_force_optimum(problem)
    size = len(chains.sets)
    costs = [stage_cost(problem.instance, members) for members in chains.sets]
    for threshold in {max(0, optimum - 1), optimum, *np.random.default_rng(seed).choice(costs, 3).tolist()}:
        limits = _limits(problem, threshold)
        ahead = _stages_to(chains, problem, threshold, backwards=False)
        behind = _stages_to(chains, problem, threshold, backwards=True)
        need, slot, least = np.empty(size, np.int64), np.empty(size, np.int64), np.zeros((5, size), np.int64)
        best = np.full(size, -1, np.int64)
        best[0] = 0
        table = kernels.Table(chains.facts, need, best, slot, least)
        level = kernels.Level(*(np.array([x], np.int64) for x in (0, 0, 0, -1)))
        finished = False
        for b in range(1, k + 1):
            state = kernels.finishing_state(chains.facts, limits, level, 0, *NOTHING)
            if state >= 0:
                finished = True
                assert behind[level.ideals[state]] <= 1
                break
            assert not any(behind[ideal] <= 1 for ideal in level.ideals.tolist())
            if b == k or not len(level.ideals):
                break
            kernels.fill_need(chains.facts, limits, k - b, need)
            # What can still be finished is of use.
            assert all(need[i] <= 0 for i in range(size) if behind[i] <= k - b)
            slot.fill(-1)
            new = kernels.Level(*(np.empty(size, np.int64) for _ in range(4)))
            counters = np.zeros(kernels.COUNTERS, np.int64)
            counters[kernels.FOUND] = kernels.carry(limits, table, level, new)
            counters[kernels.FIRST] = int(level.ideals.min())
            counters[kernels.LAST] = kernels.fill_least(chains.lattice.arrays, table, counters[kernels.FIRST], size - 1)
            order = np.arange(len(level.ideals))
            assert kernels.walk(limits, chains.graph, table, level, new, order, counters, None)
            found = {i for i in range(size) if best[i] >= need[i]}
            assert found >= {i for i in range(size) if ahead[i] <= b and behind[i] <= k - b}
            assert all(ahead[i] <= b for i in found)
            count = int(counters[kernels.FOUND])
            level = kernels.Level(*(array[:count].copy() for array in new))
        assert finished == (threshold >= optimum)


@given(SEEDS)
@settings(max_examples=30, derandomize=True, deadline=None)
def test_minima_are_over_the_ideals_above_that_may_improve(seed: int) -> None:
    problem = random_problem(seed, max_nodes=6)
    chains, rng = _chains(problem), np.random.default_rng([seed, 5])
    size, facts = len(chains.sets), chains.facts
    facts[rows.MOST], facts[rows.LEAST] = rng.integers(0, 20, size), rng.integers(0, 9, size)
    facts[rows.AVAILABLE] = rng.integers(0, 9, size)
    need = np.where(rng.random(size) < 0.3, kernels.NEVER, rng.integers(0, 15, size))
    best = rng.integers(-1, 15, size)
    least = np.zeros((kernels.LEAST_ROWS, size), np.int64)
    table = kernels.Table(facts, need, best, np.zeros(size, np.int64), least)
    last = kernels.fill_least(chains.lattice.arrays, table, 0, size - 1)
    wanted = np.maximum(need, best + 1)
    useful = np.flatnonzero(wanted <= facts[rows.MOST]).tolist()
    assert last == max(useful, default=-1)
    for i in range(last + 1):
        above = [j for j in useful if chains.sets[i] & ~chains.sets[j] == 0]
        compared = [
            facts[rows.WEIGHT] + facts[rows.CUT] + wanted,
            facts[rows.WORK] + facts[rows.CUT],
            facts[rows.WORK] + facts[rows.CUT] + facts[rows.PARAMETERS],
            -facts[rows.LEAST],
            facts[rows.WEIGHT] + facts[rows.CUT] + wanted - facts[rows.AVAILABLE],
        ]
        for row, values in zip(least, compared, strict=True):
            assert row[i] == min([int(values[j]) for j in above], default=kernels.NEVER)
