"""The driver of destructive bounds and its step rule: what is tried next, and when it gives up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from framework.bounds import Limit, Reason, Soundness
from framework.contracts import Refuted, Undecided
from framework.errors import OutOfTimeError
from framework.model.instance import instance_from_lists
from framework.model.problem import Problem
from framework.portfolio.context.board import Board
from framework.portfolio.context.destructive_bound import DestructiveBound, EffortSteps
from framework.portfolio.context.local import LocalContext

PROBLEM = Problem(instance=instance_from_lists([10] * 10, []), stages=2)
FLOOR, VALUE = 50, 100


def context(seconds: float = 60.0) -> LocalContext:
    return LocalContext(board=Board(PROBLEM, lambda: 0.0), source="test", seconds=seconds)


def steps(**changes: Any) -> EffortSteps:
    return replace(EffortSteps(effort=1, most=64, step=0.5, smallest=1 / 8, restart=1 / 4), **changes)


def test_steps_shrink_before_effort_grows() -> None:
    rule = steps()
    seen = []
    while rule.after_failure(at_lower=False):
        seen.append((rule.step, rule.effort))
    assert seen[:3] == [(1 / 4, 1), (1 / 8, 1), (1 / 16, 1)]
    assert seen[3:6] == [(1 / 4, 4), (1 / 8, 4), (1 / 16, 4)]
    assert seen[-1] == (1 / 16, 64)
    rule = steps(effort=0, least=32)
    assert rule.after_failure(at_lower=True)
    assert (rule.effort, rule.step) == (32, 1 / 4)
    assert rule.after_failure(at_lower=True)
    assert rule.effort == 64
    assert not rule.after_failure(at_lower=True)


def test_thresholds_lie_within_the_interval() -> None:
    assert steps().threshold(50, 100) == 75
    assert EffortSteps(step=1.0, smallest=0.1, restart=0.1, effort=0, most=0).threshold(50, 100) == 99
    assert steps().threshold(50, 51) == 50


@pytest.mark.parametrize("optimum", [51, 64, 77, 99])
def test_it_proves_what_its_method_can_refute_up_to_its_smallest_step(optimum: int) -> None:
    tried: list[int] = []

    def refute(threshold: int, effort: int) -> Refuted | Undecided:
        tried.append(threshold)
        # The nearer to the optimum, the more effort it takes.
        if threshold < optimum and effort * (optimum - threshold) >= 8:
            return Refuted(soundness=Soundness.EXACT)
        return Undecided(reason="too weak")

    run = context()
    search = DestructiveBound("test", PROBLEM, run, value=VALUE)
    ended = search.run(refute, steps())
    assert (ended.reason, ended.limit, ended.detail) == (Reason.LIMIT, Limit.ITERATIONS, "too weak")
    proven = FLOOR if search.best is None else search.best.value
    assert proven == search.lower <= optimum
    assert run.dual == (None if search.best is None else proven)
    # The last failure was at half of the smallest step, with all the effort there is.
    assert optimum <= proven + (VALUE - proven) // 16
    assert search.refuted + search.failed == len(tried)
    assert all(FLOOR <= threshold < VALUE for threshold in tried)


def test_where_no_higher_threshold_can_be_refuted_the_interval_ends() -> None:
    def refute(threshold: int, effort: int) -> Refuted | Undecided:
        return Refuted(soundness=Soundness.EXACT) if threshold < 60 else Undecided(reason="covered", above=True)

    search = DestructiveBound("test", PROBLEM, context(), value=VALUE)
    assert search.run(refute, steps()).reason is Reason.FINISHED
    assert search.best is not None
    assert search.best.value == 60


def test_it_stops_between_thresholds_when_told_to() -> None:
    search = DestructiveBound("test", PROBLEM, context(seconds=0.0), value=VALUE)
    with pytest.raises(OutOfTimeError):
        search.run(lambda threshold, effort: pytest.fail("no time is left"), steps())
    assert search.best is None
