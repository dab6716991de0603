"""`merged`: bounds for few stages hold for many, whatever proves them."""

from __future__ import annotations

import pytest

from framework.bounds import Soundness
from framework.model.instance import instance_from_lists
from framework.model.pricing import price
from framework.model.problem import Problem
from framework.portfolio.context.local import run_entry
from framework.registry import load_plugins, registry
from framework.structure.primal.initial_interval import simple_bound
from framework.testbed.random_graphs import regal_graph
from framework.testing.brute_force import brute_force_optimum
from framework.testing.instances import random_problem

load_plugins()


@pytest.mark.parametrize("over", ["nested-cuts", "ideal-dp", "cp-sat"])
def test_lifted_bounds_hold(over: str) -> None:
    seeds = range(80_000, 80_010 if over == "cp-sat" else 80_050)
    for seed in seeds:
        problem = random_problem(seed, max_stages=7)
        for into in (1, 2, 3):
            _, board = run_entry(registry.create(f"merged:over={over},into={into}"), problem)
            assert not board.contradictions
            assert not board.rejected
            assert board.interval.dual is not None
            assert board.interval.dual <= brute_force_optimum(problem), f"random_problem({seed}), into {into}"


def test_the_capacity_grows_with_the_factor() -> None:
    # Two nodes of one stage's parameters each: four stages hold everything, two of the plain capacity would not.
    instance = instance_from_lists([10] * 4, [], parameter_cost=[100] * 4, capacity=100)
    problem = Problem(instance=instance, stages=4)
    outcome, board = run_entry(registry.create("merged:over=ideal-dp,into=2"), problem)
    assert outcome.details["factor"] == 2
    assert outcome.details["stages"] == 2
    assert board.interval.dual == 10 == brute_force_optimum(problem)


def test_it_lifts_two_stages_to_eight_and_slices_what_it_finds() -> None:
    problem = Problem(instance=price(regal_graph("ws", 60, 4)), stages=8)
    outcome, board = run_entry(registry.create("merged"), problem)
    assert outcome.dual is not None
    assert outcome.dual.value > simple_bound(problem)
    assert outcome.dual.soundness is Soundness.EXACT
    assert outcome.incumbent is not None
    assert board.interval.incumbent == outcome.incumbent.value
