"""Classical Benders cuts for the superblock model: transfer costs bounded by a linear function, tight at one y.

With y fixed, what group s pays for transfers is a linear program that falls apart by tensors, and its dual is at hand:
for each tensor t of producer u either nothing, or one of

    out:  y[s, u] - y[s, v] - y[s-1, u]                      for a consumer v (done[s] <= y[s, v], done[s-1] >= 0)
    in:   (y[s, v] - y[s-1, v]) - (y[s, u] - y[s-1, u])      for a consumer v

each of which bounds the transfer of t at any y, since out and in are at least each of them and at least 0. The best
choice at the given y makes the sum over tensors equal to what the group really pays there, when y is 0/1. Source:
Benders, Numerische Mathematik 1962; the dual of this program: this project.
"""

from __future__ import annotations

import numpy as np

from framework.model.arrays import IntArray
from framework.model.instance import Instance
from framework.structure.models.superblocks import TransferCut


def transfer_cuts(instance: Instance, group_of: IntArray, groups: int) -> list[TransferCut]:
    """Return a cut for each group that pays for transfers under an assignment, tight at it.

    Parameters
    ----------
    group_of
        ``[n]`` group of each node, from 0; no edge goes backwards.
    """
    top = instance.topology
    tensor = np.repeat(np.arange(top.m), np.diff(top.consumer_ptr))
    paid = instance.tensor_cost[tensor] > 0
    home, there = group_of[top.producer[tensor]], group_of[top.consumers]
    away = paid & (there != home)
    cuts = []
    for s in range(groups):
        # One consumer is enough for each tensor: any that is elsewhere, or here.
        leaving = _first_of_each(np.flatnonzero(away & (home == s)), tensor)
        entering = _first_of_each(np.flatnonzero(away & (there == s)), tensor)
        if not len(leaving) and not len(entering):
            continue
        out_u, out_v = top.producer[tensor[leaving]], top.consumers[leaving]
        in_u, in_v = top.producer[tensor[entering]], top.consumers[entering]
        # Pairs (of, minus): out is y[s+1, u] - y[s+1, v] and 0 - y[s, u]; boundaries count from 1 here.
        cuts.append(
            TransferCut(
                group=s,
                of=np.concatenate((out_u, out_u, in_v, in_u)),
                of_boundary=_boundaries((s + 1, 0, s + 1, s), leaving, entering),
                minus=np.concatenate((out_v, out_u, in_v, in_u)),
                minus_boundary=_boundaries((s + 1, s, s, s + 1), leaving, entering),
                tensor=np.concatenate((tensor[leaving], tensor[leaving], tensor[entering], tensor[entering])),
            )
        )
    return cuts


def _first_of_each(pins: IntArray, tensor: IntArray) -> IntArray:
    return pins[np.unique(tensor[pins], return_index=True)[1]]


def _boundaries(values: tuple[int, int, int, int], leaving: IntArray, entering: IntArray) -> IntArray:
    counts = (len(leaving), len(leaving), len(entering), len(entering))
    return np.repeat(np.array(values, np.int64), counts)
