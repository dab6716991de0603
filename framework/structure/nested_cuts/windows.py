"""Domains of nodes in the branch and bound (windows of groups), closed under precedence, and scores of branchings."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from framework.model.arrays import IntArray
from framework.model.graph import FloatArray
from framework.structure.bit_sets import BitArray
from framework.structure.kernel import allocating_kernel, inlined_kernel, kernel

DIFFERS = 4.0
"""Factor of the score of choices on which two minimum cuts disagree."""


class Neighbours(NamedTuple):
    """Predecessors and successors, as in `framework.model.topology`."""

    pred_ptr: IntArray
    preds: IntArray
    succ_ptr: IntArray
    succs: IntArray


@kernel
def restrict(
    v: int,
    j: int,
    later: bool,
    earliest: IntArray,
    latest: IntArray,
    neighbours: Neighbours,
    trail: IntArray,
    stack: IntArray,
) -> int:
    """Impose a side; the trail holds (node, old end of its window). Return its length, -1 if it is impossible."""
    length = height = 0
    if later:
        if earliest[v] > j:
            return 0
        if latest[v] <= j:
            return -1
        trail[0, 0], trail[0, 1] = v, earliest[v]
        earliest[v] = j + 1
    else:
        if latest[v] <= j:
            return 0
        if earliest[v] > j:
            return -1
        trail[0, 0], trail[0, 1] = v, latest[v]
        latest[v] = j
    length = height = 1
    stack[0] = v
    while height:
        height -= 1
        x = stack[height]
        if later:
            for e in range(neighbours.succ_ptr[x], neighbours.succ_ptr[x + 1]):
                y = neighbours.succs[e]
                # A successor's window ends no earlier than that of x, so it has room.
                if earliest[y] <= j:
                    trail[length, 0], trail[length, 1] = y, earliest[y]
                    earliest[y] = j + 1
                    length += 1
                    stack[height] = y
                    height += 1
        else:
            for e in range(neighbours.pred_ptr[x], neighbours.pred_ptr[x + 1]):
                y = neighbours.preds[e]
                if latest[y] > j:
                    trail[length, 0], trail[length, 1] = y, latest[y]
                    latest[y] = j
                    length += 1
                    stack[height] = y
                    height += 1
    return length


@inlined_kernel
def _weight(weights: IntArray, row: int, g: int, v: int) -> int:
    """Return what a node weighs in a group; numba drops the branch that the shape rules out."""
    if weights.ndim == 2:
        return int(weights[row, v])
    return int(weights[row, g, v])


@allocating_kernel
def tighten(
    earliest: IntArray,
    latest: IntArray,
    weights: IntArray,
    limits: IntArray,
    neighbours: Neighbours,
    trail: IntArray,
    stack: IntArray,
) -> bool:
    """Repeat until nothing changes; rows of `weights` and `limits` belong together.

    Weights are ``[rows, n]``, or ``[rows, groups, n]`` where they differ by group: before and behind a boundary a node
    weighs at least what it does where it is lightest.
    """
    n, groups = len(earliest), limits.shape[1]
    fixed, before, behind = np.empty(groups, np.int64), np.empty(groups, np.int64), np.empty(groups, np.int64)
    changed = True
    while changed:
        changed = False
        for row in range(len(weights)):
            for g in range(groups):
                fixed[g] = before[g] = behind[g] = 0
            for v in range(n):
                least = _weight(weights, row, latest[v], v)
                if earliest[v] == latest[v]:
                    fixed[latest[v]] += least
                for g in range(earliest[v], latest[v] if weights.ndim == 3 else 0):
                    least = min(least, _weight(weights, row, g, v))
                before[latest[v]] += least
                behind[earliest[v]] += least
            # From here on: the limit minus what is fixed; negative where it is broken.
            room, room_behind = 0, 0
            for g in range(groups):
                fixed[g] = limits[row, g] - fixed[g]
                room += limits[row, g] - before[g]
                before[g] = room
                if fixed[g] < 0 or room < 0:
                    return False
            for g in range(groups - 1, -1, -1):
                room_behind += limits[row, g] - behind[g]
                behind[g] = room_behind
                if room_behind < 0:
                    return False
            for v in range(n):
                while earliest[v] < latest[v]:
                    g = earliest[v]
                    if min(fixed[g], before[g]) >= _weight(weights, row, g, v):
                        break
                    restrict(v, g, True, earliest, latest, neighbours, trail, stack)
                    changed = True
                while earliest[v] < latest[v]:
                    g = latest[v]
                    if min(fixed[g], behind[g]) >= _weight(weights, row, g, v):
                        break
                    restrict(v, g - 1, False, earliest, latest, neighbours, trail, stack)
                    changed = True
    return True


@kernel
def undo(later: bool, trail: IntArray, length: int, earliest: IntArray, latest: IntArray) -> None:
    """Take back a restriction."""
    for i in range(length):
        if later:
            earliest[trail[i, 0]] = trail[i, 1]
        else:
            latest[trail[i, 0]] = trail[i, 1]


@allocating_kernel
def score_choices(
    earliest: IntArray,
    latest: IntArray,
    low: IntArray,
    high: IntArray,
    boundaries: int,
    ancestors: BitArray,
    descendants: BitArray,
) -> tuple[FloatArray, IntArray, IntArray]:
    """Score every open choice by how many nodes it fixes on either side."""
    n, words = ancestors.shape
    total = 0
    for v in range(n):
        total += latest[v] - earliest[v]
    score, nodes, boundary = np.empty(total), np.empty(total, np.int64), np.empty(total, np.int64)
    may_follow, may_precede = np.empty(words, np.uint64), np.empty(words, np.uint64)
    one = np.uint64(1)
    taken = 0
    for j in range(boundaries):
        for word in range(words):
            may_follow[word] = may_precede[word] = 0
        for v in range(n):
            if latest[v] > j:
                may_follow[v >> 6] |= one << np.uint64(v & 63)
            if earliest[v] <= j:
                may_precede[v >> 6] |= one << np.uint64(v & 63)
        central = (1 + min(j, boundaries - 1 - j)) ** 3
        for v in range(n):
            if not earliest[v] <= j < latest[v]:
                continue
            above = below = 1
            for word in range(words):
                above += _ones(ancestors[v, word] & may_follow[word])
                below += _ones(descendants[v, word] & may_precede[word])
            factor = DIFFERS if (low[v] <= j) != (high[v] <= j) else 1.0
            score[taken] = factor * above * below * central
            nodes[taken], boundary[taken] = v, j
            taken += 1
    return score, nodes, boundary


@kernel
def _ones(bits: int) -> int:
    """Count the bits of a 64-bit word (Warren, Hacker's Delight)."""
    x = np.uint64(bits)
    x = x - ((x >> np.uint64(1)) & np.uint64(0x5555555555555555))
    x = (x & np.uint64(0x3333333333333333)) + ((x >> np.uint64(2)) & np.uint64(0x3333333333333333))
    x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return int((x * np.uint64(0x0101010101010101)) >> np.uint64(56))
