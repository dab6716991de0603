"""Greedy width reduction: repeatedly remove the node with the most incomparable nodes until few are left.

What a node has *beside* it is a weight of the nodes incomparable to it. It is weighed anew with each node that goes, as
the others have less beside them then. Source: this project.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from framework.errors import OutOfTimeError
from framework.model.arrays import IntArray
from framework.model.graph import FloatArray
from framework.structure.kernel import kernel
from framework.structure.poset.closure import BitArray, BoolArray

PAIRS_A_CALL = 10_000_000
"""Pairs of nodes looked at before a kernel call returns to Python: some hundredths of a second."""


def peel(
    comparable: BitArray,
    weight: IntArray,
    price: FloatArray,
    beside: IntArray,
    alive: BoolArray,
    *,
    most: float = -1.0,
    should_stop: Callable[[], bool],
) -> IntArray:
    """Return the nodes taken out, first to go first: those with the most beside them for their price.

    Parameters
    ----------
    comparable
        ``[n, words]`` bit sets: what comes before or after each node.
    weight
        ``[n]`` what a node adds to all it is beside.
    price
        ``[n]`` what taking it out costs, above 0.
    beside
        ``[n]`` what each node has beside it, kept up to date.
    alive
        ``[n]`` the nodes there are; those taken out no longer are.
    most
        Stop as soon as no node left has more beside it; below 0, all go.

    Raises
    ------
    OutOfTimeError
        If `should_stop` strikes.
    """
    n, count = len(alive), int(alive.sum())
    ranking = np.empty(count, np.int64)
    step = max(1, PAIRS_A_CALL // n)
    for first in range(0, count, step):
        if should_stop():
            raise OutOfTimeError("stopped while nodes were being taken out")
        last = min(count, first + step)
        end = _take_out(comparable, weight, price, most, beside, alive, ranking, first, last)
        if end < last:
            return ranking[:end]
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
    first: int,
    last: int,
) -> int:
    """Fill ``ranking[first:last]`` and return where that ended; keep `alive` and `beside` up to date."""
    n = len(alive)
    for place in range(first, last):
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
            if alive[u] and not (comparable[chosen, u >> 6] >> np.uint64(u & 63)) & np.uint64(1):
                beside[u] -= weight[chosen]
    return last
