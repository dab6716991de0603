"""Branching on nested ideals: windows closed under precedence, which choice to try, and trying it.

A choice is a pair (v, j): either v lies in group j or an earlier one, with all its ancestors, or in a later one, with
all its descendants. *Probing* a choice starts from the maximal flow of the node, adds the infinite arcs that one side
of the choice brings, and lets the flow grow: what it reaches, or has reached when its steps are spent, bounds that
side from below. A side whose bound exceeds the limit is refuted; then the other one is imposed on the node itself,
flow and all. The best choice is the one whose two sides gain most, by the product of the gains as is usual in strong
branching.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from framework.errors import OutOfTimeError
from framework.model.arrays import IntArray
from framework.structure.flow.max_flow import INFINITE, STEPS, VALUE, FlowArrays, augment_flow
from framework.structure.kernel import kernel
from framework.structure.nested_cuts.costs import Arcs, Windows
from framework.structure.nested_cuts.network import NestedNetwork
from framework.structure.nested_cuts.windows import Neighbours, restrict, score_choices, tighten, undo

_STEPS_PER_CALL = 8_000_000
"""Arcs scanned and capacities copied in one kernel call: well below 0.1 s."""
_STEPS_PER_PROBE = 1_000_000


REFUTED, IMPOSED, SINCE_BEST, NODE, GROUP, UP_TO, BEYOND, DONE = range(8)
"""Counters of a round of probing: whether neither side of some choice is possible; choices imposed; choices tried since
the best one; that one, v (`_NO_NODE` for none) and j, and the flow values of its sides; candidates done."""
_COUNTERS = 8
_NO_NODE = -1


class _Cut(NamedTuple):
    """A network with a maximal flow in its residual capacities."""

    flow: FlowArrays
    source: int
    sink: int
    residual: IntArray
    arcs: Arcs


class _Memory(NamedTuple):
    """Memory of probing: residual capacities and trails of both sides of a choice, a stack, and what was imposed.

    ``[2, residual]``, ``[2, n, 2]``, ``[n]``, and ``[n * boundaries, 3]``: v, j, and the side that was kept.
    """

    copies: IntArray
    trails: IntArray
    stack: IntArray
    imposed: IntArray


class _Limits(NamedTuple):
    """When probing ends: at a flow that refutes, at so many choices since the best one, at so many steps."""

    flow: int
    stop_after: int
    steps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What probing found.

    Attributes
    ----------
    refuted
        Neither side of `choice` was possible: the node is done.
    imposed
        The choices that were settled, one side being refuted, in their order: v, j, and whether v is beyond j.
    choice
        The best open choice (v, j), None if there is none.
    values
        Flow values of both sides of it: v up to j, v beyond j.
    """

    refuted: bool
    imposed: list[tuple[int, int, bool]]
    choice: tuple[int, int] | None
    values: tuple[int, int]


class Brancher:
    """Branches on the nodes of one network.

    Parameters
    ----------
    network
        Its residual capacities hold the maximal flow of the node that is worked on.
    should_stop
        Asked while choices are probed.
    """

    def __init__(self, network: NestedNetwork, should_stop: Callable[[], bool] = lambda: False) -> None:
        self._should_stop = should_stop
        top = network.instance.topology
        self._nested = network
        self._neighbours = Neighbours(pred_ptr=top.pred_ptr, preds=top.preds, succ_ptr=top.succ_ptr, succs=top.succs)
        self._memory = _Memory(
            copies=np.zeros((2, len(network.network.residual)), np.int64),
            trails=np.zeros((2, top.n, 2), np.int64),
            stack=np.zeros(top.n, np.int64),
            imposed=np.zeros((top.n * network.boundaries, 3), np.int64),
        )

    def restrict(self, earliest: IntArray, latest: IntArray, v: int, j: int, *, later: bool) -> bool:
        """Impose one side of a choice on windows, in place; return whether that is possible."""
        ends = (earliest, latest)
        memory = self._memory
        return bool(restrict(v, j, later, *ends, self._neighbours, memory.trails[0], memory.stack) >= 0)

    def tighten(self, earliest: IntArray, latest: IntArray, threshold: int) -> bool:
        """Tighten windows in place by what is fixed to a group, before and behind a boundary; False if that refutes.

        No group weighs more than its size times T in work, or than that plus what it holds in work and parameters;
        nor do all groups up to a boundary, or beyond it, together.
        """
        prices, sizes = self._nested.prices, self._nested.sizes.tolist()
        weights, limits = [prices.work], [[threshold * r for r in sizes]]
        if self._nested.overflows:
            weights.append(prices.work + prices.parameters)
            limits.append([threshold * r + c for r, c in zip(sizes, self._nested.capacities.tolist(), strict=True)])
        # Everything weighs less than this, and the sums of all groups stay in range.
        clip = int(np.atleast_2d(weights[-1]).max(0).sum()) + 1
        return bool(
            tighten(
                earliest,
                latest,
                np.stack(weights),
                np.array([[min(limit, clip) for limit in row] for row in limits], np.int64),
                self._neighbours,
                self._memory.trails[0],
                self._memory.stack,
            )
        )

    def candidates(self, earliest: IntArray, latest: IntArray, low: IntArray, high: IntArray, most: int) -> IntArray:
        """Return up to `most` open choices, the most promising first, as ``[choices, 2]`` pairs (v, j).

        Parameters
        ----------
        low, high
            ``[n]`` groups in two minimum cuts; choices on which they disagree come first.
        """
        reach = self._nested.reach
        score, v, j = score_choices(
            earliest, latest, low, high, self._nested.boundaries, reach.ancestors, reach.descendants
        )
        if len(score) > most:
            best = np.argpartition(-score, most)[:most]
            score, v, j = score[best], v[best], j[best]
        order = np.lexsort((j, v, -score))
        return np.stack((v[order], j[order]), axis=1)

    def probe(self, earliest: IntArray, latest: IntArray, candidates: IntArray, limit: int, stop_after: int) -> Probe:
        """Try choices until all were, or `stop_after` of them in a row gained nothing on the best.

        Windows and residual capacities take up what is imposed.

        Parameters
        ----------
        limit
            A flow of this value refutes.

        Raises
        ------
        OutOfTimeError
            If `should_stop` returns true.
        """
        network = self._nested.network
        cut = _Cut(network.arrays, network.source, network.sink, network.residual, self._nested.arcs)
        windows, limits = Windows(earliest, latest), _Limits(limit, stop_after, _STEPS_PER_CALL)
        counters = np.zeros(_COUNTERS, np.int64)
        counters[NODE] = _NO_NODE
        while counters[DONE] < len(candidates):
            _probe(cut, windows, self._neighbours, self._memory, candidates, limits, counters)
            if counters[REFUTED]:
                break
            if counters[DONE] < len(candidates) and self._should_stop():
                raise OutOfTimeError("stopped while choices were being probed")
        found = counters.tolist()
        imposed = self._memory.imposed[: found[IMPOSED]].tolist()
        return Probe(
            refuted=bool(found[REFUTED]),
            imposed=[(v, j, bool(later)) for v, j, later in imposed],
            choice=None if found[NODE] == _NO_NODE else (found[NODE], found[GROUP]),
            values=(found[UP_TO], found[BEYOND]),
        )


