"""`column-enumeration`: exact on small problems, also where the covering bound is not, and honest about its limits."""

from __future__ import annotations

import pytest

from framework.bounds import Reason, Soundness
from framework.contracts import HasExamples, Refuted, Satisfied, Undecided
from framework.errors import UserError
from framework.model.pricing import price
from framework.model.problem import Problem, bottleneck
from framework.portfolio.context.board import Board
from framework.portfolio.context.local import LocalContext, run_entry
from framework.registry import load_plugins, registry
from framework.testbed.random_graphs import regal_graph
from framework.testing.brute_force import brute_force_optimum
from framework.testing.instances import random_layered_instance, random_problem

load_plugins()


def _context(problem: Problem) -> LocalContext:
    return LocalContext(Board(problem, clock=lambda: 0.0), "test")


def test_it_is_exact() -> None:
    for seed in range(60_000, 60_060):
        problem = random_problem(seed, max_nodes=8)
        _, board = run_entry(registry.create("column-enumeration"), problem)
        optimum = brute_force_optimum(problem)
        assert board.interval.incumbent == optimum, f"random_problem({seed})"
        assert board.interval.dual is not None
        assert board.interval.dual <= optimum, f"random_problem({seed})"


def test_it_closes_what_covering_alone_does_not() -> None:
    problem = Problem(instance=price(regal_graph("ba", 18, 0)), stages=3)
    _, covered = run_entry(registry.create("stage-cover"), problem)
    outcome, board = run_entry(registry.create("column-enumeration"), problem)
    assert outcome.termination.reason is Reason.OPTIMAL
    assert outcome.dual is not None
    assert outcome.dual.soundness is Soundness.EXACT
    assert board.interval.closed
    assert covered.interval.dual is not None
    assert board.interval.dual is not None
    assert covered.interval.dual < board.interval.dual
    _, exact = run_entry(registry.create("ideal-dp"), problem)
    assert exact.interval.incumbent == board.interval.incumbent


def test_decisions_on_both_sides_of_the_optimum() -> None:
    formulation = registry.create_decision("column-enumeration")
    for seed in range(61_000, 61_030):
        problem = random_problem(seed, max_nodes=8)
        optimum = brute_force_optimum(problem)
        answer = formulation.decide(problem, optimum, _context(problem))
        if isinstance(answer, Satisfied):
            assert bottleneck(problem, answer.partition) == optimum
        assert not isinstance(answer, Refuted)
        if optimum:
            assert not isinstance(formulation.decide(problem, optimum - 1, _context(problem)), Satisfied)


def test_limits_are_said() -> None:
    problem = Problem(instance=random_layered_instance(1, 60), stages=3)
    outcome, _ = run_entry(registry.create("column-enumeration:max_nodes=50"), problem)
    assert outcome.termination.reason is Reason.LIMIT
    answer = registry.create_decision("column-enumeration:max_nodes=50").decide(problem, 10**6, _context(problem))
    assert isinstance(answer, Undecided | Satisfied)
    with pytest.raises(UserError):
        registry.create("column-enumeration:max_stages=0")


@pytest.mark.parametrize("limit", ["max_stages=1", "first_effort=1,max_effort=1"])
def test_without_room_it_proves_less_and_nothing_false(limit: str) -> None:
    for seed in range(62_000, 62_020):
        problem = random_problem(seed, max_nodes=8)
        _, board = run_entry(registry.create(f"column-enumeration:{limit}"), problem)
        optimum = brute_force_optimum(problem)
        assert board.interval.dual is None or board.interval.dual <= optimum


def test_the_kernels_of_the_enumeration_are_compiled_beforehand() -> None:
    examples = registry.create("column-enumeration")
    assert isinstance(examples, HasExamples)
    for problem in examples.examples():
        outcome, _ = run_entry(registry.create("column-enumeration"), problem)
        assert outcome.details["stages"] > 0
