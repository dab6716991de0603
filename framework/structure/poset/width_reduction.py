"""Greedy width reduction: repeatedly remove the node with the most incomparable nodes until few are left.

The criterion is the total weight of the incomparable nodes, divided by a price of the node. The weights of the
remaining nodes are updated after each removal, and kept in a heap by what they were worth when they last came up
(Minoux, "Accelerated greedy algorithms for maximizing submodular set functions", 1978). Source: this project.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from framework.errors import OutOfTimeError
from framework.model.arrays import IntArray
from framework.model.graph import FloatArray
from framework.structure.bit_sets import BitArray
from framework.structure.kernel import inlined_kernel, kernel
from framework.structure.poset.closure import BoolArray, pack_sets

PAIRS_A_CALL = 10_000_000
"""Pairs of nodes looked at before a kernel call returns to Python: some hundredths of a second."""


def reduce_width(
    comparable: BitArray,
    weight: IntArray,
    price: FloatArray,
    beside: IntArray,
    alive: BoolArray,
    *,
    most: float = -1.0,
    pairs_a_call: int = PAIRS_A_CALL,
    should_stop: Callable[[], bool],
) -> IntArray:
    """Return the removed nodes in order: each has the largest incomparable weight for its price at that time.

    Parameters
    ----------
    comparable
        ``[n, words]`` bit sets: what comes before or after each node.
    weight
        ``[n]`` weight of each node, which counts for the nodes incomparable to it.
    price
        ``[n]`` what taking it out costs, above 0.
    beside
        ``[n]`` weight of the nodes incomparable to each node; updated.
    alive
        ``[n]`` the nodes there are; those taken out no longer are.
    most
        Stop when no remaining node has a larger incomparable weight; below 0, all nodes are removed.
    pairs_a_call
        Pairs of nodes looked at in one kernel call.

    Raises
    ------
    OutOfTimeError
        If `should_stop` returns true.
    """
    count, words = int(alive.sum()), comparable.shape[1]
    ranking = np.empty(count, np.int64)
    key = beside / price
    heap = np.argsort(-key, kind="stable")
    nodes = _Nodes(
        comparable=comparable,
        weight=weight,
        price=price,
        beside=beside,
        alive=alive,
        alive_bits=pack_sets(alive[None, :])[0],
        key=key,
        heap=heap[alive[heap]],
    )
    step = max(1, pairs_a_call // (64 * words))
    for first in range(0, count, step):
        if should_stop():
            raise OutOfTimeError("stopped while nodes were being taken out")
        places = ranking[first : first + step]
        taken = _take_out(nodes, most, count - first, places)
        if taken < len(places):
            return ranking[: first + taken]
    return ranking


class _Nodes(NamedTuple):
    """The arrays of the kernel.

    Attributes
    ----------
    alive_bits
        ``[words]`` the set `alive`.
    key
        ``[n]`` incomparable weight for the price of each node when it last came up in the heap: at least that of now.
    heap
        ``[count]`` the nodes there are, largest key first, the lower index among equals.
    """

    comparable: BitArray
    weight: IntArray
    price: FloatArray
    beside: IntArray
    alive: BoolArray
    alive_bits: BitArray
    key: FloatArray
    heap: IntArray


@kernel
def _take_out(nodes: _Nodes, most: float, size: int, ranking: IntArray) -> int:
    """Fill `ranking` and return where that ended; the heap has `size` nodes.

    Incomparable weights only fall. So a node on top of the heap whose key is still true is the one to take.
    """
    beside, alive, heap, key = nodes.beside, nodes.alive, nodes.heap, nodes.key
    n = len(alive)
    for place in range(len(ranking)):
        if most >= 0:
            largest = 0
            for v in range(n):
                if alive[v]:
                    largest = max(largest, beside[v])
            if largest <= most:
                return place
        chosen = heap[0]
        while beside[chosen] / nodes.price[chosen] < key[chosen]:
            key[chosen] = beside[chosen] / nodes.price[chosen]
            _sink(heap, key, size)
            chosen = heap[0]
        size -= 1
        heap[0] = heap[size]
        _sink(heap, key, size)
        ranking[place] = chosen
        alive[chosen] = False
        nodes.alive_bits[chosen >> 6] &= ~(np.uint64(1) << np.uint64(chosen & 63))
        for word in range(len(nodes.alive_bits)):
            others = nodes.alive_bits[word] & ~nodes.comparable[chosen, word]
            if others:
                # Without a branch for each node, so that several are updated in one instruction.
                first = word << 6
                for i in range(min(64, n - first)):
                    beside[first + i] -= nodes.weight[chosen] * np.int64(others >> np.uint64(i) & np.uint64(1))
    return len(ranking)


@inlined_kernel
def _sink(heap: IntArray, key: FloatArray, size: int) -> None:
    """Move the node on top of a heap of `size` nodes down to its place."""
    place, v = 0, heap[0]
    while 2 * place + 1 < size:
        child = 2 * place + 1
        if child + 1 < size and _goes_first(key, heap[child + 1], heap[child]):
            child += 1
        if not _goes_first(key, heap[child], v):
            break
        heap[place] = heap[child]
        place = child
    heap[place] = v


@inlined_kernel
def _goes_first(key: FloatArray, u: int, v: int) -> bool:
    return bool(key[u] > key[v] or (key[u] == key[v] and u < v))
