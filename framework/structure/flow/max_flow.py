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
from framework.model.arrays import IntArray
from framework.structure.kernel import allocating_kernel, kernel

BoolArray: TypeAlias = NDArray[np.bool_]
SmallArray: TypeAlias = NDArray[np.int32]

INFINITE = 1 << 60
"""Capacity of an arc that no cut worth reporting crosses; every finite cut must stay below it."""

_STEPS_PER_CALL = 4_000_000
"""Arcs scanned in one kernel call: some hundredths of a second."""

_DONE, _LIMIT, _PAUSED = 0, 1, 2


class FlowArrays(NamedTuple):
    """What `augment_flow` needs of a network besides residual capacities, to call it from another kernel."""

    first: IntArray
    head: SmallArray
    reverse: SmallArray
    level: IntArray
    cursor: IntArray
    queue: SmallArray
    path: SmallArray
    state: IntArray


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
    source, sink
        As given.
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
        self._first = np.zeros(vertices + 1, np.int64)
        np.cumsum(np.bincount(ends, minlength=vertices), out=self._first[1:])
        self._head = np.concatenate((heads, tails))[order].astype(np.int32)
        self._reverse = np.concatenate((self.backward, self.forward))[order].astype(np.int32)
        self.residual = np.zeros(2 * arcs, np.int64)
        self.source, self.sink = source, sink
        self._level = np.zeros(vertices, np.int64)
        self._cursor = np.zeros(vertices, np.int64)
        self._queue = np.zeros(vertices, np.int32)
        self._path = np.zeros(vertices, np.int32)
        # Flow sent so far; the level of the source in the latest search; vertices that search met; steps so far.
        self._state = np.zeros(4, np.int64)

    @property
    def value(self) -> int:
        """Flow sent since `reset`."""
        return int(self._state[0])

    @property
    def arrays(self) -> FlowArrays:
        """The arrays behind it, not copied; the first entry of ``state`` is `value`."""
        return FlowArrays(
            first=self._first,
            head=self._head,
            reverse=self._reverse,
            level=self._level,
            cursor=self._cursor,
            queue=self._queue,
            path=self._path,
            state=self._state,
        )

    @property
    def steps(self) -> int:
        """Arcs scanned so far, over all flows."""
        return int(self._state[3])

    def reset(self, capacities: IntArray, *, value: int = 0) -> None:
        """Take ``[2 * arcs]`` capacities, laid out like `residual`, in place of all flow.

        Residual capacities kept from before, with the `value` they had, bring that flow back.
        """
        self.residual[:] = capacities
        self._state[0] = value

    def augment(self, *, limit: int = INFINITE, should_stop: Callable[[], bool] = lambda: False) -> int:
        """Send flow on top of what flows until it is maximal or at least `limit`; return its value.

        Raises
        ------
        OutOfTimeError
            If `should_stop` returns true first; the flow so far is kept, and its value bounds the cut from below.
        """
        while True:
            status = augment_flow(
                self._first,
                self._head,
                self._reverse,
                self.residual,
                self.source,
                self.sink,
                limit,
                self._level,
                self._cursor,
                self._queue,
                self._path,
                self._state,
                _STEPS_PER_CALL,
            )
            if status != _PAUSED:
                return self.value
            if should_stop():
                raise OutOfTimeError("stopped during a maximum flow")

    def ends(self) -> tuple[IntArray, IntArray]:
        """Return the tail and the head of every arc, ``[arcs]`` each."""
        return self._head[self.backward].astype(np.int64), self._head[self.forward].astype(np.int64)

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
        excess = np.zeros(len(self._level), np.int64)
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
        return self._queue[: int(self._state[2])].astype(np.int64)

    def reaching_sink(self) -> BoolArray:
        """Return a mask of the vertices that can still send to the sink; the rest is the largest source side."""
        mask = np.zeros(len(self._level), np.bool_)
        _search_back(self._first, self._head, self._reverse, self.residual, self.sink, mask)
        return mask


@kernel
def augment_flow(
    first: IntArray,
    head: SmallArray,
    reverse: SmallArray,
    residual: IntArray,
    source: int,
    sink: int,
    limit: int,
    level: IntArray,
    cursor: IntArray,
    queue: SmallArray,
    path: SmallArray,
    state: IntArray,
    steps: int,
) -> int:
    """Send flow until it is maximal, at least `limit`, or `steps` are spent; what it has sent is a flow in any case.

    Levels only grow from search to search, so those below the source's are of searches before.
    """
    stop = state[3] + steps
    while True:
        base = state[1] + len(level) + 2
        state[1] = base
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
            state[3] += first[u + 1] - first[u]
            for a in range(first[u], first[u + 1]):
                v = head[a]
                if residual[a] > 0 and level[v] < base:
                    level[v] = below
                    cursor[v] = first[v]
                    queue[found] = v
                    found += 1
        state[2] = found
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
                state[0] += amount
                state[3] += depth
                if state[0] >= limit:
                    return _LIMIT
                if state[3] > stop:
                    return _PAUSED
                depth = shallow
                u = head[reverse[path[depth]]]
                continue
            below = level[u] + 1
            a = cursor[u]
            last = first[u + 1]
            while a < last and (residual[a] <= 0 or level[head[a]] != below or (below == bottom and head[a] != sink)):
                a += 1
            state[3] += a - cursor[u] + 1
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
        if state[3] > stop:
            return _PAUSED


@allocating_kernel
def _search_back(
    first: IntArray, head: SmallArray, reverse: SmallArray, residual: IntArray, sink: int, mask: BoolArray
) -> None:
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
