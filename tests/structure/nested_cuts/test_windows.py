"""Windows of groups: what is imposed, filtered, undone and scored, against enumeration of all groupings."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.model.arrays import IntArray
from framework.model.instance import Instance, instance_from_lists
from framework.structure.nested_cuts.windows import DIFFERS, Neighbours, restrict, score_choices, tighten, undo
from framework.structure.poset.closure import closure
from framework.testing.instances import random_instance, random_layered_instance
from tests.structure.plain_definitions import descendants, stage_vectors

SEEDS = st.integers(0, 2**32 - 1)
Grouping = tuple[int, ...]


class Windows:
    """Windows of one instance that begin by excluding nothing."""

    def __init__(self, instance: Instance, groups: int) -> None:
        top = instance.topology
        self.instance, self.groups = instance, groups
        self.neighbours = Neighbours(pred_ptr=top.pred_ptr, preds=top.preds, succ_ptr=top.succ_ptr, succs=top.succs)
        self.earliest = np.zeros(instance.n, np.int64)
        self.latest = np.full(instance.n, groups - 1, np.int64)
        self.trail, self.stack = np.zeros((instance.n, 2), np.int64), np.zeros(instance.n, np.int64)

    def restrict(self, v: int, j: int, *, later: bool) -> int:
        """Impose a side of a choice."""
        return int(restrict(v, j, later, self.earliest, self.latest, self.neighbours, self.trail, self.stack))

    def tighten(self, weights: IntArray, limits: IntArray) -> bool:
        """Filter by the limits of the groups."""
        return bool(tighten(self.earliest, self.latest, weights, limits, self.neighbours, self.trail, self.stack))

    def ends(self) -> tuple[list[int], list[int]]:
        """Return the windows."""
        return self.earliest.tolist(), self.latest.tolist()

    def inside(self, groupings: list[Grouping]) -> list[Grouping]:
        """Return the groupings that keep to the windows."""
        ends = list(zip(*self.ends(), strict=True))
        return [x for x in groupings if all(low <= g <= high for g, (low, high) in zip(x, ends, strict=True))]


def _random_windows(seed: int, *, choices: int = 3) -> tuple[Windows, np.random.Generator]:
    """Return windows after at most so many random choices."""
    rng = np.random.default_rng([seed, 5])
    windows = Windows(random_instance(seed, max_nodes=6), int(rng.integers(2, 5)))
    for _ in range(int(rng.integers(choices + 1))):
        v, j = int(rng.integers(windows.instance.n)), int(rng.integers(windows.groups - 1))
        windows.restrict(v, j, later=bool(rng.integers(2)))
    return windows, rng


@given(SEEDS)
@settings(max_examples=30, derandomize=True, deadline=None)
def test_a_side_keeps_just_the_groupings_on_it_and_can_be_taken_back(seed: int) -> None:
    windows, _ = _random_windows(seed)
    n, before = windows.instance.n, windows.ends()
    groupings = windows.inside(stage_vectors(windows.instance, windows.groups))
    for v in range(n):
        for j in range(windows.groups - 1):
            for later in (False, True):
                length = windows.restrict(v, j, later=later)
                wanted = [x for x in groupings if (x[v] > j) == later]
                assert (length < 0) == (not wanted)
                assert length < 0 or windows.inside(groupings) == wanted
                if wanted:
                    # No window is wider than the groupings in it need.
                    chosen = np.array(wanted)
                    assert windows.ends() == (chosen.min(axis=0).tolist(), chosen.max(axis=0).tolist())
                undo(later, windows.trail, max(0, length), windows.earliest, windows.latest)
                assert windows.ends() == before


@given(SEEDS)
@settings(max_examples=60, derandomize=True, deadline=None)
def test_filtering_loses_no_grouping_that_keeps_to_the_limits(seed: int) -> None:
    windows, rng = _random_windows(seed, choices=8)
    n, groups = windows.instance.n, windows.groups
    groupings = windows.inside(stage_vectors(windows.instance, groups))
    weights = rng.integers(0, 10, (2, n))

    def loads(grouping: Grouping) -> IntArray:
        return np.array([[row[np.array(grouping) == g].sum() for g in range(groups)] for row in weights], np.int64)

    # What one grouping just needs, or a little less or more.
    limits = loads(groupings[int(rng.integers(len(groupings)))]) + rng.choice([-1, 0, 0, 0, 0, 0, 2], (2, groups))
    kept = [x for x in groupings if bool((loads(x) <= limits).all())]
    possible = windows.tighten(weights, limits)
    assert possible or not kept
    if not possible:
        return
    assert set(kept) <= set(windows.inside(groupings))
    earliest, latest = windows.earliest, windows.latest
    decided = earliest == latest
    for row, limit in zip(weights, limits, strict=True):
        room = limit - np.array([row[decided & (earliest == g)].sum() for g in range(groups)])
        first = [limit[: g + 1].sum() - row[latest <= g].sum() for g in range(groups)]
        last = [limit[g:].sum() - row[earliest >= g].sum() for g in range(groups)]
        assert min(room) >= 0
        assert min(first) >= 0
        assert min(last) >= 0
        # A node that fits no end of its window would have been moved from there.
        for v in np.flatnonzero(~decided):
            assert row[v] <= min(room[earliest[v]], first[earliest[v]])
            assert row[v] <= min(room[latest[v]], last[latest[v]])


@given(SEEDS)
@settings(max_examples=60, derandomize=True, deadline=None)
def test_filtering_by_weights_that_differ_loses_no_grouping_either(seed: int) -> None:
    windows, rng = _random_windows(seed, choices=8)
    n, groups = windows.instance.n, windows.groups
    groupings = windows.inside(stage_vectors(windows.instance, groups))
    weights = rng.integers(0, 10, (2, groups, n))

    def loads(grouping: Grouping) -> IntArray:
        own = np.array(grouping) == np.arange(groups)[:, None]
        return np.asarray((weights * own).sum(2), np.int64)

    limits = loads(groupings[int(rng.integers(len(groupings)))]) + rng.choice([-1, 0, 0, 0, 0, 0, 2], (2, groups))
    kept = [x for x in groupings if bool((loads(x) <= limits).all())]
    possible = windows.tighten(weights, limits)
    assert possible or not kept
    if possible:
        assert set(kept) <= set(windows.inside(groupings))
        # A node that is too heavy alone for an end of its window has been moved from there.
        for v in np.flatnonzero(windows.earliest < windows.latest):
            for g in (windows.earliest[v], windows.latest[v]):
                assert (weights[:, g, v] <= limits[:, g]).all()


def test_a_node_weighs_the_least_before_a_boundary() -> None:
    windows = Windows(instance_from_lists([1] * 2, []), 2)
    windows.earliest[:], windows.latest[:] = 0, 1
    weights, limits = np.array([[[3, 3], [9, 1]]]), np.array([[4, 4]])
    # The first node fits into the first group only, and the second one then into the other.
    assert windows.tighten(weights, limits)
    assert windows.ends() == ([0, 1], [0, 1])


def test_a_node_leaves_the_end_of_its_window_that_others_fill() -> None:
    for v, first, last, kept in ((0, 0, 1, 0), (2, 1, 2, 2)):
        windows = Windows(instance_from_lists([1] * 3, []), 3)
        # Two nodes share the other two groups, each of which holds one: they fill both, wherever they are.
        windows.earliest[:], windows.latest[:] = 2 - last, 2 - first
        windows.earliest[v], windows.latest[v] = first, last
        assert windows.tighten(np.array([[5, 5, 5]]), np.array([[5, 5, 5]]))
        assert windows.earliest[v] == windows.latest[v] == kept


@given(SEEDS)
@settings(max_examples=30, derandomize=True, deadline=None)
def test_a_score_counts_the_windows_that_either_side_would_change(seed: int) -> None:
    windows, rng = _random_windows(seed)
    n, boundaries = windows.instance.n, windows.groups - 1
    low, high = (rng.integers(0, windows.groups, n) for _ in range(2))
    reach = closure(windows.instance)
    scored = score_choices(windows.earliest, windows.latest, low, high, boundaries, reach.ancestors, reach.descendants)
    found = {(v, j): score for score, v, j in zip(*(array.tolist() for array in scored), strict=True)}
    wanted = {}
    for v in range(n):
        for j in range(windows.earliest[v], windows.latest[v]):
            changed = 1
            for later in (False, True):
                length = windows.restrict(v, j, later=later)
                undo(later, windows.trail, length, windows.earliest, windows.latest)
                changed *= length
            differs = DIFFERS if (low[v] <= j) != (high[v] <= j) else 1.0
            wanted[v, j] = differs * changed * (1 + min(j, boundaries - 1 - j)) ** 3
    assert found == wanted


def test_scores_beyond_one_word_of_a_bit_set() -> None:
    windows = Windows(random_layered_instance(5, 200, width=9), 2)
    reach, after = closure(windows.instance), descendants(windows.instance)
    zero = np.zeros(200, np.int64)
    score, nodes, _ = score_choices(windows.earliest, windows.latest, zero, zero, 1, reach.ancestors, reach.descendants)
    ahead = [1 + sum(row >> v & 1 for row in after) for v in range(200)]
    assert nodes.tolist() == list(range(200))
    assert score.tolist() == [ahead[v] * (1 + after[v].bit_count()) for v in range(200)]
