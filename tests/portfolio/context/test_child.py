"""A child context: the parent's, with an earlier end."""

from __future__ import annotations

import math

from framework.bounds import Soundness
from framework.model.problem import Problem
from framework.portfolio.context.board import Board
from framework.portfolio.context.child import ChildContext
from framework.portfolio.context.local import LocalContext
from framework.structure.primal.initial_interval import balanced_partition
from framework.testing.instances import random_instance

PROBLEM = Problem(instance=random_instance(4), stages=2)


def parent(seconds: float = math.inf) -> LocalContext:
    return LocalContext(Board(PROBLEM, clock=lambda: 0.0), "parent", seconds=seconds, seed=5, threads=2)


def test_the_shorter_limit_holds() -> None:
    assert ChildContext(parent(), 10.0).remaining() <= 10.0
    assert ChildContext(parent(1.0), 10.0).remaining() <= 1.0
    assert ChildContext(parent(), 0.0).should_stop()
    assert not ChildContext(parent(), 10.0).should_stop()
    assert ChildContext(parent(), 10.0, lambda: True).should_stop()
    assert ChildContext(parent(0.0), 10.0).should_stop()


def test_everything_else_is_the_parents() -> None:
    above = parent()
    child = ChildContext(above, 10.0)
    child.report_dual(1, Soundness.EXACT)
    child.report_partition(balanced_partition(PROBLEM))
    child.progress("words")
    assert (child.dual, child.incumbent, child.seed, child.threads) == (above.dual, above.incumbent, 5, 2)
    assert child.dual == 1
    assert child.incumbent is not None
    assert child.best_partition() is above.best_partition()
    assert above.messages == ["words"]
