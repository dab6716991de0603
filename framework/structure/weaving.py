"""Fewer orders, so that an exact program can search all that are left: graphs woven from a spine and a strand.

Any order added to a graph leaves fewer partitions, each at the cost it had; with both halves of a topological order
added as chains, a *spine* and a *strand* of wide nodes, the ideals are pairs of positions, some ten thousand of them
where the graph itself has more than can be counted. The best partition of the woven graph is then found exactly
(`framework.structure.ideal_chains`). It is at least as good as any slicing of the order; what slicing cannot do, moving
all boundaries at once while the strand fills what room the stages have left, is what the second chain is for.

A node is *wide* where much may run before or after it as well. Nodes are peeled off, the one with the most
weight incomparable to it first, the rest being weighed anew: what remains is a spine whose nodes have less and less
beside them. Two towers, or the modulation of a transformer's blocks by a common embedding, come apart this way.

The strand is ordered as the given order is, which keeps the partition that the order came from; or by deadlines, the
nodes of the spine that its nodes must precede, which leaves the strand as much freedom as one chain has. The spine may
also keep the order of the graph, where that has few ideals of its own.

A heuristic choice throughout; partitions of a woven graph are partitions of the graph. Source: this project.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numba import njit

from framework.errors import OutOfTimeError
from framework.model.graph import FloatArray
from framework.model.instance import Instance, StageLimit
from framework.model.topology import IntArray, build_topology, row_pointers
from framework.structure.closure import BitArray, BoolArray, closure
from framework.structure.orders import orders_of_keys

_PAIRS_A_CALL = 10_000_000


class Loom:
    """Weaves one instance in many ways.

    Parameters
    ----------
    should_stop
        Asked every few hundredths of a second, in all methods.

    Raises
    ------
    OutOfTimeError
        From any method, if `should_stop` strikes.
    """

    def __init__(self, instance: Instance, should_stop: Callable[[], bool]) -> None:
        self._instance, self._should_stop = instance, should_stop
        reach = closure(instance, should_stop=should_stop)
        self._comparable: BitArray = reach.ancestors | reach.descendants
        self._weight = instance.work + (instance.parameter_cost if instance.can_overflow else 0)
        self._beside = np.empty(instance.n, np.int64)
        step = max(1, _PAIRS_A_CALL // instance.n)
        for first in range(0, instance.n, step):
            if should_stop():
                raise OutOfTimeError("stopped while nodes were being compared")
            _weigh(self._comparable, self._weight, first, min(instance.n, first + step), self._beside)

    @property
    def total_weight(self) -> int:
        """All work, and the parameters where they can overflow, in ticks."""
        return int(self._weight.sum())

    def peel(self, prices: FloatArray, most: float) -> BoolArray:
        """Return the mask ``[n]`` of the nodes to peel off so that none left has more than so much beside it, in ticks.

        Parameters
        ----------
        prices
            ``[n]`` factors on what a node has beside it: those with more go earlier.
        """
        n = self._instance.n
        beside, wide = self._beside.copy(), np.zeros(n, np.bool_)
        step = max(1, _PAIRS_A_CALL // n)
        while not _peel(self._comparable, self._weight, prices, most, beside, wide, step):
            if self._should_stop():
                raise OutOfTimeError("stopped while nodes were being peeled off")
        return wide

    def weave(self, order: IntArray, wide: BoolArray, *, deadlines: bool, spine: bool) -> Instance:
        """Return the instance with the wide nodes in a chain.

        Parameters
        ----------
        order
            ``[n]`` a topological order.
        wide
            ``[n]`` the strand.
        deadlines
            Whether the strand is ordered by deadlines, and by `order` only where they are equal.
        spine
            Whether the other nodes are a chain as well, as in `order`.

        Returns
        -------
        The woven instance, whose nodes are positions of an order; its `node_of_input` maps those of the given one.
        """
        instance = self._instance
        if deadlines:
            order = self._by_deadlines(order, wide)
        strand = wide[order]
        chains = [np.flatnonzero(strand), np.flatnonzero(~strand)] if spine else [np.flatnonzero(strand)]
        tails = np.concatenate([chain[:-1] for chain in chains])
        heads = np.concatenate([chain[1:] for chain in chains])
        return _with_arcs(instance, order, tails, heads)

    def _by_deadlines(self, order: IntArray, wide: BoolArray) -> IntArray:
        """Return the order in which nodes of the strand come as late as they may."""
        instance = self._instance
        place = np.empty(instance.n, np.int64)
        place[order] = np.arange(instance.n)
        keys = place.astype(np.float64)
        top = instance.topology
        deadlines: IntArray = _deadlines(place, wide, top.succ_ptr, top.succs)
        keys[wide] = deadlines[wide] - 0.5
        # Among nodes with the same deadline the given order goes on.
        last_digits = place * (0.25 / instance.n)
        first: IntArray = orders_of_keys(instance, (keys + last_digits)[None, :])[0]
        return first


def _with_arcs(instance: Instance, order: IntArray, tails: IntArray, heads: IntArray) -> Instance:
    """Return the instance numbered by an order, with arcs between positions; each is the tail of one at most."""
    top, n = instance.topology, instance.n
    place = np.empty(n, np.int64)
    place[order] = np.arange(n)
    producer = np.concatenate((place[top.producer], tails))
    tensor_of_pin = np.concatenate(
        (np.repeat(np.arange(top.m), np.diff(top.consumer_ptr)), top.m + np.arange(len(tails)))
    )
    consumers = np.concatenate((place[top.consumers], heads))
    cost = np.concatenate((instance.tensor_cost, np.zeros(len(tails), np.int64)))
    by_producer = np.argsort(producer, kind="stable")
    rank = np.empty(len(producer), np.int64)
    rank[by_producer] = np.arange(len(producer))
    row = rank[tensor_of_pin]
    pins = np.lexsort((consumers, row))
    limit = instance.stage_limit
    return replace(
        instance,
        work=instance.work[order],
        parameter_cost=instance.parameter_cost[order],
        tensor_cost=cost[by_producer],
        topology=build_topology(n, producer[by_producer], row_pointers(row, len(producer)), consumers[pins]),
        node_of_input=place,
        stage_limit=None
        if limit is None
        else StageLimit(sizes=limit.sizes[order], limit=limit.limit, anchors=place[limit.anchors]),
    )


@njit(cache=True)
def _weigh(comparable: BitArray, weight: IntArray, first: int, last: int, beside: IntArray) -> None:
    """Fill the weight incomparable to each of some nodes."""
    n = len(weight)
    for v in range(first, last):
        total = 0
        for u in range(n):
            if u != v and not (comparable[v, u >> 6] >> np.uint64(u & 63)) & np.uint64(1):
                total += weight[u]
        beside[v] = total


@njit(cache=True)
def _peel(
    comparable: BitArray,
    weight: IntArray,
    prices: FloatArray,
    most: float,
    beside: IntArray,
    wide: BoolArray,
    steps: int,
) -> bool:
    """Peel off so many nodes, keeping `beside` up to date; return whether none is left to peel off."""
    n = len(weight)
    for _ in range(steps):
        chosen = -1
        best = 0.0
        largest = 0
        for v in range(n):
            if not wide[v] and beside[v] > 0:
                largest = max(largest, beside[v])
                if beside[v] * prices[v] > best:
                    best = beside[v] * prices[v]
                    chosen = v
        if chosen < 0 or largest <= most:
            return True
        wide[chosen] = True
        for u in range(n):
            if not wide[u] and not (comparable[chosen, u >> 6] >> np.uint64(u & 63)) & np.uint64(1):
                beside[u] -= weight[chosen]
    return False


@njit(cache=True)
def _deadlines(place: IntArray, wide: BoolArray, succ_ptr: IntArray, succs: IntArray) -> IntArray:
    """Return the first position of a node of the spine that each node comes before, or n."""
    n = len(place)
    deadline = np.full(n, n, np.int64)
    for v in range(n - 1, -1, -1):
        for e in range(succ_ptr[v], succ_ptr[v + 1]):
            u = succs[e]
            deadline[v] = min(deadline[v], deadline[u] if wide[u] else place[u])
    return deadline
