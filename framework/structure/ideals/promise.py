"""Which ideals a chain may still want to reach: levels sorted by promise, and the least that is ahead of an ideal.

See `framework.structure.ideals.chain_dp` for what these values cut off, and why that is valid.
"""

from __future__ import annotations

from typing import NamedTuple

from framework.model.arrays import IntArray
from framework.structure.ideals.lattice import Lattice
from framework.structure.kernel import kernel

CLOSED = -1
"""Stages to an ideal that is not worth reaching any more."""
_NEVER = 1 << 62


class Limits(NamedTuple):
    """What a decision is about: stages, T, the parameters a stage holds free of charge, and the size it may hold."""

    stages: int
    threshold: int
    capacity: int
    size: int


class Sums(NamedTuple):
    """Work, parameters, cut and size of each ideal; no sizes where there is no limit on them.

    `parameters` and `sizes` are of what nodes use alone; `held`, `needed` and `sizes_needed` are of all that the nodes
    inside (`held`) or outside an ideal use, shared parameters once; in `sizes_needed` with the largest working set, and
    in `alone`, which is otherwise `needed`, with what the largest takes of the capacity.
    """

    work: IntArray
    parameters: IntArray
    cut: IntArray
    sizes: IntArray
    held: IntArray
    needed: IntArray
    sizes_needed: IntArray
    alone: IntArray


class States(NamedTuple):
    """The fewest stages to each ideal, the ideal before it, the queue, memory to sort it, what `fill_least` fills."""

    stages_to: IntArray
    origin: IntArray
    queue: IntArray
    merged: IntArray
    least: IntArray


@kernel
def sort_by_promise(sums: Sums, states: States, first: int, last: int) -> None:
    """Sort the ideals of a level in the queue so that what is likely to reach most comes first: a merge sort."""
    work, cut, queue, merged = sums.work, sums.cut, states.queue, states.merged
    width = 1
    while width < last - first:
        for low in range(first, last, 2 * width):
            middle = min(low + width, last)
            high = min(low + 2 * width, last)
            i, j = low, middle
            left = work[queue[i]] + cut[queue[i]]
            right = work[queue[j]] + cut[queue[j]] if j < high else 0
            for at in range(low, high):
                if i < middle and (j == high or left >= right):
                    merged[at] = queue[i]
                    i += 1
                    if i < middle:
                        left = work[queue[i]] + cut[queue[i]]
                else:
                    merged[at] = queue[j]
                    j += 1
                    if j < high:
                        right = work[queue[j]] + cut[queue[j]]
        for at in range(first, last):
            queue[at] = merged[at]
        width *= 2


@kernel
def fill_least(
    limits: Limits, lattice: Lattice, sums: Sums, states: States, stages: int, first: int, final: int
) -> int:
    """Fill `least` from ideal `first` to the last ideal worth reaching with so many stages, and return that.

    No ideal after `final` is worth reaching. Above an ideal there are only ideals with larger numbers. What cannot be
    completed after so many stages cannot be after more: it is closed.
    """
    work, parameters, cut = sums.work, sums.parameters, sums.cut
    edge_ptr, edge_ideal, least = lattice.edge_ptr, lattice.edge_ideal, states.least
    capacity, threshold, left = limits.capacity, limits.threshold, limits.stages - stages
    total = work[len(work) - 1]
    last = first - 1
    for ideal in range(final, first - 1, -1):
        useful = False
        if states.stages_to[ideal] > stages:
            after = total - work[ideal] + cut[ideal]
            after += max(0, sums.needed[ideal] - left * capacity)
            useful = after <= left * threshold
            if not useful:
                states.stages_to[ideal] = CLOSED
        if last < first:
            if not useful:
                continue
            last = ideal
        for row in range(len(least)):
            value = work[ideal] + cut[ideal] + row * parameters[ideal] if useful else _NEVER
            for e in range(edge_ptr[ideal], edge_ptr[ideal + 1]):
                if edge_ideal[e] <= last:
                    value = min(value, least[row, edge_ideal[e]])
            least[row, ideal] = value
    return last
