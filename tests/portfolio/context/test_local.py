"""A context of this process counts its seconds by the clock that it is given."""

from __future__ import annotations

from framework.bounds import Limit
from framework.model.instance import instance_from_lists
from framework.model.problem import Problem
from framework.portfolio.context.board import Board
from framework.portfolio.context.local import LocalContext, run_entry
from framework.registry import load_plugins, registry

load_plugins()
PROBLEM = Problem(instance=instance_from_lists([3, 4, 5], [(0, 1, [1]), (1, 1, [2])]), stages=2)


def test_the_clock_tells_what_remains() -> None:
    now = 5.0
    context = LocalContext(Board(PROBLEM, clock=lambda: 0.0), "test", seconds=2.0, clock=lambda: now)
    assert context.remaining() == 2.0
    now = 6.5
    assert context.remaining() == 0.5
    assert not context.should_stop()
    now = 7.0
    assert context.should_stop()


def test_an_entry_ends_by_the_clock_it_is_given() -> None:
    ticks = iter(range(1_000_000))
    endless = registry.create("weave:patience=100000")
    outcome, _ = run_entry(endless, PROBLEM, seconds=20.0, clock=lambda: float(next(ticks)))
    assert outcome.termination.limit is Limit.TIME
    assert next(ticks) >= 20
