"""Records only get better, and a bound above a partition stops everything."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.bounds import Soundness
from framework.records.improving import Before, ContradictionError, improved, united
from framework.records.offers import Offer
from framework.records.pair import BestPartition, Evidence, PairRecord, ProvedBound
from tests.records.test_pair import BOUNDS, ORIGIN, bound


def partition(ticks: int) -> BestPartition:
    return BestPartition(ticks=ticks, runs=f"0*{ticks}", origin=ORIGIN)


def offer(best: BestPartition | None = None, *bounds: ProvedBound, budget: float = 10.0) -> Offer:
    return Offer(graph="made", stages=2, best=best, bounds=bounds, refused="", budget=budget, seconds=4.0)


def test_the_first_offer_is_taken_whole() -> None:
    change = improved(PairRecord(stages=2), offer(partition(9), bound(5, Evidence.RUN)))
    assert change.partition == Before(None, 9)
    assert change.bound == Before(None, 5)
    assert change.pair.best == partition(9)
    assert (change.pair.longest, change.pair.spent) == (10.0, 4.0)


def test_what_is_no_better_changes_only_the_time() -> None:
    pair = PairRecord(stages=2, best=partition(9), bounds=(bound(5, Evidence.LOG),), longest=60.0, spent=1.0)
    change = improved(pair, offer(partition(9), bound(5, Evidence.CERTIFICATE), bound(4, Evidence.RUN)))
    assert not change.is_better
    assert change.pair.bounds == pair.bounds
    assert change.pair.best is pair.best
    assert (change.pair.longest, change.pair.spent) == (60.0, 5.0)


def test_a_higher_bound_on_weaker_evidence_leaves_the_checked_one() -> None:
    pair = PairRecord(stages=2, best=partition(9), bounds=(bound(5, Evidence.LOG),))
    change = improved(pair, offer(None, bound(7, Evidence.RUN, Soundness.TOLERANCE)))
    assert change.bound == Before(5, 7)
    assert [(one.ticks, one.evidence) for one in change.pair.bounds] == [(7, Evidence.RUN), (5, Evidence.LOG)]
    again = improved(change.pair, offer(None, bound(7, Evidence.LOG)))
    assert again.evidence == "proof log"
    assert [one.ticks for one in again.pair.bounds] == [7]


@pytest.mark.parametrize("other", [offer(partition(4)), offer(None, bound(10, Evidence.RUN, Soundness.TOLERANCE))])
def test_contradictions_are_refused(other: Offer) -> None:
    pair = PairRecord(stages=2, best=partition(9), bounds=(bound(5, Evidence.LOG),))
    with pytest.raises(ContradictionError, match="one of the two is wrong"):
        improved(pair, other)


@settings(derandomize=True, deadline=None)
@given(first=st.lists(BOUNDS, max_size=4), second=st.lists(BOUNDS, max_size=4), sizes=st.lists(st.integers(5, 9)))
def test_uniting_is_as_good_in_either_order(
    first: list[ProvedBound], second: list[ProvedBound], sizes: list[int]
) -> None:
    nothing = PairRecord(stages=2)
    one = improved(nothing, offer(partition(min([7, *sizes])), *first)).pair
    two = improved(nothing, offer(partition(max([7, *sizes])), *second)).pair
    there, back = united(one, two).pair, united(two, one).pair
    assert there.best == back.best == one.best
    kept = [[(bound.ticks, bound.strength) for bound in pair.bounds] for pair in (there, back)]
    assert kept[0] == kept[1]
    assert not united(one, one).is_better
