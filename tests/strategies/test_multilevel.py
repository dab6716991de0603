"""multilevel improves what it is given, the same way for the same seed, and ends when told."""

from __future__ import annotations

import itertools

import numpy as np
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
from strategies.multilevel import Multilevel


@given(st.integers(0, 2**32 - 1), st.integers(2, 8))
@settings(max_examples=30, derandomize=True, deadline=None)
def test_never_below_the_optimum(seed: int, nodes: int) -> None:
    problem = random_problem(seed)
    outcome, board = run_entry(Multilevel(nodes=nodes, moves_per_node=50, patience=5), problem, seed=seed)
    assert outcome.incumbent is not None
    assert board.incumbent is not None
    assert not board.rejected
    assert outcome.incumbent.value == board.incumbent.value >= brute_force_optimum(problem)
    assert outcome.incumbent.value == bottleneck(problem, outcome.incumbent.partition)
    assert outcome.termination.reason is Reason.FINISHED


def test_it_improves_where_single_moves_do_not() -> None:
    problem = Problem(instance=random_layered_instance(3, 2000, width=40), stages=8)
    _, sliced = run_entry(SliceGraph(random_orders=0), problem)
    assert sliced.incumbent is not None
    before = sliced.incumbent.value
    results = []
    for _ in range(2):
        outcome, _ = run_entry(
            Multilevel(nodes=200, moves_per_node=500, patience=1), problem, board=clone(sliced), seed=3
        )
        assert outcome.incumbent is not None
        assert outcome.details["coolings"] >= 1
        results.append(outcome.incumbent)
    assert results[0].value < before
    assert np.array_equal(results[0].partition.stage_of, results[1].partition.stage_of)
    single, _ = run_entry(Annealing(moves_per_node=50, patience=1), problem, board=clone(sliced), seed=3)
    assert single.incumbent is not None
    assert results[0].value < single.incumbent.value


def clone(board: Board) -> Board:
    """Return a board of the same problem that knows the same partition."""
    copied = Board(board.problem, clock=lambda: 0.0)
    assert board.incumbent is not None
    LocalContext(copied, "clone").report_partition(board.incumbent.partition)
    return copied


def test_it_ends_when_told_and_keeps_what_it_has() -> None:
    problem = Problem(instance=random_layered_instance(3, 600, width=40), stages=8)
    board = Board(problem, clock=lambda: 0.0)
    outcome = Multilevel().run(problem, LocalContext(board, "multilevel", seconds=0.0))
    assert outcome.termination.limit is Limit.TIME
    assert outcome.incumbent is not None
    assert outcome.incumbent.value == bottleneck(problem, balanced_partition(problem))
    calls = itertools.count()
    stopping = LocalContext(board, "multilevel", cancelled=lambda: next(calls) > 6)
    assert Multilevel(moves_per_node=10_000).run(problem, stopping).termination.limit is Limit.TIME
    assert board.incumbent is not None
    assert board.incumbent.value < bottleneck(problem, balanced_partition(problem))


def test_it_says_when_a_problem_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "LARGEST_TABLE", 100)
    problem = Problem(instance=random_layered_instance(3, 60), stages=8)
    outcome, _ = run_entry(Multilevel(), problem)
    assert outcome.termination.limit is Limit.SIZE
    assert outcome.details["coolings"] == 0


@pytest.mark.parametrize("parameters", [{"nodes": 1}, {"moves_per_node": 0}, {"patience": 0}])
def test_bad_counts(parameters: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least"):
        Multilevel(**parameters)


def test_bad_shares() -> None:
    with pytest.raises(ValueError, match="above 0"):
        Multilevel(heaviest=0.0)
    with pytest.raises(ValueError, match="above 0"):
        Multilevel(hottest=-1.0)
