"""Costs of groups of adjacent stages: tensors that matter, capacities of the flow network, exact prices of groupings.

What the capacities stand for is proven in `framework.structure.nested_cuts.network`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from framework.model.arrays import IntArray, prefix_sums, take_rows
from framework.model.graph import FloatArray
from framework.model.instance import Instance
from framework.structure.flow.max_flow import INFINITE
from framework.structure.kernel import allocating_kernel, kernel
from framework.structure.nested_cuts.prices import priced
from framework.structure.poset.closure import Closure
from framework.structure.poset.last_consumers import last_consumers


class Tensors(NamedTuple):
    """The tensors that cost something, and which of their consumers can be the last one.

    Attributes
    ----------
    producer
        ``[tensors]``.
    cost
        ``[tensors]``, or ``[groups, tensors]`` where stages are unequal.
    ptr, consumers
        ``[tensors + 1]``, ``[pins]`` all consumers.
    last_ptr, last
        ``[tensors + 1]``, ``[last pins]`` the consumers without another one among their descendants.
    """

    producer: IntArray
    cost: IntArray
    ptr: IntArray
    consumers: IntArray
    last_ptr: IntArray
    last: IntArray


class Multipliers(NamedTuple):
    """Weights of the groups.

    Attributes
    ----------
    loads, overflow
        ``[groups]`` lambda and mu, integers with ``0 <= mu <= lambda``, not all zero.
    """

    loads: IntArray
    overflow: IntArray


class Windows(NamedTuple):
    """The groups that each node may lie in: the first and the last one, ``[n]`` each."""

    earliest: IntArray
    latest: IntArray


class Arcs(NamedTuple):
    """Where arcs of a nested network are among its residual capacities.

    Attributes
    ----------
    from_source, to_sink
        ``[boundaries, n]`` the arcs of x[v, j]; infinite, they fix it to 1, to 0.
    tensors
        ``[boundaries, tensors]`` from the producer to what stands for the last consumers.
    """

    from_source: IntArray
    to_sink: IntArray
    tensors: IntArray


def tensors_that_cost(instance: Instance, reach: Closure, tensor_cost: IntArray) -> Tensors:
    """Return the tensors of an instance that cost something, ``[m]``, or in some group, ``[groups, m]``."""
    top = instance.topology
    kept = np.flatnonzero(np.atleast_2d(tensor_cost).any(0))
    ptr, consumers = take_rows(top.consumer_ptr, top.consumers, kept)
    _, marks = take_rows(top.consumer_ptr, last_consumers(instance, reach).astype(np.int64), kept)
    running = prefix_sums(marks)
    return Tensors(
        producer=top.producer[kept],
        cost=np.take(tensor_cost, kept, axis=-1),
        ptr=ptr,
        consumers=consumers,
        last_ptr=running[ptr],
        last=consumers[marks > 0],
    )


@allocating_kernel
def set_capacities(
    multipliers: Multipliers,
    work: IntArray,
    parameters: IntArray,
    tensors: Tensors,
    windows: Windows,
    priority: FloatArray,
    arcs: Arcs,
    residual: IntArray,
) -> int:
    """Write the capacities of all finite and fixing arcs; return the constant of the relaxed sum of costs."""
    loads, overflow = multipliers
    earliest, latest = windows
    groups, n = len(loads), len(earliest)
    copies = groups - 1
    base = 0
    # Coefficient of x[v, j].
    linear = np.empty((copies, n), np.int64)
    for v in range(n):
        after = loads[copies] * priced(work, copies, v) + overflow[copies] * priced(parameters, copies, v)
        base += after
        for j in range(copies - 1, -1, -1):
            own = loads[j] * priced(work, j, v) + overflow[j] * priced(parameters, j, v)
            linear[j, v] = own - after
            after = own
    # What each group pays for a tensor, times its multiplier.
    paid = np.empty(groups, np.int64)
    floor = np.empty(groups, np.int64)
    beta = np.empty(copies, np.int64)
    read = np.empty(groups, np.bool_)
    for t in range(len(tensors.producer)):
        u = tensors.producer[t]
        for g in range(groups):
            paid[g] = loads[g] * priced(tensors.cost, g, t)
        first_p, last_p = earliest[u], latest[u]
        first_q = last_q = 0
        for i in range(tensors.last_ptr[t], tensors.last_ptr[t + 1]):
            first_q = max(first_q, earliest[tensors.last[i]])
            last_q = max(last_q, latest[tensors.last[i]])
        if first_q > first_p + 1:
            for i in range(len(read)):
                read[i] = False
            for i in range(tensors.ptr[t], tensors.ptr[t + 1]):
                v = tensors.consumers[i]
                if earliest[v] == latest[v]:
                    read[earliest[v]] = True
            for b in range(first_p + 1, first_q):
                if read[b]:
                    linear[b - 1, u] += paid[b]
        if first_q > last_p:
            base += paid[copies]
            for j in range(copies):
                linear[j, u] += paid[j] - paid[j + 1]
            if tensors.last_ptr[t + 1] - tensors.last_ptr[t] == 1:
                v = tensors.last[tensors.last_ptr[t]]
                base += paid[copies]
                for j in range(copies):
                    linear[j, v] += paid[j] - paid[j + 1]
                continue
            floor[last_q] = paid[last_q]
            for q in range(last_q - 1, first_q - 1, -1):
                floor[q] = min(paid[q], floor[q + 1])
            base += floor[first_q]
            for j in range(first_q, last_q):
                residual[arcs.tensors[j, t]] += floor[j + 1] - floor[j]
            continue
        for i in range(len(beta)):
            beta[i] = 0
        for _ in range(first_p, last_q):
            j = -1
            for other in range(first_p, last_q):
                if beta[other] == 0 and (j < 0 or priority[t, other] > priority[t, j]):
                    j = other
            _give_beta(j, first_p, last_p, first_q, last_q, paid, beta)
            residual[arcs.tensors[j, t]] += max(beta[j], 0)
    for j in range(copies):
        for v in range(n):
            coefficient = linear[j, v]
            if j < earliest[v]:
                residual[arcs.to_sink[j, v]] = INFINITE
            elif j >= latest[v]:
                residual[arcs.from_source[j, v]] = INFINITE
                base += coefficient
            elif coefficient > 0:
                residual[arcs.to_sink[j, v]] = coefficient
            else:
                residual[arcs.from_source[j, v]] = -coefficient
                base += coefficient
    return base


@kernel
def _give_beta(j: int, first_p: int, last_p: int, first_q: int, last_q: int, paid: IntArray, beta: IntArray) -> None:
    """Give boundary j the most that the pairs (p, q) across it leave; -1 stands for nothing, but seen."""
    most = INFINITE
    for p in range(first_p, min(j, last_p) + 1):
        spent = 0
        for i in range(p, j):
            spent += max(beta[i], 0)
        for q in range(j + 1, last_q + 1):
            if q >= first_q:
                most = min(most, paid[p] + paid[q] - spent)
            if q < last_q:
                spent += max(beta[q], 0)
    beta[j] = most if 0 < most < INFINITE else -1


@allocating_kernel
def groups_of(inside: NDArray[np.bool_], n: int, copies: int) -> IntArray:
    """Return the first boundary that holds each node, ``[n]``, given which vertices are on the source side."""
    group_of = np.zeros(n, np.int64)
    for v in range(n):
        while group_of[v] < copies and not inside[group_of[v] * n + v]:
            group_of[v] += 1
    return group_of


@allocating_kernel
def group_costs(
    group_of: IntArray, work: IntArray, parameters: IntArray, tensors: Tensors, capacities: IntArray
) -> tuple[IntArray, IntArray]:
    """Return the cost and the parameters of each group as one stage with the group's capacity, ``[groups]`` ticks."""
    groups = len(capacities)
    costs, held = np.zeros(groups, np.int64), np.zeros(groups, np.int64)
    charged = np.full(groups, -1, np.int64)
    for v in range(len(group_of)):
        costs[group_of[v]] += priced(work, group_of[v], v)
        held[group_of[v]] += priced(parameters, group_of[v], v)
    for t in range(len(tensors.producer)):
        home = group_of[tensors.producer[t]]
        for i in range(tensors.ptr[t], tensors.ptr[t + 1]):
            b = group_of[tensors.consumers[i]]
            if b != home and charged[b] != t:
                charged[b] = t
                costs[b] += priced(tensors.cost, b, t)
                if charged[home] != t:
                    charged[home] = t
                    costs[home] += priced(tensors.cost, home, t)
    for b in range(groups):
        costs[b] += max(0, held[b] - capacities[b])
    return costs, held