@kernel
def _probe(
    cut: _Cut,
    windows: Windows,
    neighbours: Neighbours,
    memory: _Memory,
    candidates: IntArray,
    limits: _Limits,
    counters: IntArray,
) -> None:
    """Probe candidates, ``[choices, 2]``, from those done on, until all are or the steps are spent."""
    earliest, latest = windows
    flow, limit = cut.flow.counters, limits.flow
    stop = flow[STEPS] + limits.steps
    for i in range(counters[DONE], len(candidates)):
        counters[DONE] = i
        if flow[STEPS] > stop:
            return
        v, j = candidates[i, 0], candidates[i, 1]
        if earliest[v] > j or latest[v] <= j:
            continue
        before = flow[VALUE]
        up_to = _try_side(cut, windows, neighbours, memory, v, j, 0, limit)
        beyond = _try_side(cut, windows, neighbours, memory, v, j, 1, limit)
        if up_to >= limit and beyond >= limit:
            counters[REFUTED] = 1
            counters[NODE], counters[GROUP] = v, j
            return
        node, group = counters[NODE], counters[GROUP]
        if up_to >= limit or beyond >= limit:
            kept = 1 if up_to >= limit else 0
            for a in range(len(cut.residual)):
                cut.residual[a] = memory.copies[kept, a]
            flow[VALUE] = beyond if kept else up_to
            restrict(v, j, kept == 1, earliest, latest, neighbours, memory.trails[kept], memory.stack)
            settled = memory.imposed[counters[IMPOSED]]
            settled[0], settled[1], settled[2] = v, j, kept
            counters[IMPOSED] += 1
            if node != _NO_NODE and (earliest[node] > group or latest[node] <= group):
                counters[NODE] = _NO_NODE
                counters[SINCE_BEST] = 0
            continue
        best = -1.0
        if node != _NO_NODE:
            best = _gain(counters[UP_TO] - before, counters[BEYOND] - before)
        if _gain(up_to - before, beyond - before) > best:
            counters[SINCE_BEST] = 0
            counters[NODE], counters[GROUP], counters[UP_TO], counters[BEYOND] = v, j, up_to, beyond
        else:
            counters[SINCE_BEST] += 1
            if counters[SINCE_BEST] >= limits.stop_after:
                break
    counters[DONE] = len(candidates)


@kernel
def _try_side(
    cut: _Cut, windows: Windows, neighbours: Neighbours, memory: _Memory, v: int, j: int, side: int, limit: int
) -> int:
    """Return the flow value of a side (0: up to j, 1: beyond); its residual capacities are left in its copy."""
    flow, later = cut.flow, side == 1
    copy, trail = memory.copies[side], memory.trails[side]
    before = flow.counters[VALUE]
    length = restrict(v, j, later, windows.earliest, windows.latest, neighbours, trail, memory.stack)
    for a in range(len(copy)):
        copy[a] = cut.residual[a]
    flow.counters[STEPS] += len(copy) // 4
    _open_arcs(j, later, trail, length, cut.arcs, copy)
    augment_flow(flow, copy, cut.source, cut.sink, limit, _STEPS_PER_PROBE)
    value = flow.counters[VALUE]
    flow.counters[VALUE] = before
    undo(later, trail, length, windows.earliest, windows.latest)
    return int(value)


@kernel
def _open_arcs(j: int, later: bool, trail: IntArray, length: int, arcs: Arcs, residual: IntArray) -> None:
    """Add the infinite arcs of a side to residual capacities."""
    for i in range(length):
        u, old = trail[i, 0], trail[i, 1]
        if later:
            for t in range(old, j + 1):
                residual[arcs.to_sink[t, u]] = INFINITE
        else:
            for t in range(j, old):
                residual[arcs.from_source[t, u]] = INFINITE


@kernel
def _gain(first: int, second: int) -> float:
    return max(float(first), 0.5) * max(float(second), 0.5)
