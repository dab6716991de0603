"""Maximum flows and minimum cuts in exact integers, resumable and warm-startable.

The method is Dinic's: breadth-first levels from the source, then blocking flow along them. Three adaptations suit the
cuts of this project:

* A search ends at the level of the sink, and marks vertices with a time stamp instead of clearing arrays. So the time
  for a cut near its source depends on the size of that neighbourhood, not of the graph.
* The flow is kept in residual capacities, so the flow can be continued after capacities are raised (a warm start).
* A call does a bounded number of steps, so that deadlines can be checked between calls.

Source: E. A. Dinic, 1970; infinite capacities are `INFINITE`, beyond any finite sum of an instance.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from framework.errors import OutOfTimeError
from framework.model.arrays import IntArray, row_pointers
from framework.structure.kernel import allocating_kernel, kernel

BoolArray: TypeAlias = NDArray[np.bool_]
SmallArray: TypeAlias = NDArray[np.int32]

INFINITE = 1 << 60
"""Capacity of an arc that no cut worth reporting crosses; every finite cut must stay below it."""

_STEPS_PER_CALL = 4_000_000
"""Arcs scanned in one kernel call: some hundredths of a second."""

VALUE, BASE, MET, STEPS = range(4)
"""Counters of a network: flow sent so far; level of the source in the latest search; vertices that search met; arcs
scanned so far."""
COUNTERS = 4
_DONE, _LIMIT, _PAUSED = range(3)


class FlowArrays(NamedTuple):
    """What `augment_flow` needs of a network besides residual capacities, to call it from another kernel.

    The arcs out of vertex u, reverse ones included, are ``first[u]`` to ``first[u + 1]``: `head` is where each leads,
    `reverse` the position of its reverse. `level`, `cursor`, `queue` and `path` are memory of a search, an entry per
    vertex; after a search, `queue` begins with the vertices it met. `counters` are those named above.
    """

    first: IntArray
    head: SmallArray
    reverse: SmallArray
    level: IntArray
    cursor: IntArray
    queue: SmallArray
    path: SmallArray
    counters: IntArray


class FlowNetwork:
    """A network with one source and one sink whose capacities can change between flows.

    Parameters
    ----------
    vertices
        Number of vertices; the source and the sink are two of them.
    tails, heads
        ``[arcs]`` vertices of each arc.
    source, sink
        Where the flow starts and ends.

    Attributes
    ----------
    source, sink
        As given.
    forward, backward
        ``[arcs]`` position of each arc, and of its reverse, in `residual`.
    arrays
        What kernels take besides `residual`.
    residual
        ``[2 * arcs]`` what can still flow along each arc and its reverse; write capacities here between flows.
    value
        Flow sent so far.
    """

    def __init__(self, vertices: int, tails: IntArray, heads: IntArray, source: int, sink: int) -> None:
        arcs = len(tails)
        ends = np.concatenate((tails, heads)).astype(np.int64)
        order = np.argsort(ends, kind="stable")
        place = np.empty(2 * arcs, np.int64)
        place[order] = np.arange(2 * arcs, dtype=np.int64)
        self.forward, self.backward = place[:arcs].copy(), place[arcs:].copy()
        self.residual = np.zeros(2 * arcs, np.int64)
        self.source, self.sink = source, sink
        self.arrays = FlowArrays(
            first=row_pointers(ends, vertices),
            head=np.concatenate((heads, tails))[order].astype(np.int32),
            reverse=np.concatenate((self.backward, self.forward))[order].astype(np.int32),
            level=np.zeros(vertices, np.int64),
            cursor=np.zeros(vertices, np.int64),
            queue=np.zeros(vertices, np.int32),
            path=np.zeros(vertices, np.int32),
            counters=np.zeros(COUNTERS, np.int64),
        )

    @property
    def value(self) -> int:
        """Flow sent since `reset`."""
        return int(self.arrays.counters[VALUE])

    @property
    def steps(self) -> int:
        """Arcs scanned so far, over all flows."""
        return int(self.arrays.counters[STEPS])

    def reset(self, capacities: IntArray, *, value: int = 0) -> None:
        """Take ``[2 * arcs]`` capacities, laid out like `residual`, in place of all flow.

        Residual capacities kept from before, with the `value` they had, bring that flow back.
        """
        self.residual[:] = capacities
        self.arrays.counters[VALUE] = value

    def augment(self, *, limit: int = INFINITE, should_stop: Callable[[], bool] = lambda: False) -> int:
        """Send flow on top of what flows until it is maximal or at least `limit`; return its value.

        Raises
        ------
        OutOfTimeError
            If `should_stop` returns true first; the flow so far is kept, and its value bounds the cut from below.
        """
        while True:
            status = augment_flow(self.arrays, self.residual, self.source, self.sink, limit, _STEPS_PER_CALL)
            if status != _PAUSED:
                return self.value
            if should_stop():
                raise OutOfTimeError("stopped during a maximum flow")

    def ends(self) -> tuple[IntArray, IntArray]:
        """Return the tail and the head of every arc, ``[arcs]`` each."""
        return self.arrays.head[self.backward].astype(np.int64), self.arrays.head[self.forward].astype(np.int64)

    def flow_value(self, flow: IntArray, capacities: IntArray) -> int:
        """Return what a flow sends from the source to the sink, after checking that it is one.

        Parameters
        ----------
        flow
            ``[arcs]`` net flow along each arc; negative against its direction.
        capacities
            ``[2 * arcs]``, laid out like `residual`.

        Raises
        ------
        ValueError
            If a capacity is exceeded, or a vertex keeps or makes flow.
        """
        if flow.shape != self.forward.shape:
            raise ValueError(f"a flow of {len(flow)} arcs on {len(self.forward)}")
        if bool((flow > capacities[self.forward]).any() or (-flow > capacities[self.backward]).any()):
            raise ValueError("the flow exceeds a capacity")
        excess = np.zeros(len(self.arrays.level), np.int64)
        tails, heads = self.ends()
        np.add.at(excess, heads, flow)
        np.subtract.at(excess, tails, flow)
        inner = np.ones(len(excess), np.bool_)
        inner[[self.source, self.sink]] = False
        if excess[inner].any():
            raise ValueError("the flow is not conserved")
        return int(excess[self.sink])

    def reached(self) -> IntArray:
        """Return the vertices the last search met from the source, in the order it met them.

        After a maximal flow they are the smallest source side of a minimum cut.
        """
        return self.arrays.queue[: int(self.arrays.counters[MET])].astype(np.int64)

    def reaching_sink(self) -> BoolArray:
        """Return a mask of the vertices that can still send to the sink; the rest is the largest source side."""
        mask = np.zeros(len(self.arrays.level), np.bool_)
        _search_back(self.arrays, self.residual, self.sink, mask)
        return mask


@kernel
def augment_flow(flow: FlowArrays, residual: IntArray, source: int, sink: int, limit: int, steps: int) -> int:
    """Send flow until it is maximal, at least `limit`, or `steps` are spent; what it has sent is a flow in any case.

    Levels only grow from search to search, so those below the source's are of searches before. A residual capacity
    is at most the capacities of both directions, 2 `INFINITE`, and so stays in int64.
    """
    first, head, reverse = flow.first, flow.head, flow.reverse
    level, cursor, queue, path, counters = flow.level, flow.cursor, flow.queue, flow.path, flow.counters
    stop = counters[STEPS] + steps
    while True:
        base = counters[BASE] + len(level) + 2
        counters[BASE] = base
        level[source] = base
        cursor[source] = first[source]
        queue[0] = source
        found = 1
        taken = 0
        while taken < found:
            u = queue[taken]
            taken += 1
            if u == sink:
                break
            below = level[u] + 1
            counters[STEPS] += first[u + 1] - first[u]
            for a in range(first[u], first[u + 1]):
                v = head[a]
                if residual[a] > 0 and level[v] < base:
                    level[v] = below
                    cursor[v] = first[v]
                    queue[found] = v
                    found += 1
        counters[MET] = found
        if level[sink] < base:
            return _DONE
        # A blocking flow: walk down the levels, retreat from dead ends, push at the sink.
        bottom = level[sink]
        depth = 0
        u = source
        while True:
            if u == sink:
                amount = residual[path[0]]
                for i in range(1, depth):
                    amount = min(amount, residual[path[i]])
                shallow = depth
                for i in range(depth - 1, -1, -1):
                    a = path[i]
                    residual[a] -= amount
                    residual[reverse[a]] += amount
                    if residual[a] == 0:
                        shallow = i
                counters[VALUE] += amount
                counters[STEPS] += depth
                if counters[VALUE] >= limit:
                    return _LIMIT
                if counters[STEPS] > stop:
                    return _PAUSED
                depth = shallow
                u = head[reverse[path[depth]]]
                continue
            below = level[u] + 1
            a = cursor[u]
            last = first[u + 1]
            while a < last and (residual[a] <= 0 or level[head[a]] != below or (below == bottom and head[a] != sink)):
                a += 1
            counters[STEPS] += a - cursor[u] + 1
            cursor[u] = a
            if a < last:
                path[depth] = a
                depth += 1
                u = head[a]
            elif depth == 0:
                break
            else:
                depth -= 1
                u = head[reverse[path[depth]]]
                cursor[u] += 1
        if counters[STEPS] > stop:
            return _PAUSED


@allocating_kernel
def _search_back(flow: FlowArrays, residual: IntArray, sink: int, mask: BoolArray) -> None:
    """Mark the vertices from which something can still flow to the sink."""
    first, head, reverse = flow.first, flow.head, flow.reverse
    stack = np.empty(len(mask), np.int32)
    stack[0] = sink
    mask[sink] = True
    height = 1
    while height:
        height -= 1
        v = stack[height]
        for a in range(first[v], first[v + 1]):
            u = head[a]
            if not mask[u] and residual[reverse[a]] > 0:
                mask[u] = True
                stack[height] = u
                height += 1
