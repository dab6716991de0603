"""multilevel improves what it is given, the same way for the same seed, and ends when told."""

from __future__ import annotations

import numpy as np
import pytest

from formulations.slice_graph import SliceGraph
from framework.bounds import Limit
from framework.model.problem import Partition, Problem
from framework.portfolio.context.board import Board
from framework.portfolio.context.local import LocalContext, run_entry
from framework.testing.instances import random_layered_instance
from strategies.annealing import Annealing
from strategies.multilevel import Multilevel


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


def test_it_says_when_a_problem_is_too_large() -> None:
    problem = Problem(instance=random_layered_instance(3, 16_000), stages=16_000)
    board = Board(problem, clock=lambda: 0.0)
    LocalContext(board, "alone").report_partition(Partition(stage_of=np.arange(16_000)))
    outcome, _ = run_entry(Multilevel(nodes=16_000), problem, board=board)
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
