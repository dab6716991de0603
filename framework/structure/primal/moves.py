"""Moves of nodes between the stages of a partition, with what stages cost and hold kept up to date in O(degree)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from framework.model.arrays import IntArray
from framework.model.problem import Partition, Problem, stage_costs
from framework.structure.kernel import inlined_kernel, kernel

LARGEST_GROUP = 60
"""Nodes of a compound move; larger groups are rarely accepted and dear to try."""


class Nodes(NamedTuple):
    """What the kernels need of an instance; `used` are the shared parameters of each node.

    Where stages are unequal, costs and sizes have a row for each kind of device, and `device` is the kind of each
    stage. Kernels are compiled once for either shape (see `_priced`), so that equal stages pay nothing. `worksets` are
    the distinct working sets, ascending, ``[sets, 2]``: what a hard limit counts, and what they take of the capacity;
    `level` says which of them each node has. The first is that of a stage without nodes: 0.
    """

    device: IntArray
    work: IntArray
    parameters: IntArray
    tensor_cost: IntArray
    sizes: IntArray
    producer: IntArray
    consumer_ptr: IntArray
    in_ptr: IntArray
    in_tensors: IntArray
    out_ptr: IntArray
    out_tensors: IntArray
    succ_ptr: IntArray
    succs: IntArray
    pred_ptr: IntArray
    preds: IntArray
    used_ptr: IntArray
    used: IntArray
    shared_cost: IntArray
    shared_sizes: IntArray
    level: IntArray
    worksets: IntArray


class Walk(NamedTuple):
    """The partition the walk stands at.

    Stage per node, consumers per tensor and stage, users per shared parameter and stage, what stages cost, their
    parameters and largest working cost less the capacity, what they hold without their working sets less the limit; if
    working sets differ, nodes per working set and stage, and the largest one of each stage.
    """

    stage: IntArray
    counts: NDArray[np.int32]
    users: NDArray[np.int32]
    cost: IntArray
    excess: IntArray
    beyond_limit: IntArray
    levels: NDArray[np.int32]
    highest: IntArray


def nodes_of(problem: Problem) -> Nodes:
    """Return what the kernels need of a problem.

    Raises
    ------
    ValueError
        If working sets are not in the same order wherever they count: in a limit, and towards each capacity.
    """
    instance, top = problem.instance, problem.instance.topology
    limit, shared = instance.stage_limit, instance.shared
    costs = instance if instance.unequal is None else instance.unequal
    used_ptr, used = shared.of_nodes(instance.n)
    nothing = np.zeros(instance.n, np.int64)
    held = nothing, np.zeros(len(shared), np.int64)
    if limit is not None:
        held = limit.sizes, limit.shared_sizes
    if instance.unequal is not None:
        limits = [device.stage_limit for device in instance.on_each_device()]
        rows = [held if own is None else (own.sizes, own.shared_sizes) for own in limits]
        held = np.stack([sizes for sizes, _ in rows]), np.stack([sizes for _, sizes in rows])
    prices = problem.prices
    columns = [nothing if limit is None else limit.worksets]
    columns += list(prices.working_cost) if prices.counts_worksets else [nothing] * prices.kinds
    pairs = np.stack(columns, axis=1)
    sets, level = np.unique(np.concatenate((0 * pairs[:1], pairs)), axis=0, return_inverse=True)
    if (np.diff(sets, axis=0) < 0).any():
        raise ValueError("working sets are in another order in the limit, or on another device")
    return Nodes(
        device=prices.device,
        work=costs.work,
        parameters=costs.parameter_cost,
        tensor_cost=costs.tensor_cost,
        sizes=held[0],
        producer=top.producer,
        consumer_ptr=top.consumer_ptr,
        in_ptr=top.in_ptr,
        in_tensors=top.in_tensors,
        out_ptr=top.out_ptr,
        out_tensors=top.out_tensors,
        succ_ptr=top.succ_ptr,
        succs=top.succs,
        pred_ptr=top.pred_ptr,
        preds=top.preds,
        used_ptr=used_ptr,
        used=used,
        shared_cost=costs.shared_cost,
        shared_sizes=held[1],
        level=level.reshape(-1)[1:].astype(np.int64),
        worksets=sets,
    )


def walk_of(problem: Problem, nodes: Nodes) -> Walk:
    """Return memory for a walk; `stand_at` puts a partition there."""
    instance, k = problem.instance, problem.useful_stages
    return Walk(
        stage=np.zeros(instance.n, np.int64),
        counts=np.zeros((instance.m, k), np.int32),
        users=np.zeros((len(instance.shared), k), np.int32),
        cost=np.zeros(k, np.int64),
        excess=np.zeros(k, np.int64),
        beyond_limit=np.zeros(k, np.int64),
        levels=np.zeros((len(nodes.worksets), k), np.int32),
        highest=np.zeros(k, np.int64),
    )


def stand_at(partition: Partition, problem: Problem, nodes: Nodes, walk: Walk) -> None:
    """Let a walk stand at a partition, whose stages are all among the useful ones."""
    instance, top, shared, k = problem.instance, problem.instance.topology, problem.instance.shared, len(walk.cost)
    limit, prices = instance.stage_limit, problem.prices
    walk.stage[:] = partition.stage_of
    walk.cost[:] = stage_costs(problem, partition).total[:k]
    parameter, holder = shared.held(walk.stage)
    walk.excess[:] = -prices.capacity[prices.device]
    np.add.at(walk.excess, holder, prices.shared_cost[prices.device[holder], parameter])
    np.add.at(walk.excess, walk.stage, prices.parameter_cost[prices.device[walk.stage], np.arange(instance.n)])
    sizes, shared_sizes = np.atleast_2d(nodes.sizes), np.atleast_2d(nodes.shared_sizes)
    walk.beyond_limit[:] = 0 if limit is None else -limit.rooms(k)
    np.add.at(walk.beyond_limit, holder, shared_sizes[prices.device[holder], parameter])
    np.add.at(walk.beyond_limit, walk.stage, sizes[prices.device[walk.stage], np.arange(instance.n)])
    walk.levels[:] = 0
    walk.highest[:] = 0
    if len(nodes.worksets) > 1:
        np.add.at(walk.levels, (nodes.level, walk.stage), 1)
        np.maximum.at(walk.highest, walk.stage, nodes.level)
        walk.excess[:] += nodes.worksets[walk.highest, 1 + prices.device]
    walk.users[:] = 0
    np.add.at(walk.users, (shared.pins, walk.stage[shared.users]), 1)
    walk.counts[:] = 0
    tensor = np.repeat(np.arange(instance.m), np.diff(top.consumer_ptr))
    np.add.at(walk.counts, (tensor, walk.stage[top.consumers]), 1)


@inlined_kernel
def _priced(costs: IntArray, device: int, i: int) -> int:
    """Return what a node, a tensor or a parameter costs; numba drops the branch that the shape rules out."""
    if costs.ndim == 1:
        return int(costs[i])
    return int(costs[device, i])


@kernel
def move_node(v: int, b: int, nodes: Nodes, walk: Walk) -> None:
    """Move v to stage b and update the costs of both stages."""
    tensor_cost, producer, consumer_ptr = nodes.tensor_cost, nodes.producer, nodes.consumer_ptr
    stage, counts, cost, excess = walk.stage, walk.counts, walk.cost, walk.excess
    a = stage[v]
    here, there = nodes.device[a], nodes.device[b]
    from_a, to_b = -_priced(nodes.work, here, v), _priced(nodes.work, there, v)
    less, more = _priced(nodes.parameters, here, v), _priced(nodes.parameters, there, v)
    walk.beyond_limit[a] -= _priced(nodes.sizes, here, v)
    walk.beyond_limit[b] += _priced(nodes.sizes, there, v)
    for i in range(nodes.used_ptr[v], nodes.used_ptr[v + 1]):
        q = nodes.used[i]
        walk.users[q, a] -= 1
        if walk.users[q, a] == 0:
            less += _priced(nodes.shared_cost, here, q)
            walk.beyond_limit[a] -= _priced(nodes.shared_sizes, here, q)
        if walk.users[q, b] == 0:
            more += _priced(nodes.shared_cost, there, q)
            walk.beyond_limit[b] += _priced(nodes.shared_sizes, there, q)
        walk.users[q, b] += 1
    if len(nodes.worksets) > 1:
        _move_workset(nodes.level[v], a, b, nodes, walk)
    from_a += max(0, excess[a] - less) - max(0, excess[a])
    to_b += max(0, excess[b] + more) - max(0, excess[b])
    excess[a] -= less
    excess[b] += more
    for i in range(nodes.in_ptr[v], nodes.in_ptr[v + 1]):
        t = nodes.in_tensors[i]
        home = stage[producer[t]]
        consumers = consumer_ptr[t + 1] - consumer_ptr[t]
        if home != a:
            if counts[t, a] == 1:
                from_a -= _priced(tensor_cost, here, t)
        elif counts[t, a] == consumers:
            from_a += _priced(tensor_cost, here, t)
        if home != b:
            if counts[t, b] == 0:
                to_b += _priced(tensor_cost, there, t)
        elif consumers - counts[t, b] == 1:
            to_b -= _priced(tensor_cost, there, t)
        counts[t, a] -= 1
        counts[t, b] += 1
    for i in range(nodes.out_ptr[v], nodes.out_ptr[v + 1]):
        t = nodes.out_tensors[i]
        consumers = consumer_ptr[t + 1] - consumer_ptr[t]
        if counts[t, a] < consumers:
            from_a -= _priced(tensor_cost, here, t)
        if counts[t, a] > 0:
            from_a += _priced(tensor_cost, here, t)
        if counts[t, b] > 0:
            to_b -= _priced(tensor_cost, there, t)
        if counts[t, b] < consumers:
            to_b += _priced(tensor_cost, there, t)
    cost[a] += from_a
    cost[b] += to_b
    stage[v] = b


@kernel
def _move_workset(level: int, a: int, b: int, nodes: Nodes, walk: Walk) -> None:
    """Move a working set from stage a to b; a function of its own, as few instances call it."""
    levels, highest, excess, cost = walk.levels, walk.highest, walk.excess, walk.cost
    worksets = nodes.worksets
    levels[level, a] -= 1
    levels[level, b] += 1
    for stage in (a, b):
        before = highest[stage]
        highest[stage] = max(before, level) if stage == b else before
        while highest[stage] > 0 and levels[highest[stage], stage] == 0:
            highest[stage] -= 1
        column = 1 + nodes.device[stage]
        beyond = excess[stage] + worksets[highest[stage], column] - worksets[before, column]
        cost[stage] += max(0, beyond) - max(0, excess[stage])
        excess[stage] = beyond


@inlined_kernel
def obeys_limit(b: int, nodes: Nodes, walk: Walk) -> bool:
    """Whether a stage holds no more than it may.

    A stage without nodes holds nothing beside what is reserved there.
    """
    return bool(walk.beyond_limit[b] + nodes.worksets[walk.highest[b], 0] <= 0)


@kernel
def span(v: int, nodes: Nodes, walk: Walk) -> tuple[int, int]:
    """Return the first and last stage that v may move to while all others stay."""
    stage = walk.stage
    low, high = 0, len(walk.cost) - 1
    for i in range(nodes.pred_ptr[v], nodes.pred_ptr[v + 1]):
        low = max(low, stage[nodes.preds[i]])
    for i in range(nodes.succ_ptr[v], nodes.succ_ptr[v + 1]):
        high = min(high, stage[nodes.succs[i]])
    return low, high


@kernel
def collect(v: int, right: bool, nodes: Nodes, walk: Walk, mark: IntArray, stamp: int, group: IntArray) -> int:
    """Fill `group` with v and its descendants (or ancestors) of the same stage, in an order they can move in.

    Returns their number, 0 if there are too many. Moving right, a node moves before its predecessors, that is in
    falling numbers; moving left, in rising numbers.
    """
    stage = walk.stage
    ptr, items = (nodes.succ_ptr, nodes.succs) if right else (nodes.pred_ptr, nodes.preds)
    mark[v] = stamp
    group[0] = v
    size = 1
    taken = 0
    while taken < size:
        u = group[taken]
        taken += 1
        for i in range(ptr[u], ptr[u + 1]):
            x = items[i]
            if stage[x] == stage[v] and mark[x] != stamp:
                if size > LARGEST_GROUP - 1:
                    return 0
                mark[x] = stamp
                group[size] = x
                size += 1
    # At most `LARGEST_GROUP`, so the simplest sort will do.
    for i in range(1, size):
        x = group[i]
        j = i
        while j > 0 and (group[j - 1] < x) == right:
            group[j] = group[j - 1]
            j -= 1
        group[j] = x
    return size
