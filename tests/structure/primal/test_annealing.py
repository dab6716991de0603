"""The annealer's incremental costs are the evaluator's, and its partitions are valid."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.model.problem import Partition, Problem, bottleneck, obeys, stage_costs
from framework.structure.primal.annealing import Annealer, Cooling, polish
from framework.structure.primal.initial_interval import balanced_partition
from framework.testing.brute_force import brute_force_optimum
from framework.testing.instances import (
    random_layered_instance,
    random_problem,
    random_shared_problem,
    random_unequal_problem,
)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=200, derandomize=True, deadline=None)
def test_costs_stay_exact_and_partitions_valid(seed: int) -> None:
    problem = random_problem(seed)
    annealer = Annealer(problem, balanced_partition(problem), seed)
    for moves in (1, 7, 200):
        annealer.cool(Cooling(moves=moves))
        current = annealer.current_partition()
        assert np.array_equal(annealer.costs, stage_costs(problem, current).total[: len(annealer.costs)])
        assert bottleneck(problem, annealer.best_partition()) == annealer.best
        assert brute_force_optimum(problem) <= annealer.best <= bottleneck(problem, balanced_partition(problem))


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=100, derandomize=True, deadline=None)
def test_shared_parameters_and_limits_are_counted_as_the_evaluator_does(seed: int) -> None:
    problem = random_shared_problem(seed)
    start = balanced_partition(problem)
    annealer = Annealer(problem, start, seed)
    for moves in (1, 7, 200):
        annealer.cool(Cooling(moves=moves))
        current = annealer.current_partition()
        assert np.array_equal(annealer.costs, stage_costs(problem, current).total[: len(annealer.costs)])
        assert obeys(problem, current) or not obeys(problem, start)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=100, derandomize=True, deadline=None)
def test_unequal_stages_are_priced_as_the_evaluator_does(seed: int) -> None:
    problem = random_unequal_problem(seed)
    start = balanced_partition(problem)
    annealer = Annealer(problem, start, seed)
    for moves in (1, 7, 200):
        annealer.cool(Cooling(moves=moves))
        current = annealer.current_partition()
        assert np.array_equal(annealer.costs, stage_costs(problem, current).total)
        assert obeys(problem, current) or not obeys(problem, start)
        assert bottleneck(problem, annealer.best_partition()) == annealer.best


def test_it_finds_optima_of_small_unequal_problems() -> None:
    found = tried = 0
    for seed in range(80):
        problem = random_unequal_problem(seed)
        start = balanced_partition(problem)
        if obeys(problem, start):
            annealer = Annealer(problem, start, seed)
            annealer.cool(Cooling(moves=20_000))
            tried += 1
            found += annealer.best == brute_force_optimum(problem)
    assert found >= 0.9 * tried > 30


def test_it_finds_optima_of_small_problems() -> None:
    found = 0
    for seed in range(60):
        problem = random_problem(seed)
        annealer = Annealer(problem, balanced_partition(problem), seed)
        annealer.cool(Cooling(moves=20_000))
        found += annealer.best == brute_force_optimum(problem)
    assert found >= 57


def test_the_same_seed_makes_the_same_moves() -> None:
    problem = Problem(instance=random_layered_instance(8, 120, width=30, capacity_share=0.1), stages=6)
    ends = []
    for seed in (1, 1, 2):
        annealer = Annealer(problem, balanced_partition(problem), seed)
        annealer.cool(Cooling(moves=50_000))
        ends.append((annealer.best, annealer.current_partition().stage_of.tolist()))
    assert ends[0] == ends[1] != ends[2]
    assert ends[0][0] < bottleneck(problem, balanced_partition(problem))


def test_stages_beyond_the_nodes_are_renumbered() -> None:
    problem = Problem(instance=random_layered_instance(8, 4), stages=9)
    annealer = Annealer(problem, Partition(stage_of=np.array([0, 4, 6, 8])), 1)
    assert annealer.current_partition().stage_of.tolist() == [0, 1, 2, 3]
    annealer.cool(Cooling(moves=1000))
    assert annealer.best == brute_force_optimum(problem)


def test_a_restart_keeps_the_best() -> None:
    problem = Problem(instance=random_layered_instance(8, 60, width=20), stages=4)
    annealer = Annealer(problem, balanced_partition(problem), 1)
    annealer.cool(Cooling(moves=50_000))
    best = annealer.best
    worse = Partition(stage_of=np.zeros(60, np.int64))
    annealer.restart(worse)
    assert annealer.best == best
    assert bottleneck(problem, annealer.best_partition()) == best
    assert annealer.current_partition().stage_of.tolist() == [0] * 60


def test_a_polish_never_makes_worse_and_stops() -> None:
    problem = Problem(instance=random_layered_instance(3, 120, width=9), stages=6)
    start = balanced_partition(problem)
    polished = polish(problem, start, 5, lambda: False)
    assert bottleneck(problem, polished) < bottleneck(problem, start)
    assert (polish(problem, start, 5, lambda: False).stage_of == polished.stage_of).all()
    assert (polish(problem, start, 5, lambda: True).stage_of == start.stage_of).all()
