"""An instance laid out along a topological order, so that the cost of a segment follows from its positions."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from framework.model.arrays import IntArray
from framework.model.instance import Instance
from framework.model.topology import TopologyArrays
from framework.structure.kernel import allocating_kernel

WORK, PARAMETERS, REST, PRODUCED = range(4)
"""Rows of `Layout.prefix`."""
PINS, OUTS, CLOSES = range(3)
"""Rows of `Layout.ptr`."""
COST = 0
PREVIOUS, NEXT = 1, 2
"""Rows of `Layout.pins`, after the cost."""
FIRST, LAST = 1, 2
"""Rows of `Layout.outs`, after the cost."""
PRODUCER = 1
"""Row of `Layout.closes`, after the cost."""
NEVER = 1 << 40
"""A position behind all others: that of the next consumer where there is none."""


class Layout(NamedTuple):
    """An instance along an order; costs in ticks. Few arrays, as a kernel takes some time for each.

    Attributes
    ----------
    prefix
        ``[4, n + 1]`` work and parameters before position j; what is left to pay from j on, work and crossing tensors;
        cost of the tensors produced at j.
    ptr
        ``[3, n + 1]`` where the pins, the produced tensors and the closed tensors of j begin.
    pins
        ``[3, pins]`` cost of the tensor; position of its previous pin (the producer is the first one), of its next
        consumer.
    outs
        ``[3, m]`` cost of a produced tensor; positions of its first and last consumer.
    closes
        ``[2, m]`` cost of a tensor whose last consumer is at j; position of its producer.
    reach
        ``[n]`` where segments from j end at the latest.
    capacity
        Parameters that a segment holds free of charge.
    """

    prefix: IntArray
    ptr: IntArray
    pins: IntArray
    outs: IntArray
    closes: IntArray
    reach: IntArray
    capacity: int


def lay_out(instance: Instance, order: IntArray) -> Layout:
    """Return the layout of an instance along an order, ``[n]`` node indices.

    Raises
    ------
    ValueError
        If `order` is not a topological order of the instance.
    """
    n, m, limit = instance.n, instance.m, instance.stage_limit
    layout = Layout(
        prefix=np.zeros((4, n + 1), np.int64),
        ptr=np.zeros((3, n + 1), np.int64),
        pins=np.empty((3, instance.topology.pins), np.int64),
        outs=np.empty((3, m), np.int64),
        closes=np.empty((2, m), np.int64),
        reach=np.full(n, n, np.int64),
        capacity=instance.bounded_capacity,
    )
    costs = (instance.work, instance.parameter_cost, instance.tensor_cost)
    if not _fill(order, *costs, instance.topology.arrays, layout):
        raise ValueError("not a topological order of the instance")
    if limit is not None:
        held = np.concatenate(([0], np.cumsum(limit.sizes[order])))
        layout.reach[:] = np.searchsorted(held, held[:-1] + limit.limit, side="right") - 1
    return layout


@allocating_kernel
def _fill(
    order: IntArray, node_work: IntArray, node_parameters: IntArray, cost: IntArray, top: TopologyArrays, layout: Layout
) -> bool:
    """Fill in all but `reach`; return whether the order is topological."""
    in_ptr, in_tensors, out_ptr, out_tensors = top.in_ptr, top.in_tensors, top.out_ptr, top.out_tensors
    prefix, ptr = layout.prefix, layout.ptr
    pins, outs, closes = layout.pins, layout.outs, layout.closes
    n, m = len(order), len(cost)
    if n != len(node_work):
        return False
    position = np.full(n, -1, np.int64)
    last = np.full(m, -1, np.int64)
    last_pin = np.full(m, -1, np.int64)
    out_of = np.empty(m, np.int64)
    pin = out = 0
    for j in range(n):
        v = order[j]
        if v < 0 or v >= n or position[v] >= 0:
            return False
        position[v] = j
        ptr[PINS, j], ptr[OUTS, j] = pin, out
        prefix[WORK, j + 1] = prefix[WORK, j] + node_work[v]
        prefix[PARAMETERS, j + 1] = prefix[PARAMETERS, j] + node_parameters[v]
        for i in range(in_ptr[v], in_ptr[v + 1]):
            t = in_tensors[i]
            if last[t] < 0:
                return False
            if last_pin[t] >= 0:
                pins[NEXT, last_pin[t]] = j
            else:
                outs[FIRST, out_of[t]] = j
            pins[PREVIOUS, pin], pins[NEXT, pin], pins[COST, pin] = last[t], NEVER, cost[t]
            last[t], last_pin[t] = j, pin
            pin += 1
        for i in range(out_ptr[v], out_ptr[v + 1]):
            t = out_tensors[i]
            outs[COST, out] = cost[t]
            out_of[t], last[t] = out, j
            prefix[PRODUCED, j] += cost[t]
            out += 1
    ptr[PINS, n], ptr[OUTS, n] = pin, out
    for t in range(m):
        outs[LAST, out_of[t]] = last[t]
        ptr[CLOSES, last[t] + 1] += 1
    for j in range(n):
        ptr[CLOSES, j + 1] += ptr[CLOSES, j]
    free = ptr[CLOSES].copy()
    for t in range(m):
        closes[PRODUCER, free[last[t]]] = position[top.producer[t]]
        closes[COST, free[last[t]]] = cost[t]
        free[last[t]] += 1
    crossing = 0
    for j in range(n + 1):
        prefix[REST, j] = prefix[WORK, n] - prefix[WORK, j] + crossing
        if j < n:
            crossing += prefix[PRODUCED, j]
            for i in range(ptr[CLOSES, j], ptr[CLOSES, j + 1]):
                crossing -= closes[COST, i]
    return True
