"""annealing improves what it is given, reports only what is better, and ends when told."""

from __future__ import annotations

import pytest

from formulations.slice_graph import SliceGraph
from framework.bounds import Limit
from framework.model.problem import Problem
from framework.portfolio.context.local import run_entry
from framework.testing.instances import random_layered_instance
from strategies.annealing import Annealing


def test_it_improves_on_slicing_and_more_patience_on_less() -> None:
    problem = Problem(instance=random_layered_instance(3, 150, width=40), stages=8)
    _, sliced = run_entry(SliceGraph(), problem)
    assert sliced.incumbent is not None
    before = sliced.incumbent.value
    outcome, _ = run_entry(Annealing(moves_per_node=500, patience=1), problem, board=sliced, seed=3)
    assert outcome.incumbent is not None
    assert outcome.incumbent.value < before
    assert outcome.details["coolings"] >= 1


def test_it_says_when_a_problem_is_too_large() -> None:
    problem = Problem(instance=random_layered_instance(3, 16_000), stages=16_000)
    outcome, board = run_entry(Annealing(), problem)
    assert outcome.termination.limit is Limit.SIZE
    assert board.incumbent is None


@pytest.mark.parametrize("parameters", [{"moves_per_node": 0}, {"patience": 0}, {"longest": 0}])
def test_bad_parameters(parameters: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Annealing(**parameters)
