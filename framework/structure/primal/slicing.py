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
* The in- and outbound cost of a segment change in O(degree) when a node joins at the right or leaves at the left.

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
from framework.structure.kernel import allocating_kernel, kernel

_STEPS_PER_CALL = 8_000_000
"""Nodes and pins joined to or dropped from segments in one kernel call: well below 0.1 s."""

_NEVER = 1 << 40
"""A position behind all others, and a number of segments above all others."""

_UNFINISHED, _REFUTED, _SATISFIED, _NO_ORDER = 0, 1, 2, 3


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

    def __init__(self, instance: Instance, order: IntArray) -> None:
        n, m, top = instance.n, instance.m, instance.topology
        self._order = np.ascontiguousarray(order, dtype=np.int64)
        self._capacity = instance.bounded_capacity
        self._largest_cost = instance.largest_cost
        limit = instance.stage_limit
        self._prefix = np.zeros((4, n + 1), np.int64)
        self._ptr = np.zeros((3, n + 1), np.int64)
        self._pins = np.empty((3, top.pins), np.int64)
        self._outs = np.empty((3, m), np.int64)
        self._closes = np.empty((2, m), np.int64)
        self._covers = np.empty((3, n + 1), np.int64)
        status = _prepare(
            self._order,
            instance.work,
            instance.parameter_cost,
            instance.tensor_cost,
            top.producer,
            top.in_ptr,
            top.in_tensors,
            top.out_ptr,
            top.out_tensors,
            self._prefix,
            self._ptr,
            self._pins,
            self._outs,
            self._closes,
        )
        if status == _NO_ORDER:
            raise ValueError("not a topological order of the instance")
        # Where segments from each position end at the latest.
        self._reach = np.full(n, n, np.int64)
        if limit is not None:
            held = np.concatenate(([0], np.cumsum(limit.sizes[self._order])))
            self._reach = np.searchsorted(held, held[:-1] + limit.limit, side="right").astype(np.int64) - 1

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
        work, parameters = int(self._prefix[0, -1]), int(self._prefix[1, -1])
        low = max(lower, -(-(work + max(0, parameters - k * self._capacity)) // k))
        # One stage for all is a slicing unless it holds too much.
        everything = work + parameters - self._capacity if self._reach[0] == len(self._order) else self._largest_cost
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
        corners = np.full((stages, 4), -1, np.int64)
        boundaries = np.zeros(stages + 1, np.int64)
        self._covers[0] = _NEVER
        self._covers[0, 0] = 0
        state = np.zeros(3, np.int64)
        status = _UNFINISHED
        while status == _UNFINISHED:
            if should_stop is not None and should_stop():
                raise OutOfTimeError("stopped while an order was being sliced")
            status = _advance(
                stages,
                min(threshold, MAX_TOTAL),
                self._capacity,
                _STEPS_PER_CALL,
                self._prefix,
                self._reach,
                self._ptr,
                self._pins,
                self._outs,
                self._closes,
                self._covers,
                corners,
                boundaries,
                state,
            )
        if status == _REFUTED:
            return None
        return int(state[1]), boundaries[: int(state[2]) + 1]

    def _partition(self, boundaries: IntArray) -> Partition:
        stage_of = np.empty(len(self._order), np.int64)
        stage_of[self._order] = np.repeat(np.arange(len(boundaries) - 1), np.diff(boundaries))
        return Partition(stage_of=stage_of)


@allocating_kernel
def _prepare(
    order: IntArray,
    node_work: IntArray,
    node_parameters: IntArray,
    cost: IntArray,
    producer: IntArray,
    in_ptr: IntArray,
    in_tensors: IntArray,
    out_ptr: IntArray,
    out_tensors: IntArray,
    prefix: IntArray,
    ptr: IntArray,
    pins: IntArray,
    outs: IntArray,
    closes: IntArray,
) -> int:
    """Lay the instance out along the order.

    Rows of `prefix`: work and parameters before j; what is left to pay from j on (work and crossing tensors);
    cost of the tensors produced at j. Rows of `ptr`: where the pins, the produced tensors and the closed tensors of
    j begin. Rows of `pins`: position of the previous pin of the tensor (its producer is the first one), of the
    next consumer, cost. Rows of `outs`: position of the first and last consumer, cost. Rows of `closes`, for the
    tensors whose last consumer is at j: position of the producer, cost.
    """
    n, m = len(order), len(cost)
    if n != len(node_work):
        return _NO_ORDER
    position = np.full(n, -1, np.int64)
    last = np.full(m, -1, np.int64)
    last_pin = np.full(m, -1, np.int64)
    out_of = np.empty(m, np.int64)
    pin = out = 0
    for j in range(n):
        v = order[j]
        if v < 0 or v >= n or position[v] >= 0:
            return _NO_ORDER
        position[v] = j
        ptr[0, j], ptr[1, j] = pin, out
        prefix[0, j + 1] = prefix[0, j] + node_work[v]
        prefix[1, j + 1] = prefix[1, j] + node_parameters[v]
        for i in range(in_ptr[v], in_ptr[v + 1]):
            t = in_tensors[i]
            if last[t] < 0:
                return _NO_ORDER
            if last_pin[t] >= 0:
                pins[1, last_pin[t]] = j
            else:
                outs[0, out_of[t]] = j
            pins[0, pin], pins[1, pin], pins[2, pin] = last[t], _NEVER, cost[t]
            last[t], last_pin[t] = j, pin
            pin += 1
        for i in range(out_ptr[v], out_ptr[v + 1]):
            t = out_tensors[i]
            outs[2, out] = cost[t]
            out_of[t], last[t] = out, j
            prefix[3, j] += cost[t]
            out += 1
    ptr[0, n], ptr[1, n] = pin, out
    for t in range(m):
        outs[1, out_of[t]] = last[t]
        ptr[2, last[t] + 1] += 1
    for j in range(n):
        ptr[2, j + 1] += ptr[2, j]
    free = ptr[2].copy()
    for t in range(m):
        closes[0, free[last[t]]] = position[producer[t]]
        closes[1, free[last[t]]] = cost[t]
        free[last[t]] += 1
    crossing = 0
    for j in range(n + 1):
        prefix[2, j] = prefix[0, n] - prefix[0, j] + crossing
        if j < n:
            crossing += prefix[3, j]
            for i in range(ptr[2, j], ptr[2, j + 1]):
                crossing -= closes[1, i]
    return 0


@kernel
def _advance(
    stages: int,
    threshold: int,
    capacity: int,
    steps: int,
    prefix: IntArray,
    reach: IntArray,
    ptr: IntArray,
    pins: IntArray,
    outs: IntArray,
    closes: IntArray,
    covers: IntArray,
    corners: IntArray,
    boundaries: IntArray,
    state: IntArray,
) -> int:
    """Run a pass from the start ``state[0]`` on, for about `steps` steps.

    Segments from i end at ``reach[i]`` at the latest.

    Rows of `covers`: fewest segments up to j, where the last of them starts, what it costs. Rows of `corners`, one per
    level: start and end of the segment kept, its in- and outbound cost. When the threshold is satisfied,
    ``state[1]`` is the bottleneck and ``state[2]`` the number of segments between the `boundaries`.
    """
    work, parameters, rest, produced = prefix[0], prefix[1], prefix[2], prefix[3]
    pin_ptr, out_ptr, close_ptr = ptr[0], ptr[1], ptr[2]
    pin_previous, pin_next, pin_cost = pins[0], pins[1], pins[2]
    out_first, out_last, out_cost = outs[0], outs[1], outs[2]
    close_producer, close_cost = closes[0], closes[1]
    fewest, origin, segment_cost = covers[0], covers[1], covers[2]
    n = len(work) - 1
    for i in range(state[0], n):
        level = fewest[i]
        if level >= stages:
            continue
        if steps <= 0:
            state[0] = i
            return _UNFINISHED
        left = stages - level - 1
        affordable = left * threshold
        beyond = parameters[n] - left * capacity
        j, inbound, outbound = i, 0, 0
        if corners[level, 1] > i:
            j, inbound, outbound = corners[level, 1], corners[level, 2], corners[level, 3]
            for x in range(corners[level, 0], i):
                for y in range(pin_ptr[x], pin_ptr[x + 1]):
                    # Everything that the leftmost node consumes comes from outside.
                    if pin_next[y] >= j:
                        inbound -= pin_cost[y]
                for y in range(out_ptr[x], out_ptr[x + 1]):
                    if out_last[y] >= j:
                        outbound -= out_cost[y]
                    if out_first[y] < j:
                        inbound += out_cost[y]
            steps -= i - corners[level, 0] + pin_ptr[i] - pin_ptr[corners[level, 0]]
        joined = j
        end = reach[i]
        at_corner = True
        while True:
            least = work[j] - work[i] + inbound + max(0, parameters[j] - parameters[i] - capacity)
            if least > threshold:
                break
            if j > i and fewest[j] > level + 1 and rest[j] + max(0, beyond - parameters[j]) <= affordable:
                if least + outbound <= threshold:
                    fewest[j], origin[j], segment_cost[j] = level + 1, i, least + outbound
                elif at_corner:
                    at_corner = False
                    corners[level, 0], corners[level, 1] = i, j
                    corners[level, 2], corners[level, 3] = inbound, outbound
            if j == end:
                break
            for y in range(pin_ptr[j], pin_ptr[j + 1]):
                if pin_previous[y] < i:
                    inbound += pin_cost[y]
            for y in range(close_ptr[j], close_ptr[j + 1]):
                if close_producer[y] >= i:
                    outbound -= close_cost[y]
            outbound += produced[j]
            j += 1
        steps -= j - joined + pin_ptr[j] - pin_ptr[joined] + 1
        if fewest[n] <= stages:
            return _trace(covers, boundaries, state)
        if at_corner:
            corners[level, 0], corners[level, 1] = i, j
            corners[level, 2], corners[level, 3] = inbound, outbound
    return _REFUTED


@kernel
def _trace(covers: IntArray, boundaries: IntArray, state: IntArray) -> int:
    """Follow the slicing found backwards from its end."""
    fewest, origin, segment_cost = covers[0], covers[1], covers[2]
    j = len(fewest) - 1
    state[2] = fewest[j]
    boundaries[state[2]] = j
    while j > 0:
        state[1] = max(state[1], segment_cost[j])
        j = origin[j]
        boundaries[fewest[j]] = j
    return _SATISFIED
