"""`fixing`: what no good partition can do otherwise is fixed by cores; what is left is decided."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from framework.bounds import Limit, Reason, Soundness
from framework.contracts import Decision, Refuted, Satisfied
from framework.errors import UserError
from framework.model.instance import instance_from_lists
from framework.model.problem import Partition, Problem, Windows, bottleneck, project
from framework.portfolio.context.board import Board
from framework.portfolio.context.contracted_decisions import ContractedDecisions
from framework.portfolio.context.local import LocalContext, run_entry
from framework.registry import load_plugins, registry
from framework.structure.filtering.tuning import DEFAULT, FilterTuning
from framework.structure.primal.initial_interval import balanced_partition
from framework.structure.reduction.contraction import contract, with_arcs
from framework.testing.brute_force import brute_force_optimum
from framework.testing.instances import random_layered_instance, random_problem

load_plugins()


@pytest.mark.parametrize("over", ["ideal-dp", "cp-sat", "[cp-sat:linearization=0+2]"])
@pytest.mark.parametrize("seed", range(41_000, 41_020))
def test_it_closes_with_an_exact_decision(over: str, seed: int) -> None:
    problem = random_problem(seed)
    tuning = FilterTuning(first_ideals=2 + seed % 5, max_ideals=2 + seed % 5)
    entry = replace(registry.create(f"fixing:over={over}"), tuning=tuning)
    outcome, board = run_entry(entry, problem)
    assert outcome.termination.reason is Reason.OPTIMAL
    optimum = brute_force_optimum(problem)
    assert (board.interval.dual, board.interval.incumbent) == (optimum, optimum)


def test_partitions_found_on_what_is_left_are_ones_of_the_problem() -> None:
    problem = Problem(instance=random_layered_instance(11, 60, width=3), stages=4)
    outcome, board = run_entry(registry.create("fixing"), problem, seconds=20)
    assert outcome.incumbent is not None
    assert bottleneck(problem, outcome.incumbent.partition) == outcome.incumbent.value
    assert board.interval.dual is not None
    assert board.interval.dual <= outcome.incumbent.value


def test_what_is_left_is_smaller_and_decided_there() -> None:
    """Below the optimum of a narrow graph nothing is left; at it, what is left has far fewer nodes."""
    problem = Problem(instance=random_layered_instance(5, 80, width=2), stages=3)
    optimum = run_entry(registry.create("ideal-dp"), problem)[1].interval.incumbent
    assert optimum is not None
    decisions = ContractedDecisions(registry.create_decision("ideal-dp"), problem, fix=DEFAULT)
    context = LocalContext(Board(problem, clock=lambda: 0.0), "test")
    assert decisions.fix(optimum - 1, 0, context)
    assert not decisions.fix(optimum, 0, context)
    answer = decisions.decide(optimum, context)
    assert decisions.contracted == 1
    assert bottleneck(problem, answer.partition) == optimum  # type: ignore[union-attr]


def test_what_is_left_is_searched_for_better_partitions() -> None:
    problem = Problem(instance=random_layered_instance(5, 80, width=2), stages=3)
    board = Board(problem, clock=lambda: 0.0)
    context = LocalContext(board, "test")
    context.report_partition(balanced_partition(problem))
    before = board.interval.incumbent
    assert before is not None
    decisions = ContractedDecisions(registry.create_decision("ideal-dp"), problem, fix=DEFAULT)
    decisions.improve([registry.create("slice-graph")], before - 1, context)
    assert board.interval.incumbent == before, "nothing was fixed yet"
    assert not decisions.fix(before - 1, 0, context)
    decisions.improve([registry.create("slice-graph"), registry.create("weave:patience=20")], before - 1, context)
    assert board.interval.incumbent == run_entry(registry.create("ideal-dp"), problem)[1].interval.incumbent
    assert decisions.choices(before - 1) > 0


def test_windows_bind_the_decision() -> None:
    instance = instance_from_lists([1, 1, 1], [(0, 0, [1, 2])])
    assert isinstance(_decide(Problem(instance=instance, stages=2)), Satisfied)
    first = Windows(earliest=np.zeros(3, np.int64), latest=np.zeros(3, np.int64))
    assert isinstance(_decide(Problem(instance=instance, stages=2, windows=first)), Refuted)
    with pytest.raises(ValueError, match="windows of 3 nodes for an instance of 2"):
        Problem(instance=instance_from_lists([1, 1], [(0, 0, [1])]), stages=2, windows=first)


def _decide(problem: Problem) -> Decision:
    context = LocalContext(Board(problem, clock=lambda: 0.0), "test")
    return registry.create_decision("cp-sat").decide(problem, 2, context)


def test_incumbents_against_the_order_are_not_handed_on() -> None:
    """An incumbent above the threshold may keep all groups and yet go against an arc that fixing added."""
    instance = instance_from_lists([1, 1, 1], [(0, 1, [2])])
    ordered = contract(with_arcs(instance, np.array([0]), np.array([1])), np.arange(3))
    against, along = Partition(stage_of=np.array([1, 0, 1])), Partition(stage_of=np.array([0, 0, 1]))
    assert project(against, instance) is not None
    assert project(against, ordered) is None
    kept = project(along, ordered)
    assert kept is not None
    assert kept.stage_of.tolist() == [0, 0, 1]


def test_running_out_of_time_is_said() -> None:
    problem = Problem(instance=random_layered_instance(7, 200, width=12), stages=5)
    outcome, _ = run_entry(registry.create("fixing"), problem, seconds=0.3)
    assert outcome.termination.limit is Limit.TIME
    assert outcome.dual is not None


def test_a_bound_that_fixing_alone_gives_is_exact() -> None:
    problem = Problem(instance=random_layered_instance(5, 80, width=2), stages=3)
    outcome, _ = run_entry(registry.create("fixing:over=ideal-dp"), problem)
    assert outcome.dual is not None
    assert outcome.dual.soundness is Soundness.EXACT
    assert outcome.termination.reason is Reason.OPTIMAL


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("fixing:first_seconds=0", "first_seconds must be positive"),
        ("fixing:max_sweeps=0", "max_sweeps must be at least 1"),
        ("cp-sat:linearization=3", "linearization must be levels from 0 to 2"),
        ("cp-sat:linearization=0+", "linearization must be levels from 0 to 2"),
    ],
)
def test_mistakes_are_named(spec: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        registry.create(spec)


def test_levels_of_linearization_agree() -> None:
    problem = Problem(instance=random_layered_instance(9, 12), stages=3)
    optimum = brute_force_optimum(problem)
    context = LocalContext(Board(problem, clock=lambda: 0.0), "test", seconds=20)
    answers = []
    for levels in ("0", "1", "2", "0+2"):
        decider = registry.create_decision(f"cp-sat:linearization={levels}")
        for threshold in (optimum - 1, optimum):
            answers.append(type(decider.decide(problem, threshold, context)).__name__)
    assert answers == ["Refuted", "Satisfied"] * 4
