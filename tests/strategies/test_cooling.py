"""What annealing and multilevel have in common: nothing below the optimum, and an end when told."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.bounds import Limit, Reason
from framework.contracts import Strategy
from framework.model.problem import Problem, bottleneck, obeys
from framework.portfolio.context.board import Board
from framework.portfolio.context.local import LocalContext, run_entry
from framework.structure.primal.initial_interval import balanced_partition
from framework.testing.brute_force import brute_force_optimum
from framework.testing.instances import random_layered_instance, random_problem, random_unequal_problem
from strategies.annealing import Annealing
from strategies.multilevel import Multilevel


def annealing(nodes: int) -> Strategy:
    return Annealing(moves_per_node=50)


def multilevel(nodes: int) -> Strategy:
    return Multilevel(nodes=nodes, moves_per_node=50, patience=5)


@pytest.mark.parametrize("make", [annealing, multilevel])
@given(st.integers(0, 2**32 - 1), st.integers(2, 8))
@settings(max_examples=30, derandomize=True, deadline=None)
def test_never_below_the_optimum(make: Callable[[int], Strategy], seed: int, nodes: int) -> None:
    problem = random_problem(seed)
    outcome, board = run_entry(make(nodes), problem, seed=seed)
    assert outcome.incumbent is not None
    assert board.incumbent is not None
    assert not board.rejected
    assert outcome.incumbent.value == board.incumbent.value >= brute_force_optimum(problem)
    assert outcome.incumbent.value == bottleneck(problem, outcome.incumbent.partition)
    assert outcome.termination.reason is Reason.FINISHED


@pytest.mark.parametrize("make", [annealing, multilevel])
def test_values_on_unequal_stages_are_true(make: Callable[[int], Strategy]) -> None:
    found = optimal = 0
    for seed in range(60):
        problem = random_unequal_problem(seed)
        outcome, board = run_entry(make(4), problem, seed=seed)
        assert not board.rejected
        if outcome.incumbent is not None:
            optimum = brute_force_optimum(problem)
            assert obeys(problem, outcome.incumbent.partition)
            assert outcome.incumbent.value == bottleneck(problem, outcome.incumbent.partition) >= optimum
            found += 1
            optimal += outcome.incumbent.value == optimum
    assert found >= 40
    assert optimal >= found - 6


@pytest.mark.parametrize(
    ("entry", "longer", "nodes", "calls"),
    [
        (Annealing(), Annealing(moves_per_node=10_000), 150, 4),
        (Multilevel(), Multilevel(moves_per_node=10_000), 600, 6),
    ],
)
def test_it_ends_when_told_and_keeps_what_it_has(entry: Strategy, longer: Strategy, nodes: int, calls: int) -> None:
    problem = Problem(instance=random_layered_instance(3, nodes, width=40), stages=8)
    board = Board(problem, clock=lambda: 0.0)
    outcome = entry.run(problem, LocalContext(board, "entry", seconds=0.0))
    assert outcome.termination.limit is Limit.TIME
    assert outcome.incumbent is not None
    assert outcome.incumbent.value == bottleneck(problem, balanced_partition(problem))
    asked = itertools.count()
    stopping = LocalContext(board, "entry", cancelled=lambda: next(asked) > calls)
    assert longer.run(problem, stopping).termination.limit is Limit.TIME
    assert board.incumbent is not None
    assert board.incumbent.value < bottleneck(problem, balanced_partition(problem))
