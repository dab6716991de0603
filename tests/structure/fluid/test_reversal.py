"""Cores read backwards: the same ideals and costs, and nothing possible refuted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.model.instance import instance_from_lists
from framework.model.problem import bottleneck
from framework.structure.fluid.chain_dp import FluidSearch
from framework.structure.fluid.core import build_core
from framework.structure.fluid.reversal import reverse_core, reverse_stages
from framework.structure.fluid.rounding import place_fluid
from framework.structure.ideals.lattice import enumerate_ideals
from framework.testing.brute_force import brute_force_optimum
from framework.testing.instances import random_cross_attention, random_problem

SEEDS = st.integers(0, 2**32 - 1)
EXHAUSTIVE = settings(derandomize=True, deadline=None, max_examples=150)


def never() -> bool:
    return False


@EXHAUSTIVE
@given(SEEDS)
def test_nothing_possible_is_refuted(seed: int) -> None:
    problem = random_problem(seed)
    instance = problem.instance
    optimum = brute_force_optimum(problem)
    mask = np.random.default_rng([seed, 8]).random(instance.n) < 0.4
    mask[0] = False
    core = build_core(instance, mask, tolled=False)
    turned = reverse_core(core)
    lattice = enumerate_ideals(turned.order, max_ideals=100_000)
    assert len(lattice) == len(enumerate_ideals(core.order, max_ideals=100_000))
    search = FluidSearch(turned, lattice)
    for variant in search.variants:
        plan = search.decide(problem.useful_stages, optimum, never, variant=variant)
        assert plan is not None
        placed = place_fluid(problem, core, reverse_stages(plan.stage_of_core, problem.useful_stages))
        assert bottleneck(problem, placed) >= optimum


@EXHAUSTIVE
@given(SEEDS)
def test_without_fluid_both_directions_are_exact(seed: int) -> None:
    problem = random_problem(seed, max_nodes=7)
    optimum = brute_force_optimum(problem)
    turned = reverse_core(build_core(problem.instance, np.zeros(problem.instance.n, np.bool_)))
    search = FluidSearch(turned, enumerate_ideals(turned.order, max_ideals=100_000))
    assert search.decide(problem.useful_stages, optimum, never) is not None
    assert not optimum or search.decide(problem.useful_stages, optimum - 1, never) is None


def test_twice_reversed_is_the_core() -> None:
    problem, paths = random_cross_attention(3)
    mask = np.zeros(problem.instance.n, np.bool_)
    mask[paths] = True
    core = build_core(problem.instance, mask, tolled=False)
    again = reverse_core(reverse_core(core))
    for name in ("nodes", "chained", "net_cost", "net_ptr", "net_pins", "after", "before"):
        assert np.array_equal(getattr(again, name), getattr(core, name))
    assert np.array_equal(again.order.topology.succs, core.order.topology.succs)
    assert reverse_stages(np.array([0, 0, 2]), 4).tolist() == [1, 3, 3]


def test_a_core_with_tolls_has_one_direction() -> None:
    tensors = [(0, 2, [1, 2, 3]), *((v, 3, [v + 3]) for v in (1, 2, 3)), (4, 1, [5]), (5, 1, [6])]
    instance = instance_from_lists([6] + [4] * 3 + [3] * 3, tensors)
    mask = np.array([False, True, True, True, False, False, False])
    assert reverse_core(build_core(instance, mask, tolled=False)).order.n == 4
    with pytest.raises(ValueError, match="cannot be read backwards"):
        reverse_core(build_core(instance, mask))
