"""Slicing where stages are unequal: the best way to cut one topological order into a segment for each stage.

The program is that of `framework.structure.unequal.chain_dp` over the prefixes of one order, which are ideals: with
f_d(i, j) the cost of the segment [i, j) on device d,

    fewest[j]  =  min {b + 1: fewest[i] <= b for some i < j with f_d(b)(i, j) <= T}

is the least number of stages, empty ones included, by which exactly the first j nodes are held. Stages are taken in
their order; in each, segments grow from all starts i that no earlier stage of the same kind has grown any from. What is
said there of kinds, of completion and of closed ideals holds for positions. As in `framework.structure.primal.slicing`

* work + inbound + overflow never falls as j grows; beyond T no longer segment from i fits;
* a start has nothing to improve at j where j was reached or is closed, and both stay so. A stage therefore keeps a
  *corner*: a segment that ends before the first j where something is left to improve. The next start takes it over,
  dropping nodes at its left end;
* the largest working set of a segment, where these count, goes by its number, the same on all devices;
* in- and outbound cost, and what a segment holds of shared parameters, change in O(degree) as nodes join and leave.

Source: this project.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from framework.errors import OutOfTimeError
from framework.model.arrays import IntArray
from framework.model.instance import MAX_TOTAL, Instance
from framework.structure.kernel import inlined_kernel, kernel
from framework.structure.primal.layout import (
    CLOSES,
    FIRST,
    LAST,
    NEXT,
    OUTS,
    PINS,
    PREVIOUS,
    PRODUCER,
    USES,
    largest_working,
)
from framework.structure.primal.slicing import Slicer
from framework.structure.unequal.positions import Positions, positions_of
from framework.structure.unequal.stage_kinds import completion_tests, stage_kinds

_NEVER, _CLOSED = 1 << 40, -1
"""Stages to a position that was not reached, and to one that is not worth reaching any more."""
_UNFINISHED, _REFUTED, _SATISFIED = range(3)

STAGE, START_AT, BOTTLENECK = range(3)
"""Counters of a pass: the stage and the start it goes on from; of the slicing found, its bottleneck in ticks."""
FEWEST, ORIGIN, SEGMENT_COST = range(3)
"""Rows of `covers`: the fewest stages up to each position, where the last of them starts, and what that one costs."""
BEGIN, END, INBOUND, OUTBOUND, HELD = range(5)
"""The corner of a stage: the segment kept, its in- and outbound cost, and that of the shared parameters it holds."""


class Chain(NamedTuple):
    """The stages, and what a decision knows of them.

    `kind` and `device` are ``[stages]``; `covered` ``[kinds, kinds]`` is true where what the second kind has walked
    tells all of the first. `rows` ``[stages + 1, 2]`` and `affordable` ``[rows, stages + 1]`` are of completion tests,
    by stages done. `walked` ``[kinds]`` is the last stage of each kind so far, `ranges` ``[stages + 1, 2]`` the first
    and last position with so many stages, `corner` that of the stage at work.
    """

    kind: IntArray
    device: IntArray
    covered: IntArray
    rows: IntArray
    affordable: IntArray
    walked: IntArray
    ranges: IntArray
    corner: IntArray


class UnequalSlicer(Slicer):
    """Slices one topological order of an instance with unequal stages, for any threshold.

    Parameters
    ----------
    order
        ``[n]`` node indices, first to last.

    Raises
    ------
    ValueError
        If `order` is not a topological order of the instance.
    """

    def __init__(self, instance: Instance, order: IntArray) -> None:
        unequal = instance.unequal
        assert unequal is not None
        self._order = np.ascontiguousarray(order, dtype=np.int64)
        self._largest_cost = instance.largest_cost
        self._devices = instance.on_each_device()
        self._kinds = kinds = stage_kinds(instance)
        self._tests = completion_tests(instance)
        self._positions = positions_of(instance, self._order, kinds, self._tests)
        self._covers = np.empty((3, instance.n + 1), np.int64)
        self._kind = np.array(kinds.of_stage, np.int64)
        self._covered = np.zeros((len(kinds.room), len(kinds.room)), np.int64)
        for one, others in enumerate(kinds.covered_by):
            self._covered[one, list(others)] = 1

    def _range(self, stages: int) -> tuple[int, int]:
        average = self._tests.least_threshold(self._positions.after[:, 0])
        kinds, n = self._kinds, len(self._order)
        alone = [
            device.total_work + max(0, device.most_held - device.capacity)
            for kind, device in ((kind, self._devices[kinds.device[kind]]) for kind in range(len(kinds.room)))
            if self._positions.reach[kind, 0] == n
        ]
        return average, min(alone, default=self._largest_cost)

    def _useful(self, stages: int) -> int:
        if stages != len(self._kind):
            raise ValueError(f"{stages} stages on {len(self._kind)} devices")
        return stages

    def _decide(
        self, stages: int, threshold: int, should_stop: Callable[[], bool] | None
    ) -> tuple[int, IntArray] | None:
        if threshold < 0:
            return None
        threshold = min(threshold, MAX_TOTAL)
        chain = Chain(
            kind=self._kind,
            device=np.array(self._kinds.device, np.int64)[self._kind],
            covered=self._covered,
            rows=np.array(self._tests.rows, np.int64),
            affordable=self._tests.affordable(threshold),
            walked=np.full(len(self._covered), -1, np.int64),
            ranges=np.empty((stages + 1, 2), np.int64),
            corner=np.full(5, -1, np.int64),
        )
        boundaries = np.empty(stages + 1, np.int64)
        counters = np.zeros(3, np.int64)
        _begin(self._covers, chain, counters)
        status = _UNFINISHED
        while status == _UNFINISHED:
            if should_stop is not None and should_stop():
                raise OutOfTimeError("stopped while an order was being sliced")
            status = _advance(threshold, self.steps_a_call, self._positions, chain, self._covers, counters)
        if status == _REFUTED:
            return None
        _trace(self._covers, boundaries, counters)
        return int(counters[BOTTLENECK]), boundaries


def slicer_of(instance: Instance, order: IntArray) -> Slicer:
    """Return what slices an order, ``[n]`` node indices, whether stages are equal or not."""
    return (Slicer if instance.unequal is None else UnequalSlicer)(instance, order)


@kernel
def _begin(covers: IntArray, chain: Chain, counters: IntArray) -> None:
    """Reach nothing but position 0."""
    fewest = covers[FEWEST]
    for j in range(len(fewest)):
        fewest[j] = _NEVER
    fewest[0] = 0
    for b in range(len(chain.ranges)):
        chain.ranges[b, 0], chain.ranges[b, 1] = len(fewest), -1
    chain.ranges[0, 0] = chain.ranges[0, 1] = 0
    counters[START_AT] = -1


@kernel
def _advance(
    threshold: int, steps: int, positions: Positions, chain: Chain, covers: IntArray, counters: IntArray
) -> int:
    """Go on with a pass, for about so many steps. Threshold and capacities are at most `MAX_TOTAL`."""
    fewest, n = covers[FEWEST], len(covers[FEWEST]) - 1
    while counters[STAGE] < len(chain.kind):
        b = counters[STAGE]
        kind = chain.kind[b]
        known = -1
        for other in range(len(chain.walked)):
            if chain.covered[kind, other]:
                known = max(known, chain.walked[other])
        first, last = n, -1
        for level in range(known + 1, b + 1):
            first, last = min(first, chain.ranges[level, 0]), max(last, chain.ranges[level, 1])
        if counters[START_AT] < 0:
            counters[START_AT] = first
            chain.corner[END] = -1
        for i in range(counters[START_AT], last + 1):
            if fewest[i] <= known or fewest[i] > b or not _is_open(positions.after, chain, b, i):
                continue
            if steps <= 0:
                counters[START_AT] = i
                return _UNFINISHED
            steps -= _grow(threshold, positions, chain, covers, b, i)
            if fewest[n] <= b + 1 and fewest[n] > 0:
                return _SATISFIED
        chain.walked[kind] = b
        counters[STAGE] += 1
        counters[START_AT] = -1
    return _REFUTED


@inlined_kernel
def _is_open(after: IntArray, chain: Chain, done: int, j: int) -> bool:
    """Whether the stages left may complete the first j nodes after so many stages."""
    fits = True
    for row in range(chain.rows[done, 0], chain.rows[done, 1]):
        fits = fits and after[row, j] <= chain.affordable[row, done]
    return bool(fits)


@inlined_kernel
def _grow(threshold: int, positions: Positions, chain: Chain, covers: IntArray, b: int, i: int) -> int:
    """Grow the segments of stage b that start at i; return how many steps that took."""
    layout, prices, device = positions.layout, positions.prices, chain.device[b]
    work, parameters, produced = prices.work[device], prices.parameters[device], prices.produced[device]
    pin_cost, close_cost, use_cost = prices.pins[device], prices.closes[device], prices.uses[device]
    pin_ptr, close_ptr, use_ptr = layout.ptr[PINS], layout.ptr[CLOSES], layout.ptr[USES]
    pin_previous, use_previous, close_producer = layout.pins[PREVIOUS], layout.uses[PREVIOUS], layout.closes[PRODUCER]
    fewest, origin, segment_cost = covers[FEWEST], covers[ORIGIN], covers[SEGMENT_COST]
    capacity, corner, end = prices.capacity[device], chain.corner, positions.reach[chain.kind[b], i]
    begin = i
    if corner[END] > i:
        begin = corner[BEGIN]
        _drop(positions, corner, device, i)
    else:
        corner[END], corner[INBOUND], corner[OUTBOUND], corner[HELD] = i, 0, 0, 0
    corner[BEGIN] = i
    j, inbound, outbound, held = corner[END], corner[INBOUND], corner[OUTBOUND], corner[HELD]
    joined, at_corner = j, True
    works, working = prices.working.shape[1] > 0, 0
    if works and j > i:
        working = largest_working(i, j, layout)
    while True:
        over = parameters[j] - parameters[i] + held - capacity
        if works:
            over += prices.working[device, working]
        least = work[j] - work[i] + inbound + max(0, over)
        if least > threshold:
            break
        if j > i and fewest[j] > b + 1:
            if not _is_open(positions.after, chain, b + 1, j):
                fewest[j] = _CLOSED
            elif least + outbound <= threshold:
                fewest[j], origin[j], segment_cost[j] = b + 1, i, least + outbound
                chain.ranges[b + 1, 0] = min(chain.ranges[b + 1, 0], j)
                chain.ranges[b + 1, 1] = max(chain.ranges[b + 1, 1], j)
            elif at_corner:
                at_corner = False
                corner[END], corner[INBOUND], corner[OUTBOUND], corner[HELD] = j, inbound, outbound, held
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
        outbound += produced[j]
        if works:
            working = max(working, layout.working[0, j])
        j += 1
    if at_corner:
        corner[END], corner[INBOUND], corner[OUTBOUND], corner[HELD] = j, inbound, outbound, held
    return int(j - joined + pin_ptr[j] - pin_ptr[joined] + 1 + i - begin + pin_ptr[i] - pin_ptr[begin])


@inlined_kernel
def _drop(positions: Positions, corner: IntArray, device: int, i: int) -> None:
    """Drop the nodes before position i from the corner."""
    layout, prices, j = positions.layout, positions.prices, corner[END]
    pin_ptr, out_ptr, use_ptr = layout.ptr[PINS], layout.ptr[OUTS], layout.ptr[USES]
    for x in range(corner[BEGIN], i):
        for y in range(pin_ptr[x], pin_ptr[x + 1]):
            # Everything that the leftmost node consumes comes from outside.
            if layout.pins[NEXT, y] >= j:
                corner[INBOUND] -= prices.pins[device, y]
        for y in range(out_ptr[x], out_ptr[x + 1]):
            if layout.outs[LAST, y] >= j:
                corner[OUTBOUND] -= prices.outs[device, y]
            if layout.outs[FIRST, y] < j:
                corner[INBOUND] += prices.outs[device, y]
        for y in range(use_ptr[x], use_ptr[x + 1]):
            if layout.uses[NEXT, y] >= j:
                corner[HELD] -= prices.uses[device, y]


@kernel
def _trace(covers: IntArray, boundaries: IntArray, counters: IntArray) -> None:
    """Fill in where each stage begins, following the slicing found backwards from its end."""
    fewest, origin, segment_cost = covers[FEWEST], covers[ORIGIN], covers[SEGMENT_COST]
    j, last = len(fewest) - 1, len(boundaries) - 1
    while j > 0:
        for b in range(fewest[j], last + 1):
            boundaries[b] = j
        last = fewest[j] - 1
        counters[BOTTLENECK] = max(counters[BOTTLENECK], segment_cost[j])
        j = origin[j]
    for b in range(last + 1):
        boundaries[b] = 0
