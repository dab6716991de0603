"""The driver of destructive bounds: what it asks, what it keeps of answers, and when it ends."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from framework.bounds import Limit, Reason, Soundness
from framework.contracts import Context, Decision, Refuted, Satisfied, Undecided
from framework.errors import OutOfTimeError
from framework.model.instance import instance_from_lists
from framework.model.problem import Partition, Problem
from framework.portfolio.context.board import Board
from framework.portfolio.context.destructive_bound import BoundByDeciding, DestructiveBound
from framework.portfolio.context.local import LocalContext, run_entry
from framework.portfolio.context.step_rules import EffortSteps, SectionSteps, ShrinkingSteps
from framework.structure.primal.initial_interval import simple_bound
from framework.testing.brute_force import brute_force_optimum
from framework.testing.instances import random_problem

# Only one stage for all cuts no tensor: balanced work would pay as much for the one that all nodes read.
PROBLEM = Problem(instance=instance_from_lists([10] * 10, [(0, 50, range(1, 10))]), stages=2)
FLOOR, VALUE = 50, 100


def context(seconds: float = 60.0) -> LocalContext:
    return LocalContext(board=Board(PROBLEM, lambda: 0.0), source="test", seconds=seconds)


def steps(**changes: Any) -> EffortSteps:
    return replace(EffortSteps(effort=1, most=64, step=0.5, smallest=1 / 8, restart=1 / 4), **changes)


@pytest.mark.parametrize("optimum", [51, 64, 77, 99])
def test_it_proves_what_its_method_can_refute_up_to_its_smallest_step(optimum: int) -> None:
    tried: list[int] = []

    rule = steps()

    def refute(threshold: int) -> Decision:
        tried.append(threshold)
        # The nearer to the optimum, the more effort it takes.
        if threshold < optimum and rule.effort * (optimum - threshold) >= 8:
            return Refuted(soundness=Soundness.EXACT)
        return Undecided(reason="too weak")

    run = context()
    search = DestructiveBound("test", PROBLEM, run)
    ended = search.run(refute, rule)
    assert (ended.reason, ended.limit, ended.detail) == (Reason.LIMIT, Limit.ITERATIONS, "too weak")
    proven = FLOOR if search.best is None else search.best.value
    assert proven == search.lower <= optimum
    assert run.dual == (None if search.best is None else proven)
    # The last failure was at half of the smallest step, with all the effort there is.
    assert optimum <= proven + (VALUE - proven) // 16
    assert search.refuted + search.failed == len(tried)
    assert all(FLOOR <= threshold < VALUE for threshold in tried)


def test_where_no_higher_threshold_can_be_refuted_the_interval_ends() -> None:
    def refute(threshold: int) -> Decision:
        return Refuted(soundness=Soundness.EXACT) if threshold < 60 else Undecided(reason="covered", above=True)

    search = DestructiveBound("test", PROBLEM, context())
    assert search.run(refute, steps()).reason is Reason.FINISHED
    assert search.best is not None
    assert search.best.value == 60


def test_it_stops_between_thresholds_when_told_to() -> None:
    search = DestructiveBound("test", PROBLEM, context(seconds=0.0))
    ended = search.run(lambda threshold: pytest.fail("no time is left"), steps())
    assert (ended.reason, ended.limit) == (Reason.LIMIT, Limit.TIME)
    assert search.best is None


def test_what_stops_within_a_decision_keeps_what_was_proven() -> None:
    def refute(threshold: int) -> Decision:
        if search.best is not None:
            raise OutOfTimeError("stopped")
        return Refuted(soundness=Soundness.CERTIFIED)

    run = context()
    search = DestructiveBound("test", PROBLEM, run)
    assert search.run(refute, steps()).limit is Limit.TIME
    assert run.dual == search.proven.value == 76
    assert search.proven.soundness is Soundness.CERTIFIED


def test_a_ceiling_is_kept_and_others_bounds_are_taken_over() -> None:
    tried: list[int] = []

    def refute(threshold: int) -> Decision:
        tried.append(threshold)
        return Refuted(soundness=Soundness.EXACT)

    run = context()
    run.board.report_dual(70, source="other", soundness=Soundness.EXACT)
    search = DestructiveBound("test", PROBLEM, run)
    assert search.run(refute, SectionSteps(part=2), ceiling=80).reason is Reason.FINISHED
    assert tried == [75, 78, 79]
    assert search.lower == 80
    assert not search.closed
    # Nothing above a ceiling is concluded from it in another run.
    assert search.run(refute, SectionSteps(part=2, most=1)).reason is Reason.FINISHED
    assert tried[-1] == 90


def test_partitions_lower_the_incumbent_and_are_reported_once() -> None:
    # Two chains, interleaved: cut in the middle of the order both pay.
    chains = instance_from_lists([10] * 10, [(v, 60, [v + 2]) for v in range(8)])
    halves = Partition(stage_of=np.arange(10) % 2)

    def decide(threshold: int) -> Decision:
        return Satisfied(partition=halves) if threshold >= 50 else Refuted(soundness=Soundness.EXACT)

    problem = Problem(instance=chains, stages=2)
    run = LocalContext(board=Board(problem, lambda: 0.0), source="test")
    search = DestructiveBound("test", problem, run)
    assert search.value == 100
    assert search.run(decide, ShrinkingSteps(resolution=0.0, patience=2)).reason is Reason.FINISHED
    assert search.closed
    assert (search.satisfied, search.failed) == (1, 0)
    assert run.incumbent == 50
    for best in (search.found, search.incumbent()):
        assert best is not None
        assert (best.value, best.partition) == (50, halves)


def test_bounds_below_a_threshold_count_and_are_not_reported_twice() -> None:
    reported: list[int] = []

    class Noting(LocalContext):
        def report_dual(self, value: int, soundness: Soundness, certificate: Any = None) -> None:
            reported.append(value)
            LocalContext.report_dual(self, value, soundness, certificate)

    search = DestructiveBound("test", PROBLEM, Noting(Board(PROBLEM, lambda: 0.0), "test"))

    def refute(threshold: int) -> Decision:
        if threshold == 99:
            search.record(60, Soundness.CERTIFIED)
            return Undecided(reason="60 only", above=True)
        search.record(threshold + 1, Soundness.CERTIFIED)
        return Refuted(soundness=Soundness.CERTIFIED)

    search.run(refute, SectionSteps(part=3, from_top=True, most=2))
    assert reported == [60, 60 + (99 - 60) // 3 + 1]


@pytest.mark.parametrize("contract", [False, True])
def test_what_decides_gets_its_bound_for_free(contract: bool) -> None:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Deciding(BoundByDeciding):
        contract: bool = False

        def decide(self, problem: Problem, threshold: int, context: Context) -> Decision:
            """Refute what the exact optimum refutes."""
            optimum = brute_force_optimum(problem)
            return Refuted(soundness=Soundness.EXACT) if threshold < optimum else Undecided(reason="true")

    raised = 0
    for seed in range(40):
        problem = random_problem(seed, max_nodes=6, max_stages=3)
        optimum = brute_force_optimum(problem)
        outcome, board = run_entry(Deciding(contract=contract), problem)
        assert outcome.dual is not None
        assert simple_bound(problem) <= outcome.dual.value <= optimum, f"random_problem({seed})"
        assert outcome.incumbent is not None
        assert outcome.incumbent.value >= optimum
        assert not board.contradictions
        raised += outcome.dual.value > simple_bound(problem)
    assert raised > 10
