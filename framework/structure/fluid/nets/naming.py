"""Lists the nodes that were eliminated from each part of a net (a set of nodes that share a tensor)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from framework.errors import OutOfTimeError
from framework.model.arrays import IntArray, prefix_sums
from framework.structure.fluid.nets.table import TAKEN, Hypergraph, Taken
from framework.structure.kernel import kernel

MOST_TAKEN = 400
"""Nodes taken out of a part that are named."""
STEPS_A_CALL = 500_000
"""Steps of a walk in one kernel call: some hundredths of a second."""
NODES_A_CALL = 1 << 18


class Walk(NamedTuple):
    """Memory of walks through what was taken out.

    Attributes
    ----------
    seen
        ``[taken]`` the last walk that came there.
    found
        ``[n]`` the last walk that found a node.
    waiting
        ``[taken + 1]`` where to go on.
    """

    seen: IntArray
    found: IntArray
    waiting: IntArray


def name_taken(graph: Hypergraph, roots: IntArray, should_stop: Callable[[], bool]) -> tuple[IntArray, IntArray]:
    """Return, as (ptr, items), the nodes taken out of parts, ascending: all of them, or `MOST_TAKEN`.

    Parameters
    ----------
    roots
        ``[parts]`` what was taken out of each, which is not nothing.

    Raises
    ------
    OutOfTimeError
        If `should_stop` struck first.
    """
    n, known = len(graph.placeless), int(graph.counts[TAKEN])
    walk = Walk(np.full(known, -1, np.int64), np.full(n, -1, np.int64), np.empty(known + 1, np.int64))
    lengths, buffer, rows, row = np.zeros(len(roots), np.int64), np.empty(NODES_A_CALL, np.int64), [], 0
    while row < len(roots):
        if should_stop():
            raise OutOfTimeError("stopped while it was being gathered what was taken out of nets")
        first, row = row, _name(graph.taken, roots, row, STEPS_A_CALL, walk, lengths, buffer)
        rows.append(buffer[: lengths[first:row].sum()].copy())
    ptr = prefix_sums(lengths)
    # Places of parts times nodes: a few thousand for each of at most millions.
    keys = np.repeat(np.arange(len(roots)), lengths) * n + np.concatenate([np.zeros(0, np.int64), *rows])
    keys.sort()
    return ptr, keys % n


@kernel
def _name(taken: Taken, roots: IntArray, first: int, steps: int, walk: Walk, lengths: IntArray, nodes: IntArray) -> int:
    """Fill rows of `nodes` from row `first` on until steps or memory run short; return the row where that ended."""
    seen, waiting = walk.seen, walk.waiting
    end = 0
    for row in range(first, len(roots)):
        if steps <= 0 or end + MOST_TAKEN > len(nodes):
            return row
        begin = end
        waiting[0] = roots[row]
        left = 1
        # Parts share what was taken out of the nets that they come from: each of that is looked at once.
        while left and end - begin < MOST_TAKEN:
            left -= 1
            steps -= 1
            here = waiting[left]
            if seen[here] == row:
                continue
            seen[here] = row
            if walk.found[taken.node[here]] != row:
                walk.found[taken.node[here]] = row
                nodes[end] = taken.node[here]
                end += 1
            for earlier in (taken.one[here], taken.other[here]):
                if earlier >= 0 and seen[earlier] != row:
                    waiting[left] = earlier
                    left += 1
        lengths[row] = end - begin
    return len(roots)
