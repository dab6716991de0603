"""`few-ideals`: exact where there are few ideals, silent where there are more."""

from __future__ import annotations

import pytest

from formulations.few_ideals import MORE_FOR_TWO_STAGES, FewIdeals
from framework.bounds import Limit, Reason, Soundness
from framework.model.instance import instance_from_lists
from framework.model.problem import Problem
from framework.portfolio.context.local import run_entry
from framework.testing.brute_force import brute_force_optimum
from framework.testing.instances import random_limited_problem, random_problem, random_unequal_problem

ANTICHAIN = instance_from_lists([1] * 7, [])
"""128 ideals."""


@pytest.mark.parametrize("seed", range(30))
def test_it_closes_the_gap(seed: int) -> None:
    problem = random_problem(seed)
    outcome, board = run_entry(FewIdeals(), problem)
    assert outcome.termination.reason is Reason.OPTIMAL
    assert board.interval.closed
    assert outcome.dual is not None
    assert outcome.dual.soundness is Soundness.EXACT
    assert outcome.dual.value == brute_force_optimum(problem)


@pytest.mark.parametrize("seed", range(20))
def test_under_limits_and_on_unequal_devices_it_bounds_a_relaxation(seed: int) -> None:
    for problem in (random_limited_problem(seed), random_unequal_problem(seed)):
        outcome, board = run_entry(FewIdeals(), problem)
        assert outcome.dual is not None
        assert outcome.dual.value <= brute_force_optimum(problem)
        assert not board.contradictions


@pytest.mark.parametrize(("stages", "limit"), [(2, 128 // MORE_FOR_TWO_STAGES), (3, 127)])
def test_it_gives_up_beyond_its_limit(stages: int, limit: int) -> None:
    problem = Problem(instance=ANTICHAIN, stages=stages)
    outcome, _ = run_entry(FewIdeals(max_ideals=limit), problem)
    assert outcome.termination.limit is Limit.SIZE
    assert outcome.dual is None
    assert run_entry(FewIdeals(max_ideals=limit + 1), problem)[0].termination.reason is Reason.OPTIMAL


def test_it_ends_when_it_is_told_to() -> None:
    outcome, _ = run_entry(FewIdeals(), Problem(instance=ANTICHAIN, stages=3), seconds=0.0)
    assert outcome.termination.limit is Limit.TIME
    with pytest.raises(ValueError, match="max_ideals"):
        FewIdeals(max_ideals=1)
