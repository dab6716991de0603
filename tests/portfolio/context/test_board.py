"""The board: monotone, verified, and loud about contradictions."""

from __future__ import annotations

import numpy as np

from framework.bounds import Certificate, Soundness
from framework.model.instance import instance_from_lists
from framework.model.problem import Partition, Problem
from framework.portfolio.context.board import Board

PROBLEM = Problem(instance=instance_from_lists([5, 7, 3], [(0, 2, [1]), (1, 1, [2])]), stages=2)
APART = Partition(stage_of=np.array([0, 1, 1]))  # 5 + 2 and 2 + 10
TOGETHER = Partition(stage_of=np.zeros(3, np.int64))  # 15


def board() -> Board:
    ticks = iter(range(1000))
    return Board(PROBLEM, clock=lambda: float(next(ticks)))


def test_bounds_and_incumbents_only_improve() -> None:
    b = board()
    assert b.report_dual(4, source="a", soundness=Soundness.EXACT)
    assert not b.report_dual(3, source="b", soundness=Soundness.EXACT)
    assert b.report_partition(TOGETHER, source="x")
    assert b.report_partition(APART, source="y")
    assert not b.report_partition(TOGETHER, source="z")
    assert (b.interval.dual, b.interval.incumbent) == (4, 12)
    assert [(p.dual, p.incumbent, p.source) for p in b.trajectory] == [(4, None, "a"), (4, 15, "x"), (4, 12, "y")]
    assert [bound.source for bound in b.bounds] == ["a", "b"]


def test_the_board_prices_partitions_itself() -> None:
    b = board()
    backwards = Partition(stage_of=np.array([1, 0, 0]))
    assert not b.report_partition(backwards, source="x")
    assert b.incumbent is None
    assert b.rejected == [("x", "the edge 0 -> 1 goes from stage 1 back to stage 0")]


def test_a_bound_above_the_incumbent_is_quarantined_whichever_comes_first() -> None:
    for bound_first in (True, False):
        b = board()
        b.report_dual(9, source="honest", soundness=Soundness.EXACT)
        if bound_first:
            b.report_dual(13, source="liar", soundness=Soundness.SOLVER)
            b.report_partition(APART, source="x")
        else:
            b.report_partition(APART, source="x")
            b.report_dual(13, source="liar", soundness=Soundness.SOLVER)
        (evidence,) = b.contradictions
        assert (evidence.bound.source, evidence.bound.value, evidence.incumbent) == ("liar", 13, 12)
        assert b.quarantined == {"liar"}
        assert b.interval.dual == 9
        assert not b.report_dual(10, source="liar", soundness=Soundness.SOLVER)
        assert b.interval.dual == 9


def test_of_equal_bounds_of_a_source_that_which_can_be_checked_is_kept() -> None:
    b, kept = board(), Certificate(kind="simple", data={}, instance="")
    b.report_dual(4, source="a", soundness=Soundness.EXACT)
    b.report_dual(4, source="a", soundness=Soundness.EXACT, certificate=kept)
    b.report_dual(4, source="a", soundness=Soundness.EXACT)
    assert [bound.certificate for bound in b.bounds] == [kept]
    b.report_dual(5, source="a", soundness=Soundness.EXACT)
    assert [(bound.value, bound.certificate) for bound in b.bounds] == [(5, None)]


def test_an_equal_bound_closes_the_interval() -> None:
    b = board()
    b.report_partition(APART, source="x")
    b.report_dual(12, source="a", soundness=Soundness.EXACT)
    assert b.interval.closed
    assert b.interval.relative_gap == 0.0
    assert not b.contradictions
