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
from framework.structure.kernel import allocating_kernel, kernel
from framework.structure.nested_cuts.network import NestedNetwork
from framework.structure.nested_cuts.windows import Neighbours, restrict, score_choices, tighten, undo

_STEPS_PER_CALL = 8_000_000
"""Arcs scanned and capacities copied in one kernel call: well below 0.1 s."""
_STEPS_PER_PROBE = 1_000_000


class _Wiring(NamedTuple):
    from_source: IntArray
    to_sink: IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What probing found.

    Attributes
    ----------
    refuted
        Neither side of some choice was possible: the node is done.
    imposed
        How many choices were settled, one side being refuted.
    choice
        The best open choice (v, j), None if there is none.
    values
        Flow values of both sides of it: v up to j, v beyond j.
    """

    refuted: bool
    imposed: int
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
        self._wiring = _Wiring(
            from_source=np.ascontiguousarray(network.from_source), to_sink=np.ascontiguousarray(network.to_sink)
        )
        self._copies = np.zeros((2, len(network.network.residual)), np.int64)
        self._trail = np.zeros((2, top.n, 2), np.int64)
        self._stack = np.zeros(top.n, np.int64)

    def restrict(self, earliest: IntArray, latest: IntArray, v: int, j: int, *, later: bool) -> bool:
        """Impose one side of a choice on windows, in place; return whether that is possible."""
        ends = (earliest, latest)
        return bool(restrict(v, j, later, *ends, self._neighbours, self._trail[0], self._stack) >= 0)

    def tighten(self, earliest: IntArray, latest: IntArray, threshold: int) -> bool:
        """Tighten windows in place by what is fixed to a group, before and behind a boundary; False if that refutes.

        No group weighs more than its size times T in work, or than that plus what it holds in work and parameters;
        nor do all groups up to a boundary, or beyond it, together.
        """
        instance, sizes = self._nested.instance, self._nested.sizes.tolist()
        weights, limits = [instance.work], [[threshold * r for r in sizes]]
        if instance.can_overflow:
            weights.append(instance.work + instance.parameter_cost)
            limits.append([threshold * r + c for r, c in zip(sizes, self._nested.capacities.tolist(), strict=True)])
        # Everything weighs less than this, and the sums of all groups stay in range.
        clip = int(sum(weights[-1].tolist())) + 1
        return bool(
            tighten(
                earliest,
                latest,
                np.stack(weights),
                np.array([[min(limit, clip) for limit in row] for row in limits], np.int64),
                self._neighbours,
                self._trail[0],
                self._stack,
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
        found = np.zeros(8, np.int64)
        found[3] = -1
        done = 0
        while done < len(candidates):
            done = _probe(
                network.arrays,
                self._wiring,
                self._neighbours,
                network.source,
                network.sink,
                network.residual,
                self._copies,
                earliest,
                latest,
                candidates,
                done,
                limit,
                stop_after,
                self._trail,
                self._stack,
                found,
                _STEPS_PER_CALL,
            )
            if found[0]:
                break
            if done < len(candidates) and self._should_stop():
                raise OutOfTimeError("stopped while choices were being probed")
        choice = None if found[3] < 0 else (int(found[3]), int(found[4]))
        return Probe(
            refuted=bool(found[0]), imposed=int(found[1]), choice=choice, values=(int(found[5]), int(found[6]))
        )


@kernel
def _open_arcs(j: int, later: bool, trail: IntArray, length: int, wiring: _Wiring, residual: IntArray) -> None:
    """Add the infinite arcs of a side to residual capacities."""
    for i in range(length):
        u, old = trail[i, 0], trail[i, 1]
        if later:
            for t in range(old, j + 1):
                residual[wiring.to_sink[t, u]] = INFINITE
        else:
            for t in range(j, old):
                residual[wiring.from_source[t, u]] = INFINITE


@allocating_kernel
def _probe(
    flow: FlowArrays,
    wiring: _Wiring,
    neighbours: Neighbours,
    source: int,
    sink: int,
    residual: IntArray,
    copies: IntArray,
    earliest: IntArray,
    latest: IntArray,
    candidates: IntArray,
    start: int,
    limit: int,
    stop_after: int,
    trail: IntArray,
    stack: IntArray,
    found: IntArray,
    steps: int,
) -> int:
    """Probe candidates from `start` on; return where it stopped.

    `found`: refuted; choices imposed; tried since the best; best v, j, and its two values.
    """
    values = np.zeros(2, np.int64)
    lengths = np.zeros(2, np.int64)
    stop = flow.counters[STEPS] + steps
    for i in range(start, len(candidates)):
        if flow.counters[STEPS] > stop:
            return i
        v, j = candidates[i, 0], candidates[i, 1]
        if earliest[v] > j or latest[v] <= j:
            continue
        before = flow.counters[VALUE]
        for side in range(2):
            later = side == 1
            lengths[side] = restrict(v, j, later, earliest, latest, neighbours, trail[side], stack)
            copies[side] = residual
            flow.counters[STEPS] += len(residual) // 4
            _open_arcs(j, later, trail[side], lengths[side], wiring, copies[side])
            augment_flow(flow, copies[side], source, sink, limit, _STEPS_PER_PROBE)
            values[side] = flow.counters[VALUE]
            flow.counters[VALUE] = before
            undo(later, trail[side], lengths[side], earliest, latest)
        if values[0] >= limit and values[1] >= limit:
            found[0] = 1
            return i
        if values[0] >= limit or values[1] >= limit:
            kept = 1 if values[0] >= limit else 0
            for a in range(len(residual)):
                residual[a] = copies[kept, a]
            flow.counters[VALUE] = values[kept]
            restrict(v, j, kept == 1, earliest, latest, neighbours, trail[kept], stack)
            found[1] += 1
            if found[3] >= 0 and (earliest[found[3]] > found[4] or latest[found[3]] <= found[4]):
                found[3] = -1
                found[2] = 0
            continue
        gain = _gain(values[0] - before, values[1] - before)
        best = -1.0
        if found[3] >= 0:
            best = _gain(found[5] - before, found[6] - before)
        if gain > best:
            found[2] = 0
            found[3], found[4], found[5], found[6] = v, j, values[0], values[1]
        else:
            found[2] += 1
            if found[2] >= stop_after:
                return len(candidates)
    return len(candidates)


@kernel
def _gain(first: int, second: int) -> float:
    return max(float(first), 0.5) * max(float(second), 0.5)
