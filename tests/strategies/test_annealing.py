"""annealing improves what it is given, reports only what is better, and ends when told."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formulations.slice_graph import SliceGraph
from framework.bounds import Limit, Reason
from framework.model.problem import Problem, bottleneck
from framework.portfolio.board import Board
from framework.portfolio.local import LocalContext, run_entry
from framework.structure import annealing as kernel
from framework.structure.start import balanced_partition
from framework.testing.brute_force import brute_force_optimum
from framework.testing.instances import random_layered_instance, random_problem
from strategies.annealing import Annealing


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30, derandomize=True, deadline=None)
def test_never_below_the_optimum(seed: int) -> None:
    problem = random_problem(seed)
    outcome, board = run_entry(Annealing(moves_per_node=50), problem, seed=seed)
    assert outcome.incumbent is not None
    assert board.incumbent is not None
    assert not board.rejected
    assert outcome.incumbent.value == board.incumbent.value >= brute_force_optimum(problem)
    assert outcome.incumbent.value == bottleneck(problem, outcome.incumbent.partition)
    assert outcome.termination.reason is Reason.FINISHED


def test_it_improves_on_slicing_and_more_patience_on_less() -> None:
    problem = Problem(instance=random_layered_instance(3, 150, width=40), stages=8)
    _, sliced = run_entry(SliceGraph(), problem)
    assert sliced.incumbent is not None
    before = sliced.incumbent.value
    outcome, _ = run_entry(Annealing(moves_per_node=500, patience=1), problem, board=sliced, seed=3)
    assert outcome.incumbent is not None
    assert outcome.incumbent.value < before
    assert outcome.details["coolings"] >= 1


def test_it_ends_when_told_and_keeps_what_it_has() -> None:
    problem = Problem(instance=random_layered_instance(3, 150, width=40), stages=8)
    board = Board(problem, clock=lambda: 0.0)
    late = LocalContext(board, "annealing", seconds=0.0)
    outcome = Annealing().run(problem, late)
    assert outcome.termination.limit is Limit.TIME
    assert outcome.incumbent is not None
    assert outcome.incumbent.value == bottleneck(problem, balanced_partition(problem))
    calls = itertools.count()
    stopping = LocalContext(board, "annealing", cancelled=lambda: next(calls) > 4)
    assert Annealing(moves_per_node=10_000).run(problem, stopping).termination.limit is Limit.TIME
    assert board.incumbent is not None
    assert board.incumbent.value < bottleneck(problem, balanced_partition(problem))


def test_it_says_when_a_problem_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "LARGEST_TABLE", 100)
    problem = Problem(instance=random_layered_instance(3, 60), stages=8)
    outcome, board = run_entry(Annealing(), problem)
    assert outcome.termination.limit is Limit.SIZE
    assert board.incumbent is None


@pytest.mark.parametrize("parameters", [{"moves_per_node": 0}, {"patience": 0}, {"longest": 0}])
def test_bad_parameters(parameters: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Annealing(**parameters)
