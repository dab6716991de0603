"""`cp-sat`: exact, coarse or not."""

from __future__ import annotations

import pytest

from framework.bounds import Limit, Reason, Soundness
from framework.contracts import Refuted, Satisfied, Undecided
from framework.errors import UserError
from framework.model.problem import Problem, bottleneck
from framework.portfolio.context.board import Board
from framework.portfolio.context.local import LocalContext, run_entry
from framework.registry import load_plugins, registry
from framework.testing.brute_force import brute_force_optimum
from framework.testing.instances import random_layered_instance, random_problem

load_plugins()


def context(problem: Problem) -> LocalContext:
    return LocalContext(Board(problem, clock=lambda: 0.0), "test")


@pytest.mark.parametrize("resolution", [1 << 26, 30, 3])
def test_it_equals_exhaustion_whatever_the_resolution(resolution: int) -> None:
    for seed in range(20_000, 20_120):
        problem = random_problem(seed)
        optimum = brute_force_optimum(problem)
        outcome, board = run_entry(registry.create(f"cp-sat:resolution={resolution}"), problem)
        assert outcome.termination.reason is Reason.OPTIMAL
        assert (board.interval.dual, board.interval.incumbent) == (optimum, optimum), f"random_problem({seed})"


@pytest.mark.parametrize("resolution", [1 << 26, 30])
def test_its_decisions_are_true(resolution: int) -> None:
    decider = registry.create_decision(f"cp-sat:resolution={resolution}")
    for seed in range(30_000, 30_080):
        problem = random_problem(seed)
        optimum = brute_force_optimum(problem)
        answer = decider.decide(problem, optimum, context(problem))
        assert isinstance(answer, Satisfied), f"random_problem({seed})"
        assert bottleneck(problem, answer.partition) == optimum
        if optimum:
            assert isinstance(decider.decide(problem, optimum - 1, context(problem)), Refuted), (
                f"random_problem({seed})"
            )


def test_large_coefficients_never_reach_the_solver() -> None:
    """With a resolution of 30 this one once ended in a model with ticks of 10^12, on which CP-SAT claimed too much."""
    problem = random_problem(20_020)
    for resolution in (30, 1 << 26, 1 << 30):
        _, board = run_entry(registry.create(f"cp-sat:resolution={resolution}"), problem)
        assert not board.contradictions
        assert board.interval.dual == board.interval.incumbent == brute_force_optimum(problem)
    with pytest.raises(UserError, match="resolution must be 1 to"):
        registry.create(f"cp-sat:resolution={1 << 31}")


def test_refutations_by_windows_are_exact_and_others_the_solvers() -> None:
    problem = Problem(instance=random_layered_instance(3, 20, width=3), stages=3)
    _, board = run_entry(registry.create("ideal-dp"), problem)
    assert board.incumbent is not None
    decider = registry.create_decision("cp-sat")
    hopeless = decider.decide(problem, int(problem.instance.work.max()) - 1, context(problem))
    near = decider.decide(problem, board.incumbent.value - 1, context(problem))
    assert hopeless == Refuted(soundness=Soundness.EXACT)
    assert near == Refuted(soundness=Soundness.SOLVER)


def test_models_too_large_are_refused_before_they_are_built() -> None:
    problem = Problem(instance=random_layered_instance(1, 200), stages=8)
    outcome, board = run_entry(registry.create("cp-sat:max_size=1000"), problem)
    assert outcome.termination.limit is Limit.SIZE
    assert "more than max_size = 1000" in outcome.termination.detail
    assert not board.contradictions
    answer = registry.create_decision("cp-sat:max_size=1000").decide(problem, 10**6, context(problem))
    assert isinstance(answer, Undecided)


def test_it_improves_on_a_given_partition_only() -> None:
    problem = Problem(instance=random_layered_instance(4, 30, width=4), stages=4)
    _, board = run_entry(registry.create("ideal-dp"), problem)
    assert board.interval.closed
    outcome, board = run_entry(registry.create("cp-sat"), problem, board=board)
    assert outcome.termination.reason is Reason.OPTIMAL
    assert outcome.details["branches"] == 0
