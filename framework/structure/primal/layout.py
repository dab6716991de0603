"""An instance laid out along a topological order: what adjacent nodes cost follows from where they begin and end."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from framework.model.arrays import IntArray, prefix_sums, take_rows
from framework.model.instance import Instance
from framework.model.topology import TopologyArrays
from framework.structure.kernel import allocating_kernel, kernel

WORK, PARAMETERS, REST, PRODUCED, NEEDED = range(5)
"""Rows of `Layout.prefix`."""
PINS, OUTS, CLOSES, USES = range(4)
"""Rows of `Layout.ptr`."""
COST = 0
PREVIOUS, NEXT = 1, 2
"""Rows of `Layout.pins` and `Layout.uses`, after the cost."""
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
        ``[5, n + 1]`` work and nodes' own parameters before position j; what is left to pay from j on, work and
        crossing tensors; cost of the tensors produced at j; all parameters that the nodes from j on use.
    ptr
        ``[4, n + 1]`` where the pins, the produced tensors, the closed tensors and the shared parameters of j begin.
    pins
        ``[3, pins]`` cost of the tensor; position of its previous pin (the producer is the first one), of its next
        consumer.
    outs
        ``[3, m]`` cost of a produced tensor; positions of its first and last consumer.
    closes
        ``[2, m]`` cost of a tensor whose last consumer is at j; position of its producer.
    uses
        ``[3, uses]`` cost of a shared parameter that j uses; positions of its previous and its next user.
    reach
        ``[n]`` where segments from j end at the latest.
    capacity
        What a segment holds free of charge: parameters, and its largest working set where these count.
    working
        ``[levels, n]`` the largest working set at the 2^level positions from each on (as far as there are so many); no
        levels where working sets do not count.
    """

    prefix: IntArray
    ptr: IntArray
    pins: IntArray
    outs: IntArray
    closes: IntArray
    uses: IntArray
    reach: IntArray
    capacity: int
    working: IntArray


def lay_out(instance: Instance, order: IntArray) -> Layout:
    """Return the layout of an instance along an order, ``[n]`` node indices.

    Raises
    ------
    ValueError
        If `order` is not a topological order of the instance.
    """
    n, m, limit, shared = instance.n, instance.m, instance.stage_limit, instance.shared
    layout = Layout(
        prefix=np.zeros((5, n + 1), np.int64),
        ptr=np.zeros((4, n + 1), np.int64),
        pins=np.empty((3, instance.topology.pins), np.int64),
        outs=np.empty((3, m), np.int64),
        closes=np.empty((2, m), np.int64),
        uses=np.empty((3, len(shared.users)), np.int64),
        reach=np.full(n, n, np.int64),
        capacity=instance.bounded_capacity,
        working=np.zeros((0, n), np.int64),
    )
    costs = (instance.work, instance.parameter_cost, instance.tensor_cost)
    if not _fill(order, *costs, instance.topology.arrays, layout):
        raise ValueError("not a topological order of the instance")
    used_ptr, used = shared.of_nodes(n)
    _fill_uses(order, used_ptr, used, instance.shared_cost, layout)
    if limit is not None:
        layout = with_limit(layout, instance, order, limit.limit)
    if len(instance.working_cost):
        layout = layout._replace(working=_range_maxima(instance.working_cost[order]))
    return layout


def with_limit(layout: Layout, instance: Instance, order: IntArray, room: int) -> Layout:
    """Return the layout with `reach` for segments that hold at most so much, as the limit of the instance counts it."""
    limit = instance.stage_limit
    assert limit is not None
    layout = layout._replace(reach=np.empty(instance.n, np.int64))
    held = prefix_sums(limit.sizes[order])
    # The shared parameter of each entry of `uses`, which come in the order of the nodes.
    _, parameter = take_rows(*instance.shared.of_nodes(instance.n), order)
    _fill_reach(held, limit.worksets[order], room, limit.shared_sizes[parameter], layout)
    return layout


def _range_maxima(values: IntArray) -> IntArray:
    """Return the largest of the 2^level values from each position on; fewer at the end."""
    levels = len(values).bit_length()
    maxima = np.empty((levels, len(values)), np.int64)
    for level in range(levels):
        if level == 0:
            maxima[0] = values
            continue
        half = 1 << (level - 1)
        maxima[level] = maxima[level - 1]
        np.maximum(maxima[level - 1, :-half], maxima[level - 1, half:], out=maxima[level, :-half])
    return maxima


@kernel
def largest_working(first: int, last: int, layout: Layout) -> int:
    """Return the largest working set of the segment [first, last), which is not empty."""
    level = 0
    while 2 << level <= last - first:
        level += 1
    working = layout.working[level]
    return int(max(working[first], working[last - (1 << level)]))


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


@allocating_kernel
def _fill_uses(order: IntArray, used_ptr: IntArray, used: IntArray, cost: IntArray, layout: Layout) -> None:
    """Fill in `uses` and the parameters needed from each position on."""
    prefix, ptr, uses = layout.prefix, layout.ptr, layout.uses
    n, begin = len(order), 0
    last_use = np.full(len(cost), -1, np.int64)
    last_at = np.full(len(cost), -1, np.int64)
    for j in range(n):
        ptr[USES, j] = begin
        for i in range(used_ptr[order[j]], used_ptr[order[j] + 1]):
            q = used[i]
            uses[COST, begin], uses[PREVIOUS, begin], uses[NEXT, begin] = cost[q], last_at[q], NEVER
            if last_use[q] >= 0:
                uses[NEXT, last_use[q]] = j
            last_use[q], last_at[q] = begin, j
            begin += 1
    ptr[USES, n] = begin
    needed = 0
    for j in range(n - 1, -1, -1):
        needed += prefix[PARAMETERS, j + 1] - prefix[PARAMETERS, j]
        for y in range(ptr[USES, j], ptr[USES, j + 1]):
            if uses[NEXT, y] == NEVER:
                needed += uses[COST, y]
        prefix[NEEDED, j] = needed


@allocating_kernel
def _fill_reach(held: IntArray, worksets: IntArray, limit: int, sizes: IntArray, layout: Layout) -> None:
    """Fill in how far segments reach; `held` is what nodes hold alone up to each position, `sizes` is of each use."""
    ptr, uses, reach = layout.ptr, layout.uses, layout.reach
    n = len(reach)
    end = shared = 0
    # Positions of the segment that no later one of it exceeds in working set, in `largest[head:tail]`.
    largest = np.empty(n, np.int64)
    head = tail = 0
    for i in range(n):
        if end < i:
            end, shared = i, 0
        while head < tail and largest[head] < i:
            head += 1
        while end < n:
            working, more = worksets[end], 0
            if head < tail:
                working = max(working, worksets[largest[head]])
            for y in range(ptr[USES, end], ptr[USES, end + 1]):
                if uses[PREVIOUS, y] < i:
                    more += sizes[y]
            if held[end + 1] - held[i] + shared + more + working > limit:
                break
            while head < tail and worksets[largest[tail - 1]] <= worksets[end]:
                tail -= 1
            largest[tail] = end
            tail += 1
            shared += more
            end += 1
        reach[i] = end
        if end > i:
            for y in range(ptr[USES, i], ptr[USES, i + 1]):
                if uses[NEXT, y] >= end:
                    shared -= sizes[y]
