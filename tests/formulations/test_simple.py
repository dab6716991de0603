"""simple is the paper's formula, and never above the optimum."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from formulations.simple import Simple
from framework.bounds import Reason, Soundness
from framework.model.instance import instance_from_lists
from framework.model.problem import Problem
from framework.portfolio.context.local import run_entry
from framework.testing.brute_force import brute_force_optimum
from framework.testing.instances import random_problem


def _bound(problem: Problem) -> int:
    outcome, _ = run_entry(Simple(), problem)
    assert outcome.termination.reason is Reason.FINISHED
    assert outcome.dual is not None
    assert outcome.dual.soundness is Soundness.EXACT
    assert outcome.dual.certificate is not None
    assert Simple().check(problem, outcome.dual.certificate) == outcome.dual.value
    return outcome.dual.value


def test_heaviest_node_average_and_parameters() -> None:
    instance = instance_from_lists([3, 9, 2, 1], [(0, 5, [1]), (1, 7, [2])])
    assert _bound(Problem(instance=instance, stages=4)) == 9
    assert _bound(Problem(instance=instance, stages=1)) == 15
    instance = instance_from_lists([3, 3, 2], [(0, 5, [1])], parameter_cost=[10, 10, 10], capacity=6)
    # 8 work and 30 - 2 * 6 overflow in two stages.
    assert _bound(Problem(instance=instance, stages=2)) == 13


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=200, derandomize=True, deadline=None)
def test_never_above_the_optimum(seed: int) -> None:
    problem = random_problem(seed)
    optimum = brute_force_optimum(problem)
    assert _bound(problem) <= optimum
    if problem.stages == 1:
        assert _bound(problem) == optimum
