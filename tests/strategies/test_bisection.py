"""`bisection`: a certified interval from any decision formulation, however undecided it is."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from framework.bounds import Limit, Outcome, Reason, Soundness, Termination
from framework.contracts import Context, Decision, Feature, Refuted, Satisfied, Undecided
from framework.errors import UserError
from framework.model.problem import Problem
from framework.portfolio.context.local import run_entry
from framework.registry import load_plugins, register_formulation, registry
from framework.structure.ideals.chain_dp import ChainSearch
from framework.structure.ideals.lattice import enumerate_ideals
from framework.testing.brute_force import brute_force_optimum
from framework.testing.instances import random_layered_instance, random_problem

load_plugins()
ASKED: list[int] = []


@register_formulation("test-blurred", features=[Feature.DECISION], summary="decides only far from the optimum")
@dataclass(frozen=True, slots=True, kw_only=True)
class Blurred:
    """True answers, but none within `blur` percent of the optimum unless there is time."""

    blur: int = 10
    needs_seconds: float = 1e9

    def bound(self, problem: Problem, context: Context) -> Outcome:
        return Outcome(termination=Termination(reason=Reason.FINISHED))

    def decide(self, problem: Problem, threshold: int, context: Context) -> Decision:
        ASKED.append(threshold)
        chains = ChainSearch(problem.instance, enumerate_ideals(problem.instance, max_ideals=100_000))
        optimum = brute_force_optimum(problem)
        if abs(threshold - optimum) * 100 <= self.blur * optimum and context.remaining() < self.needs_seconds:
            return Undecided(reason="too close to call")
        found = chains.decide(problem.useful_stages, threshold, lambda: False)
        return Refuted(soundness=Soundness.CERTIFIED) if found is None else Satisfied(partition=found)


@pytest.mark.parametrize("over", ["ideal-dp", "cp-sat", "[cp-sat:resolution=50]"])
def test_it_closes_with_an_exact_decision(over: str) -> None:
    for seed in range(40_000, 40_060):
        problem = random_problem(seed)
        outcome, board = run_entry(registry.create(f"bisection:over={over}"), problem)
        assert outcome.termination.reason is Reason.OPTIMAL
        optimum = brute_force_optimum(problem)
        assert (board.interval.dual, board.interval.incumbent) == (optimum, optimum), f"random_problem({seed})"


def test_an_undecided_band_is_narrowed_from_both_ends_and_reported() -> None:
    problem = Problem(instance=random_layered_instance(2, 12), stages=3)
    optimum = brute_force_optimum(problem)
    outcome, board = run_entry(registry.create("bisection:over=test-blurred,first_seconds=0.01"), problem)
    assert outcome.termination.limit is Limit.ITERATIONS
    assert outcome.termination.detail == "test-blurred decides nothing more: too close to call"
    low, high = outcome.details["undecided_band"]
    assert low <= high
    assert board.interval.dual is not None
    assert board.interval.incumbent is not None
    # Everything outside the blur is settled, nothing inside is claimed.
    assert 0.89 * optimum < board.interval.dual <= optimum <= board.interval.incumbent
    assert board.dual is not None
    assert board.dual.soundness in (Soundness.CERTIFIED, Soundness.EXACT)


def test_more_time_settles_what_less_could_not() -> None:
    problem = Problem(instance=random_layered_instance(2, 12), stages=3)
    spec = "bisection:over=[test-blurred:needs_seconds=0.3],first_seconds=0.05"
    outcome, board = run_entry(registry.create(spec), problem)
    assert outcome.termination.reason is Reason.OPTIMAL
    assert board.interval.dual == brute_force_optimum(problem)


def test_it_starts_from_the_shared_interval() -> None:
    problem = Problem(instance=random_layered_instance(2, 12), stages=3)
    _, board = run_entry(registry.create("ideal-dp"), problem)
    ASKED.clear()
    outcome, _ = run_entry(registry.create("bisection:over=test-blurred"), problem, board=board)
    assert outcome.termination.reason is Reason.OPTIMAL
    assert ASKED == []


def test_only_a_decision_formulation_can_be_lifted() -> None:
    problem = random_problem(1)
    with pytest.raises(UserError, match="simple decides no thresholds"):
        run_entry(registry.create("bisection:over=simple"), problem)
