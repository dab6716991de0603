"""Greedy width reduction: repeatedly remove the node with the most incomparable nodes until few are left.

The criterion is the total weight of the incomparable nodes, divided by a price of the node. The weights of the
remaining nodes are updated after each removal. Source: this project.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from framework.errors import OutOfTimeError
from framework.model.arrays import IntArray
from framework.model.graph import FloatArray
from framework.structure.bit_sets import BitArray, holds
from framework.structure.kernel import kernel
from framework.structure.poset.closure import BoolArray

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
    n, count = len(alive), int(alive.sum())
    ranking = np.empty(count, np.int64)
    step = max(1, pairs_a_call // n)
    for first in range(0, count, step):
        if should_stop():
            raise OutOfTimeError("stopped while nodes were being taken out")
        places = ranking[first : first + step]
        taken = _take_out(comparable, weight, price, most, beside, alive, places)
        if taken < len(places):
            return ranking[: first + taken]
    return ranking


@kernel
def _take_out(
    comparable: BitArray,
    weight: IntArray,
    price: FloatArray,
    most: float,
    beside: IntArray,
    alive: BoolArray,
    ranking: IntArray,
) -> int:
    """Fill `ranking` and return where that ended; keep `alive` and `beside` up to date."""
    n = len(alive)
    for place in range(len(ranking)):
        chosen = -1
        best = -1.0
        largest = 0
        for v in range(n):
            if alive[v]:
                largest = max(largest, beside[v])
                if beside[v] / price[v] > best:
                    best = beside[v] / price[v]
                    chosen = v
        if largest <= most:
            return place
        ranking[place] = chosen
        alive[chosen] = False
        for u in range(n):
            if alive[u] and not holds(comparable, chosen, u):
                beside[u] -= weight[chosen]
    return len(ranking)
