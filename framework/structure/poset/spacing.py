"""Nested selections of well separated nodes: between any two that are comparable lie at least 1, 2, 4, ... nodes.

Each selection is a greedy one from the selection before: a node is kept unless a node kept before it is comparable with
it and too few nodes lie between the two. Nodes with few incomparable nodes come first, so what is kept lies on long
chains. A coarse selection leaves every so many nodes of each of several parallel chains, where taking out nodes by the
number of those incomparable to them leaves one chain and nothing of the others. Source: this project.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from framework.errors import OutOfTimeError
from framework.model.arrays import IntArray
from framework.structure.bit_sets import BitArray
from framework.structure.kernel import kernel
from framework.structure.poset.closure import Closure

CANDIDATES_A_CALL = 500
"""Nodes looked at before a kernel call returns to Python: some hundredths of a second."""


def spacing_levels(
    reach: Closure, incomparable: IntArray, most: int, should_stop: Callable[[], bool] = lambda: False
) -> IntArray:
    """Return ``[n]`` the number of selections that each node is in, at most `most`.

    Parameters
    ----------
    reach
        What comes before and after each node.
    incomparable
        ``[n]`` how many nodes are incomparable to each.

    Raises
    ------
    OutOfTimeError
        If `should_stop` returns true.
    """
    n = len(incomparable)
    ancestors = np.bitwise_count(reach.ancestors).sum(axis=1, dtype=np.int64)
    level = np.zeros(n, np.int64)
    candidates = np.argsort(incomparable, kind="stable")
    for exponent in range(most):
        kept = np.empty(len(candidates), np.int64)
        count = 0
        for first in range(0, len(candidates), CANDIDATES_A_CALL):
            if should_stop():
                raise OutOfTimeError("stopped while nodes were being spaced")
            some = candidates[first : first + CANDIDATES_A_CALL]
            count = _keep(reach.ancestors, reach.descendants, ancestors, incomparable, some, 1 << exponent, kept, count)
        candidates = kept[:count]
        level[candidates] += 1
    return level


@kernel
def _keep(
    above: BitArray,
    below: BitArray,
    ancestors: IntArray,
    incomparable: IntArray,
    candidates: IntArray,
    between: int,
    kept: IntArray,
    count: int,
) -> int:
    """Add those of the candidates to `kept` that are far enough from all there; return how many these are then.

    Between y and a later x lie all ancestors of x but y, those of y, and some that are incomparable to y.
    """
    for x in candidates:
        near = False
        if incomparable[x]:
            for i in range(count):
                y = kept[i]
                low, high = (y, x) if ancestors[y] <= ancestors[x] else (x, y)
                most = ancestors[high] - ancestors[low] - 1
                if most - incomparable[low] >= between:
                    continue
                if not above[high, low >> 6] >> np.uint64(low & 63) & np.uint64(1):
                    continue
                if most >= between:
                    found = 0
                    for word in range(above.shape[1]):
                        bits = above[high, word] & below[low, word]
                        while bits:
                            bits &= bits - np.uint64(1)
                            found += 1
                    if found >= between:
                        continue
                near = True
                break
        if not near:
            kept[count] = x
            count += 1
    return count
