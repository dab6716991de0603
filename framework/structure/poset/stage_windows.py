"""Stage windows: where each node can be when no stage may cost more than a threshold T.

Every stage costs at least its work, and at least its work plus its parameters minus the capacity. So with weights
a = w and limit T, or a = w + p and limit T + capacity, a stage weighs at most the limit, and j stages at most j
times the limit. If v is in stage j (counted from 1), its ancestors and v fill the first j stages in part, and its
descendants and v the last k - j + 1: hence

    ceil(a(anc(v) + v) / limit) <= j <= k + 1 - ceil(a(desc(v) + v) / limit).

A parameter that several nodes use is in the weight of a set of nodes once: each use is in some stage, which holds it.

Where working sets count towards the capacity, every stage with nodes has at least the smallest of all: the capacity is
smaller by that much.

A hard limit on what a stage holds is a third weight, with a limit that no T changes.

An empty window refutes T. Source: windows on prefixes as in Archer et al., ICML 2024; both weights: this project.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from framework.errors import OutOfTimeError
from framework.model.arrays import IntArray
from framework.model.instance import Instance
from framework.model.problem import Windows
from framework.model.shared import SharedParameters
from framework.model.topology import Topology
from framework.structure.bit_sets import BitArray, which_are_in
from framework.structure.kernel import kernel
from framework.structure.poset.closure import closure

_ROWS_A_CALL = 512


class StageWindows:
    """Windows of one instance for any threshold; the reachable weights are summed once.

    Raises
    ------
    OutOfTimeError
        If `should_stop` returns true while they are summed.
    """

    def __init__(self, instance: Instance, should_stop: Callable[[], bool] = lambda: False) -> None:
        reach = closure(instance, should_stop=should_stop)
        nothing = np.zeros(len(instance.shared), np.int64)
        # (weight, that of shared parameters, multiple of T in its limit, what the limit exceeds that by)
        weights = [(instance.work, nothing, 1, 0)]
        if instance.can_overflow:
            capacity = instance.without_worksets().capacity
            weights.append((instance.work + instance.parameter_cost, instance.shared_cost, 1, capacity))
        if instance.stage_limit is not None:
            limit = instance.stage_limit.same_for_all
            weights.append((limit.sizes, limit.shared_sizes, 0, limit.additive))
        # The weight of ancestors and self, of descendants and self in place of the weight.
        self._sides = [
            (
                weight
                + _reachable_weight(reach.ancestors, weight, should_stop)
                + _used_weight(reach.descendants, instance.shared, sizes),
                weight
                + _reachable_weight(reach.descendants, weight, should_stop)
                + _used_weight(reach.ancestors, instance.shared, sizes),
                times,
                allowance,
            )
            for weight, sizes, times, allowance in weights
        ]

    def at(self, stages: int, threshold: int) -> Windows | None:
        """Return the windows for a threshold in ticks; None if some window is empty, which refutes it."""
        earliest = np.zeros(len(self._sides[0][0]), np.int64)
        latest = np.full(len(earliest), stages - 1, np.int64)
        for before, after, times, allowance in self._sides:
            limit = times * threshold + allowance
            if limit <= 0:
                if before.any():
                    return None
                continue
            earliest = np.maximum(earliest, -(-before // limit) - 1)
            latest = np.minimum(latest, stages + after // -limit)
        return Windows.unless_empty(earliest, latest)

    def between(self, least: IntArray, most: IntArray) -> Windows | None:
        """Return the windows for limits on the work of the first stages; None if some window is empty.

        If v is in stage b, its ancestors and v fit into the first b + 1 stages, and all but v and its descendants
        fill the first b.

        Parameters
        ----------
        least, most
            ``[stages + 1]`` ticks, both never falling, from 0 to the total work.
        """
        before, after, *_ = self._sides[0]
        total = int(most[-1])
        earliest = np.searchsorted(most[1:], before)
        latest = np.searchsorted(least[:-1], total - after, side="right") - 1
        return Windows.unless_empty(earliest, latest)


def follow_order(topology: Topology, earliest: IntArray, latest: IntArray) -> None:
    """Narrow windows in place, ``[n]`` each, so that no node is before its predecessors."""
    _follow(earliest, latest, topology.pred_ptr, topology.preds)


def _used_weight(rows: BitArray, shared: SharedParameters, sizes: IntArray) -> IntArray:
    """Return the sizes of the shared parameters that a node uses, or a node in whose row it is, ``[n]``."""
    sums = np.zeros(len(rows), np.int64)
    nodes = np.arange(len(rows), dtype=np.int64)
    for q in np.flatnonzero(sizes).tolist():
        users = shared.users[shared.ptr[q] : shared.ptr[q + 1]]
        uses = which_are_in(np.bitwise_or.reduce(rows[users], axis=0), nodes)
        uses[users] = True
        sums[uses] += sizes[q]
    return sums


def _reachable_weight(rows: BitArray, weight: IntArray, should_stop: Callable[[], bool]) -> IntArray:
    sums = np.zeros(len(rows), np.int64)
    for start in range(0, len(rows), _ROWS_A_CALL):
        if should_stop():
            raise OutOfTimeError("stopped while summing windows")
        _weigh(rows, weight, start, min(len(rows), start + _ROWS_A_CALL), sums)
    return sums


@kernel
def _weigh(rows: BitArray, weight: IntArray, start: int, stop: int, sums: IntArray) -> None:
    one = np.uint64(1)
    for v in range(start, stop):
        total = 0
        for word in range(rows.shape[1]):
            bits = rows[v, word]
            node = word << 6
            while bits:
                if bits & one:
                    total += weight[node]
                bits >>= one
                node += 1
        sums[v] = total


@kernel
def _follow(earliest: IntArray, latest: IntArray, pred_ptr: IntArray, preds: IntArray) -> None:
    n = len(earliest)
    for v in range(n):
        for i in range(pred_ptr[v], pred_ptr[v + 1]):
            earliest[v] = max(earliest[v], earliest[preds[i]])
    for v in range(n - 1, -1, -1):
        for i in range(pred_ptr[v], pred_ptr[v + 1]):
            latest[preds[i]] = min(latest[preds[i]], latest[v])
