"""Slicing: the best way to cut one topological order into at most k segments.

Positions are numbered 0..n along the order; the segment [i, j) costs
``f(i, j) = work + inbound + outbound + overflow`` as any stage, and depends on nothing but i and j.

*Deciding a threshold T.* ``fewest[j]`` is the least number of segments of cost at most T that cover the first j
nodes. Starts i are taken from left to right, so ``fewest[i]`` is final when i is extended to the right, and the
least number is all that has to be remembered: what follows i costs the same whatever precedes it, so a slicing
through i stays one when its first part is exchanged for one of fewer segments. That needs neither that f is
monotone (it is not) nor that there is no overflow. Five observations save most of the work:

* work + inbound + overflow never falls as j grows; beyond T no longer segment from i fits.
* The segments after j are ``k - fewest[j]`` at most, pay for the remaining work, for a copy of each tensor that crosses
  j, and for the parameters that even all of them cannot hold: if that is above ``(k - fewest[j]) T``, j is useless.
  (The mirror image, on the segments before j, holds by construction.)
* A start with ``fewest[i] = b`` has nothing to improve at j where ``fewest[j] <= b + 1``, or where j is useless with
  b + 1 segments before it. Both stay so once they are so. Each level b therefore keeps a *corner*: a segment that ends
  before the first j where something is left to improve. The next start of that level takes it over, dropping nodes at
  its left end, instead of growing a segment anew.
* A hard limit on what a stage holds ends the segments from i at a position that never falls as i grows.
* The in- and outbound cost of a segment, and what it holds of shared parameters, change in O(degree) when a node joins
  at the right or leaves at the left. The largest working set of a segment, where these count, is looked up in a table
  of maxima when nodes have left.

*The optimum* of an order is found by bisection over integers between refuted thresholds and the bottleneck
of the slicings that satisfy the others.

Sources: slicing as in Archer et al., ICML 2024 (SliceGraph); corners and corridors are this project's own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from framework.errors import OutOfTimeError
from framework.model.arrays import IntArray
from framework.model.instance import MAX_TOTAL, Instance
from framework.model.problem import Partition
from framework.structure.kernel import kernel
from framework.structure.primal.layout import (
    CLOSES,
    COST,
    FIRST,
    LAST,
    NEEDED,
    NEXT,
    OUTS,
    PARAMETERS,
    PINS,
    PREVIOUS,
    PRODUCED,
    PRODUCER,
    REST,
    USES,
    WORK,
    Layout,
    largest_working,
    lay_out,
)

_NEVER = 1 << 40
"""A number of segments above all others."""

_UNFINISHED, _REFUTED, _SATISFIED = range(3)

START_AT, BOTTLENECK, SEGMENTS = range(3)
"""Counters of a pass: the start it goes on from, 0 for a new one; of the slicing found, its bottleneck in ticks and its
segments."""
FEWEST, ORIGIN, SEGMENT_COST = range(3)
"""Rows of `covers`: the fewest segments up to each position, where the last of them starts, and what that one costs."""
BEGIN, END, INBOUND, OUTBOUND, HELD = range(5)
"""Columns of `corners`, which has a row per level: the segment kept, its in- and outbound cost, and that of the shared
parameters it holds, in ticks."""


class Slicing(NamedTuple):
    """A slicing of an order: its bottleneck in ticks, and its segments as stages."""

    value: int
    partition: Partition


class Slicer:
    """Slices one topological order of an instance, for any number of stages and any threshold.

    Parameters
    ----------
    order
        ``[n]`` node indices, first to last.

    Raises
    ------
    ValueError
        If `order` is not a topological order of the instance.
    """

    steps_a_call = 8_000_000
    """Nodes and pins joined to or dropped from segments in one kernel call: well below 0.1 s."""

    def __init__(self, instance: Instance, order: IntArray) -> None:
        self._order = np.ascontiguousarray(order, dtype=np.int64)
        self._largest_cost = instance.largest_cost
        self._layout = lay_out(instance, self._order)
        self._covers = np.empty((3, instance.n + 1), np.int64)

    def feasible(
        self, stages: int, threshold: int, *, should_stop: Callable[[], bool] | None = None
    ) -> Partition | None:
        """Return a slicing into at most `stages` segments of cost at most `threshold`, or None if there is none.

        Raises
        ------
        OutOfTimeError
            If `should_stop` said so before it was decided.
        """
        decided = self._decide(self._useful(stages), threshold, should_stop)
        return None if decided is None else self._partition(decided[1])

    def solve(
        self,
        stages: int,
        *,
        upper: int | None = None,
        lower: int = 0,
        should_stop: Callable[[], bool] | None = None,
    ) -> Slicing | None:
        """Return the best slicing into at most `stages` segments.

        Parameters
        ----------
        upper
            Only slicings below this many ticks are wanted; the first pass asks whether there is one.
        lower
            A bound in ticks that is known to hold for the problem, or at least for this order.

        Returns
        -------
        The optimum of the order, or None if it is not below `upper`. When `should_stop` ends it early, the best
        slicing it has by then, if any.
        """
        k = self._useful(stages)
        average, everything = self._range(k)
        low = max(lower, average)
        best: tuple[int, IntArray] | None = None
        threshold = min(low, everything) if upper is None else upper - 1
        step = max(1, low >> 8)
        try:
            # Refuting is cheap near the bound: without an incumbent, climb from there.
            while best is None:
                if threshold < low:
                    return None
                best = self._decide(k, threshold, should_stop)
                if best is None:
                    if upper is not None or threshold >= everything:
                        return None
                    low = threshold + 1
                    threshold = min(threshold + step, everything)
                    step *= 2
            jumped = True
            while low < best[0]:
                # A value that was jumped to is often the optimum: try to prove that at once.
                threshold = best[0] - 1 if jumped else (low + best[0] - 1) // 2
                better = self._decide(k, threshold, should_stop)
                jumped = better is not None and not jumped
                if better is None:
                    low = threshold + 1
                else:
                    best = better
        except OutOfTimeError:
            if best is None:
                return None
        return Slicing(best[0], self._partition(best[1]))

    def _range(self, stages: int) -> tuple[int, int]:
        """Return the average over stages, and what one stage for all costs, or the most of any if it holds too much."""
        work, parameters = int(self._layout.prefix[WORK, -1]), int(self._layout.prefix[NEEDED, 0])
        average = -(-(work + max(0, parameters - stages * self._layout.capacity)) // stages)
        if self._layout.reach[0] < len(self._order):
            return average, self._largest_cost
        return average, int(work + parameters + self._layout.working[-1:].max(initial=0) - self._layout.capacity)

    def _useful(self, stages: int) -> int:
        if stages < 1:
            raise ValueError(f"the number of stages must be at least 1, not {stages}")
        return min(stages, len(self._order))

    def _decide(
        self, stages: int, threshold: int, should_stop: Callable[[], bool] | None
    ) -> tuple[int, IntArray] | None:
        """Return the bottleneck and the boundaries of a slicing that satisfies the threshold, if there is one."""
        if threshold < 0:
            return None
        corners = np.empty((stages, 5), np.int64)
        boundaries = np.empty(stages + 1, np.int64)
        counters = np.zeros(3, np.int64)
        threshold = min(threshold, MAX_TOTAL)
        status = _UNFINISHED
        while status == _UNFINISHED:
            if should_stop is not None and should_stop():
                raise OutOfTimeError("stopped while an order was being sliced")
            status = _advance(
                stages, threshold, self.steps_a_call, self._layout, self._covers, corners, boundaries, counters
            )
        if status == _REFUTED:
            return None
        return int(counters[BOTTLENECK]), boundaries[: int(counters[SEGMENTS]) + 1]

    def _partition(self, boundaries: IntArray) -> Partition:
        stage_of = np.empty(len(self._order), np.int64)
        stage_of[self._order] = np.repeat(np.arange(len(boundaries) - 1), np.diff(boundaries))
        return Partition(stage_of=stage_of)


@kernel
def _advance(
    stages: int,
    threshold: int,
    steps: int,
    layout: Layout,
    covers: IntArray,
    corners: IntArray,
    boundaries: IntArray,
    counters: IntArray,
) -> int:
    """Run a pass from the start ``counters[START_AT]`` on, for about so many steps.

    When the threshold is satisfied, `boundaries` holds where the segments found begin and end. Threshold and capacity
    are at most `MAX_TOTAL`, stages at most `MAX_STAGES`: no product of them leaves int64.
    """
    prefix, ptr, pins, outs, closes = layout.prefix, layout.ptr, layout.pins, layout.outs, layout.closes
    work, parameters, rest, produced = prefix[WORK], prefix[PARAMETERS], prefix[REST], prefix[PRODUCED]
    pin_ptr, out_ptr, close_ptr = ptr[PINS], ptr[OUTS], ptr[CLOSES]
    pin_previous, pin_next, pin_cost = pins[PREVIOUS], pins[NEXT], pins[COST]
    out_first, out_last, out_cost = outs[FIRST], outs[LAST], outs[COST]
    close_producer, close_cost = closes[PRODUCER], closes[COST]
    needed, use_ptr = prefix[NEEDED], ptr[USES]
    use_previous, use_next, use_cost = layout.uses[PREVIOUS], layout.uses[NEXT], layout.uses[COST]
    fewest, origin, segment_cost = covers[FEWEST], covers[ORIGIN], covers[SEGMENT_COST]
    capacity = layout.capacity
    if counters[START_AT] == 0:
        _begin(fewest, corners)
    n = len(work) - 1
    for i in range(counters[START_AT], n):
        level = fewest[i]
        if level >= stages:
            continue
        if steps <= 0:
            counters[START_AT] = i
            return _UNFINISHED
        left = stages - level - 1
        affordable = left * threshold
        j, inbound, outbound, held, working = i, 0, 0, 0, 0
        if corners[level, END] > i:
            j, inbound, outbound = corners[level, END], corners[level, INBOUND], corners[level, OUTBOUND]
            held = corners[level, HELD]
            for x in range(corners[level, BEGIN], i):
                for y in range(pin_ptr[x], pin_ptr[x + 1]):
                    # Everything that the leftmost node consumes comes from outside.
                    if pin_next[y] >= j:
                        inbound -= pin_cost[y]
                for y in range(out_ptr[x], out_ptr[x + 1]):
                    if out_last[y] >= j:
                        outbound -= out_cost[y]
                    if out_first[y] < j:
                        inbound += out_cost[y]
                for y in range(use_ptr[x], use_ptr[x + 1]):
                    if use_next[y] >= j:
                        held -= use_cost[y]
            if len(layout.working):
                working = largest_working(i, j, layout)
            steps -= i - corners[level, BEGIN] + pin_ptr[i] - pin_ptr[corners[level, BEGIN]]
        joined = j
        end = layout.reach[i]
        at_corner = True
        while True:
            least = work[j] - work[i] + inbound + max(0, parameters[j] - parameters[i] + held + working - capacity)
            if least > threshold:
                break
            if j > i and fewest[j] > level + 1 and rest[j] + max(0, needed[j] - left * capacity) <= affordable:
                if least + outbound <= threshold:
                    fewest[j], origin[j], segment_cost[j] = level + 1, i, least + outbound
                elif at_corner:
                    at_corner = False
                    corners[level, BEGIN], corners[level, END] = i, j
                    corners[level, INBOUND], corners[level, OUTBOUND], corners[level, HELD] = inbound, outbound, held
            if j == end:
                break
            for y in range(pin_ptr[j], pin_ptr[j + 1]):
                if pin_previous[y] < i:
                    inbound += pin_cost[y]
            for y in range(use_ptr[j], use_ptr[j + 1]):
                if use_previous[y] < i:
                    held += use_cost[y]
            for y in range(close_ptr[j], close_ptr[j + 1]):
                if close_producer[y] >= i:
                    outbound -= close_cost[y]
            if len(layout.working):
                working = max(working, layout.working[0, j])
            outbound += produced[j]
            j += 1
        steps -= j - joined + pin_ptr[j] - pin_ptr[joined] + 1
        if fewest[n] <= stages:
            return _trace(covers, boundaries, counters)
        if at_corner:
            corners[level, BEGIN], corners[level, END] = i, j
            corners[level, INBOUND], corners[level, OUTBOUND], corners[level, HELD] = inbound, outbound, held
    return _REFUTED


@kernel
def _begin(fewest: IntArray, corners: IntArray) -> None:
    """Reach nothing but position 0, and keep no corner."""
    for j in range(len(fewest)):
        fewest[j] = _NEVER
    fewest[0] = 0
    for level in range(len(corners)):
        corners[level, BEGIN] = corners[level, END] = -1


@kernel
def _trace(covers: IntArray, boundaries: IntArray, counters: IntArray) -> int:
    """Follow the slicing found backwards from its end."""
    fewest, origin, segment_cost = covers[FEWEST], covers[ORIGIN], covers[SEGMENT_COST]
    j = len(fewest) - 1
    counters[SEGMENTS] = fewest[j]
    boundaries[fewest[j]] = j
    while j > 0:
        counters[BOTTLENECK] = max(counters[BOTTLENECK], segment_cost[j])
        j = origin[j]
        boundaries[fewest[j]] = j
    return _SATISFIED
