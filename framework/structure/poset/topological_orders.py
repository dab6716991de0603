"""Topological orders to slice: the given one, depth first, breadth first, greedy minimum cut, and by random keys.

Every order can also be built from the sinks and flipped. Ties are broken in favour of the given order: by the
smallest index forwards, by the largest backwards. An order without noise is a function of the instance alone.

*Greedy minimum cut* always takes the ready node that leaves the cost of the tensors crossing the boundary least;
among equals the one that became ready last (it continues what was begun), then by index as above. A score
changes only when a tensor is down to its last consumer (forwards) or gets its first one (backwards), and then only
falls, so a binary heap with decrease-key does O((nodes + pins) log nodes) steps however wide the graph is.
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np

from framework.model.arrays import IntArray, ranks
from framework.model.graph import FloatArray
from framework.model.instance import Instance
from framework.model.problem import Partition
from framework.model.topology import TopologyArrays
from framework.structure.kernel import allocating_kernel, kernel
from framework.structure.poset.closure import Closure, indices

_NODES_A_CALL = 200_000
"""Nodes placed in one kernel call: some hundredths of a second."""


class OrderKind(StrEnum):
    """How the next node is chosen among the ready ones."""

    GIVEN = "given"
    """By index: the numbering of the instance, which keeps the order of the input file where it can."""
    DFS = "dfs"
    """The one that became ready last."""
    BFS = "bfs"
    """The one that became ready first."""
    GREEDY_MIN_CUT = "greedy-min-cut"
    """The one after which the least tensor cost crosses the boundary."""


def topological_order(
    instance: Instance, kind: OrderKind, *, reverse: bool = False, noise: float = 0.0, seed: int = 0
) -> IntArray:
    """Return a topological order as ``[n]`` node indices, first to last.

    Parameters
    ----------
    reverse
        Build from the sinks with the roles of producers and consumers exchanged, and flip the result. It makes no
        difference to the given order.
    noise
        Greedy minimum cut: width of the interval around 0 that each node's score is shifted by, in units of
        the mean tensor cost. Depth and breadth first: nodes that become ready together come in random order
        if it is positive. The given order has none.
    seed
        Seed of the noise.
    """
    if not noise >= 0:
        raise ValueError(f"noise must be at least 0, not {noise}")
    n, top = instance.n, instance.topology
    if kind is OrderKind.GIVEN:
        return np.arange(n, dtype=np.int64)
    missing = np.diff(top.succ_ptr if reverse else top.pred_ptr)
    order = np.empty(n, np.int64)
    rng = np.random.default_rng(seed)
    if kind is OrderKind.GREEDY_MIN_CUT:
        mean_cost = int(instance.tensor_cost.sum()) / max(1, instance.m)
        shift = np.rint((rng.random(n) - 0.5) * (noise * mean_cost)).astype(np.int64)
        _order_by_cut(reverse, instance.tensor_cost, top.arrays, missing, shift, order)
    else:
        draws = rng.random(n) if noise > 0 else np.zeros(0)
        succ_ptr, succs = (top.pred_ptr, top.preds) if reverse else (top.succ_ptr, top.succs)
        _order_by_readiness(kind is OrderKind.DFS, reverse, succ_ptr, succs, missing, draws, order)
    return order[::-1].copy() if reverse else order


def orders_of_keys(instance: Instance, keys: FloatArray) -> IntArray:
    """Return the topological orders that always take the ready node with the smallest key, a row each.

    Every topological order is the order of some keys: its own positions. Equal keys count by index.

    Parameters
    ----------
    keys
        ``[orders, n]``.
    """
    if keys.ndim != 2 or keys.shape[1] != instance.n:
        raise ValueError(f"keys of shape {keys.shape} are no rows for {instance.n} nodes")
    top = instance.topology
    rank = np.empty(keys.shape, np.int64)
    np.put_along_axis(rank, np.argsort(keys, axis=1, kind="stable"), np.arange(instance.n)[None, :], axis=1)
    orders = np.empty(keys.shape, np.int64)
    step = max(1, _NODES_A_CALL // instance.n)
    for start in range(0, len(keys), step):
        rows = slice(start, start + step)
        _order_by_rank(rank[rows], top.succ_ptr, top.succs, np.diff(top.pred_ptr), orders[rows])
    return orders


def order_of_partition(instance: Instance, partition: Partition, within: IntArray | None = None) -> IntArray:
    """Return the nodes stage by stage: a topological order that the stages slice.

    Parameters
    ----------
    within
        ``[n]`` a topological order, for the nodes of each stage; by index if not given.
    """
    if partition.stage_of.shape != (instance.n,):
        raise ValueError(f"a partition of {instance.n} nodes has {partition.stage_of.size} entries")
    if within is None:
        return np.argsort(partition.stage_of, kind="stable").astype(np.int64)
    return within[np.argsort(partition.stage_of[within], kind="stable")]


def order_around(instance: Instance, members: IntArray, reach: Closure, *, late: bool) -> IntArray:
    """Return a topological order that holds a convex set in one piece, ``[n]`` node indices.

    Parameters
    ----------
    members
        The set; if it is not convex, what lies between its nodes is in between.
    reach
        The closure of the instance.
    late
        Whether what is not related to the set comes before it, rather than after it.
    """
    related = (reach.descendants if late else reach.ancestors)[members]
    beyond = indices(np.bitwise_or.reduce(related, axis=0))
    keys = np.full(instance.n, 0.0 if late else 2.0)
    keys[beyond] = 2.0 if late else 0.0
    keys[members] = 1.0
    order: IntArray = orders_of_keys(instance, keys[None, :])[0]
    return order


def is_topological_order(instance: Instance, order: IntArray) -> bool:
    """Whether `order` holds every node once, and every producer before its consumers."""
    top = instance.topology
    if len(order) != instance.n or not np.array_equal(np.sort(order), np.arange(instance.n)):
        return False
    position = ranks(order)
    return bool(np.all(np.repeat(position[top.producer], np.diff(top.consumer_ptr)) < position[top.consumers]))


@allocating_kernel
def _order_by_readiness(
    deepest_first: bool,
    reverse: bool,
    succ_ptr: IntArray,
    succs: IntArray,
    missing: IntArray,
    draws: FloatArray,
    order: IntArray,
) -> None:
    """Fill `order`, taking ready nodes from a stack or a queue; `missing` counts unplaced predecessors."""
    n = len(order)
    ready = np.empty(n, np.int64)
    new = np.empty(n, np.int64)
    first = last = fresh = 0
    for v in range(n):
        if missing[v] == 0:
            new[fresh] = v
            fresh += 1
    for placed in range(n):
        if len(draws):
            for i in range(fresh):
                j = i + int(draws[new[i]] * (fresh - i))
                new[i], new[j] = new[j], new[i]
        for i in range(fresh):
            # They are in ascending order, and a stack gives back first what it got last.
            ready[last] = new[i] if deepest_first == reverse else new[fresh - 1 - i]
            last += 1
        if deepest_first:
            last -= 1
            v = ready[last]
        else:
            v = ready[first]
            first += 1
        order[placed] = v
        fresh = 0
        for e in range(succ_ptr[v], succ_ptr[v + 1]):
            u = succs[e]
            missing[u] -= 1
            if missing[u] == 0:
                new[fresh] = u
                fresh += 1


@allocating_kernel
def _order_by_rank(
    ranks: IntArray, succ_ptr: IntArray, succs: IntArray, predecessors: IntArray, orders: IntArray
) -> None:
    """Fill each row of `orders`, taking ready nodes from a heap by the rank in the same row of `ranks`."""
    n = len(predecessors)
    heap = np.empty(n, np.int64)
    place = np.full(n, -1, np.int64)
    for row in range(len(orders)):
        rank = ranks[row]
        missing = predecessors.copy()
        size = 0
        for v in range(n):
            if missing[v] == 0:
                size = _push(heap, place, size, v, rank, rank)
        for placed in range(n):
            v = heap[0]
            size = _pop(heap, place, size, rank, rank)
            orders[row, placed] = v
            for e in range(succ_ptr[v], succ_ptr[v + 1]):
                u = succs[e]
                missing[u] -= 1
                if missing[u] == 0:
                    size = _push(heap, place, size, u, rank, rank)


@allocating_kernel
def _order_by_cut(
    reverse: bool, cost: IntArray, top: TopologyArrays, missing: IntArray, score: IntArray, order: IntArray
) -> None:
    """Fill `order`; `score` comes with the noise and holds by how much a node changes the crossing cost.

    Forwards, a node opens the tensors it produces and closes those it is the last to consume. Backwards, it
    closes the tensors it produces and opens those of which no consumer is placed yet. `missing` counts unplaced
    predecessors, backwards successors.
    """
    consumer_ptr, consumers = top.consumer_ptr, top.consumers
    in_ptr, in_tensors, out_ptr, out_tensors = top.in_ptr, top.in_tensors, top.out_ptr, top.out_tensors
    succ_ptr, succs = (top.pred_ptr, top.preds) if reverse else (top.succ_ptr, top.succs)
    n = len(order)
    sign = -1 if reverse else 1
    unplaced = np.empty(len(cost), np.int64)
    index_sum = np.zeros(len(cost), np.int64)
    for t in range(len(cost)):
        unplaced[t] = consumer_ptr[t + 1] - consumer_ptr[t]
        for i in range(consumer_ptr[t], consumer_ptr[t + 1]):
            index_sum[t] += consumers[i]
    for v in range(n):
        for i in range(out_ptr[v], out_ptr[v + 1]):
            score[v] += sign * cost[out_tensors[i]]
        for i in range(in_ptr[v], in_ptr[v + 1]):
            t = in_tensors[i]
            if reverse:
                score[v] += cost[t]
            elif unplaced[t] == 1:
                score[v] -= cost[t]
    heap = np.empty(n, np.int64)
    place = np.full(n, -1, np.int64)
    priority = np.empty(n, np.int64)
    size = 0
    for v in range(n):
        priority[v] = v if reverse else n - 1 - v
        if missing[v] == 0:
            size = _push(heap, place, size, v, score, priority)
    for placed in range(n):
        v = heap[0]
        size = _pop(heap, place, size, score, priority)
        order[placed] = v
        for i in range(in_ptr[v], in_ptr[v + 1]):
            t = in_tensors[i]
            unplaced[t] -= 1
            index_sum[t] -= v
            if reverse:
                if unplaced[t] == consumer_ptr[t + 1] - consumer_ptr[t] - 1:
                    for j in range(consumer_ptr[t], consumer_ptr[t + 1]):
                        _lower(heap, place, consumers[j], cost[t], score, priority)
            elif unplaced[t] == 1:
                _lower(heap, place, index_sum[t], cost[t], score, priority)
        for e in range(succ_ptr[v], succ_ptr[v + 1]):
            u = succs[e]
            missing[u] -= 1
            if missing[u] == 0:
                priority[u] += (placed + 1) * n
                size = _push(heap, place, size, u, score, priority)


@kernel
def _precedes(u: int, v: int, score: IntArray, priority: IntArray) -> bool:
    if score[u] != score[v]:
        return bool(score[u] < score[v])
    return bool(priority[u] > priority[v])


@kernel
def _rise(heap: IntArray, place: IntArray, i: int, score: IntArray, priority: IntArray) -> None:
    v = heap[i]
    while i > 0 and _precedes(v, heap[(i - 1) >> 1], score, priority):
        heap[i] = heap[(i - 1) >> 1]
        place[heap[i]] = i
        i = (i - 1) >> 1
    heap[i] = v
    place[v] = i


@kernel
def _push(heap: IntArray, place: IntArray, size: int, v: int, score: IntArray, priority: IntArray) -> int:
    heap[size] = v
    _rise(heap, place, size, score, priority)
    return size + 1


@kernel
def _lower(heap: IntArray, place: IntArray, v: int, amount: int, score: IntArray, priority: IntArray) -> None:
    score[v] -= amount
    if place[v] >= 0:
        _rise(heap, place, place[v], score, priority)


@kernel
def _pop(heap: IntArray, place: IntArray, size: int, score: IntArray, priority: IntArray) -> int:
    """Remove the first node and return the new size."""
    size -= 1
    place[heap[0]] = -1
    if size == 0:
        return size
    v = heap[size]
    i = 0
    while 2 * i + 1 < size:
        child = 2 * i + 1
        if child + 1 < size and _precedes(heap[child + 1], heap[child], score, priority):
            child += 1
        if not _precedes(heap[child], v, score, priority):
            break
        heap[i] = heap[child]
        place[heap[i]] = i
        i = child
    heap[i] = v
    place[v] = i
    return size
