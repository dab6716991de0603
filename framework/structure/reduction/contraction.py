"""Contraction: nodes that must share a stage become one node, and the result is an instance again.

The partitions of the result are exactly the partitions of the given instance that keep every group in one stage, at the
same cost. A group is one side of every cut, so a tensor between groups keeps its cost and a tensor inside a group is
never paid; tensors that now agree in producer and consumers are cut by the same stages, so their costs add. A parameter
is held by the stages that hold a group with a user, once each, as before; one that a single group uses is that group's
own. A group's working set is the largest of its nodes. Groups on a common cycle have to share a stage (stages never
decrease along an edge), so strongly connected groups are condensed. A dependency of cost zero is dropped where a tensor
with a cost or a longer path implies it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from framework.model.arrays import IntArray, distinct, largest_by, merge_equal_tensors, ranks, row_pointers, sum_by
from framework.model.instance import Instance
from framework.model.problem import Partition
from framework.model.shared import rename_users
from framework.model.stage_limit import StageLimit
from framework.model.topology import build_topology
from framework.model.unequal import UnequalStages
from framework.structure.kernel import allocating_kernel, kernel
from framework.structure.poset.closure import BoolArray, redundant_arcs


def contract(instance: Instance, group: IntArray) -> Instance:
    """Merge all nodes that carry equal labels.

    Parameters
    ----------
    group
        ``[n]`` any labels. The result is numbered in ascending order of labels where that is topological;
        otherwise cycles are condensed and the ready group with the smallest member always comes next.

    Returns
    -------
    The contracted instance; its `node_of_input` maps the nodes of the given one to its own.
    """
    top = instance.topology
    _, label = np.unique(np.asarray(group, np.int64), return_inverse=True)
    tails = np.repeat(top.producer, np.diff(top.consumer_ptr))
    node_of_input = _number_topologically(label.astype(np.int64), tails, top.consumers)
    n = int(node_of_input.max()) + 1
    unequal = instance.unequal
    costs = instance.tensor_cost[None] if unequal is None else unequal.tensor_cost
    producer, consumer_ptr, consumers, costs = _map_tensors(instance, costs, node_of_input, n)
    limit = instance.stage_limit
    nothing = np.zeros(len(instance.shared), np.int64)
    held = (nothing, nothing) if limit is None else (limit.shared_sizes, limit.shared_kept)
    renamed = rename_users(instance.shared, node_of_input, n, instance.shared_cost, *held)
    if limit is not None:
        limit = StageLimit(
            sizes=sum_by(node_of_input, limit.sizes, n) + renamed.private[1],
            limit=limit.limit,
            anchors=node_of_input[limit.anchors],
            shared_sizes=renamed.sizes[1],
            worksets=largest_by(node_of_input, limit.worksets, n),
            reserved=limit.reserved,
            in_flight=limit.in_flight,
            kept=sum_by(node_of_input, limit.kept, n) + renamed.private[2],
            shared_kept=renamed.sizes[2],
        )
    work = sum_by(node_of_input, instance.work, n)
    if unequal is not None:
        unequal = _contract_unequal(instance, unequal, costs, node_of_input, n)
        # Never below the sum of the cheapest: a group is on one device.
        work = unequal.work.min(0)
    return replace(
        instance,
        work=work,
        parameter_cost=sum_by(node_of_input, instance.parameter_cost, n) + renamed.private[0],
        shared=renamed.shared,
        shared_cost=renamed.sizes[0],
        tensor_cost=costs.min(0),
        topology=build_topology(n, producer, consumer_ptr, consumers),
        node_of_input=node_of_input,
        stage_limit=limit,
        unequal=unequal,
        working_cost=largest_by(node_of_input, instance.working_cost, n),
    )


def _contract_unequal(
    instance: Instance, unequal: UnequalStages, tensor_cost: IntArray, node_of_input: IntArray, n: int
) -> UnequalStages:
    renamed = rename_users(instance.shared, node_of_input, n, *unequal.shared_cost)
    parameters = [sum_by(node_of_input, own, n) for own in unequal.parameter_cost]
    return replace(
        unequal,
        work=np.stack([sum_by(node_of_input, work, n) for work in unequal.work]),
        parameter_cost=np.stack(parameters) + np.stack(renamed.private),
        tensor_cost=tensor_cost,
        shared_cost=np.stack(renamed.sizes),
        working_cost=_largest(unequal.working_cost, node_of_input, n),
    )


def _largest(rows: IntArray, node_of_input: IntArray, n: int) -> IntArray:
    """Return the largest value of each group in each row; no columns where there are none."""
    return np.stack([largest_by(node_of_input, row, n) for row in rows]) if rows.size else rows


def with_arcs(instance: Instance, tails: IntArray, heads: IntArray) -> Instance:
    """Return the instance with more arcs, as tensors of cost zero; their order need not be that of the numbers."""
    top, unequal = instance.topology, instance.unequal
    return replace(
        instance,
        unequal=None if unequal is None else unequal.with_free_tensors(len(tails)),
        tensor_cost=np.concatenate((instance.tensor_cost, np.zeros(len(tails), np.int64))),
        topology=build_topology(
            instance.n,
            np.concatenate((top.producer, tails)),
            np.concatenate((top.consumer_ptr, top.pins + np.arange(1, len(tails) + 1))),
            np.concatenate((top.consumers, heads)),
        ),
    )


def compose(first: Instance, second: Instance) -> Instance:
    """Return `second`, a contraction of `first`, with the map from the instance that `first` was made from."""
    return replace(second, node_of_input=second.node_of_input[first.node_of_input])


def lift(partition: Partition, reduced: Instance) -> Partition:
    """Turn a partition of `reduced` into the equally expensive one of the instance it was made from."""
    return Partition(stage_of=partition.stage_of[reduced.node_of_input])


def _number_topologically(label: IntArray, tails: IntArray, heads: IntArray) -> IntArray:
    """Return the node of the result for each node, given dense labels and all edges."""
    if np.all(label[tails] <= label[heads]):
        return label
    groups = int(label.max()) + 1
    arcs = distinct(label[tails] * groups + label[heads])
    component = _strong_components(row_pointers(arcs // groups, groups), arcs % groups)
    count = int(component.max()) + 1
    smallest = np.full(count, len(label), np.int64)
    np.minimum.at(smallest, component[label], np.arange(len(label), dtype=np.int64))
    component = ranks(np.argsort(smallest))[component]
    arcs = distinct(component[arcs // groups] * count + component[arcs % groups])
    arcs = arcs[arcs // count != arcs % count]
    numbers: IntArray = _smallest_first(row_pointers(arcs // count, count), arcs % count)
    return numbers[component[label]]


def _map_tensors(
    instance: Instance, tensor_costs: IntArray, node_of_input: IntArray, n: int
) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """Return producer, consumer_ptr, consumers and costs of the tensors between the nodes of the result."""
    top = instance.topology
    producer = node_of_input[top.producer]
    tensor = np.repeat(np.arange(top.m, dtype=np.int64), np.diff(top.consumer_ptr))
    head = node_of_input[top.consumers]
    outside = head != producer[tensor]
    pins = distinct(tensor[outside] * n + head[outside])
    tensor, head = pins // n, pins % n
    free = tensor_costs[:, tensor].max(0) == 0
    arcs = _necessary_dependencies(n, producer[tensor] * n + head, free)
    tensor, head = tensor[~free], head[~free]
    kept = distinct(tensor)
    *paid, cost = merge_equal_tensors(
        producer[kept], row_pointers(np.searchsorted(kept, tensor), len(kept)), head, tensor_costs[:, kept]
    )
    if not len(arcs):
        return paid[0], paid[1], paid[2], cost
    # All dependencies of a node make one tensor of cost zero.
    dependents = distinct(arcs // n)
    lengths = np.bincount(arcs // n, minlength=n)[dependents]
    ptr = np.concatenate((paid[1], paid[1][-1] + np.cumsum(lengths)))
    return (
        np.concatenate((paid[0], dependents)),
        ptr,
        np.concatenate((paid[2], arcs % n)),
        np.concatenate((cost, np.zeros((len(cost), len(dependents)), np.int64)), axis=1),
    )


def _necessary_dependencies(n: int, arcs: IntArray, free: BoolArray) -> IntArray:
    """Return the arcs (as ``u * n + v``) of cost-zero tensors that nothing else implies, ascending."""
    paid, wanted = distinct(arcs[~free]), distinct(arcs[free])
    wanted = wanted[~np.isin(wanted, paid, assume_unique=True)]
    if not len(wanted):
        return wanted
    every = distinct(np.concatenate((paid, wanted)))
    redundant = redundant_arcs(n, row_pointers(every // n, n), every % n)
    return wanted[~redundant[np.searchsorted(every, wanted)]]


@allocating_kernel
def _strong_components(ptr: IntArray, heads: IntArray) -> IntArray:
    """Tarjan's algorithm without recursion: the strongly connected component of each node, numbered from 0."""
    n = len(ptr) - 1
    component = np.full(n, -1, np.int64)
    found = np.full(n, -1, np.int64)
    low = np.zeros(n, np.int64)
    next_arc = ptr[:-1].copy()
    path = np.empty(n, np.int64)
    open_nodes = np.empty(n, np.int64)
    depth = opened = count = clock = 0
    for root in range(n):
        if found[root] >= 0:
            continue
        path[0] = root
        depth = 1
        found[root] = low[root] = clock
        clock += 1
        open_nodes[opened] = root
        opened += 1
        while depth:
            u = path[depth - 1]
            if next_arc[u] < ptr[u + 1]:
                v = heads[next_arc[u]]
                next_arc[u] += 1
                if found[v] < 0:
                    found[v] = low[v] = clock
                    clock += 1
                    open_nodes[opened] = v
                    opened += 1
                    path[depth] = v
                    depth += 1
                elif component[v] < 0:
                    low[u] = min(low[u], found[v])
                continue
            depth -= 1
            if depth:
                low[path[depth - 1]] = min(low[path[depth - 1]], low[u])
            if low[u] == found[u]:
                while component[u] < 0:
                    opened -= 1
                    component[open_nodes[opened]] = count
                count += 1
    return component


@allocating_kernel
def _smallest_first(ptr: IntArray, heads: IntArray) -> IntArray:
    """Return where each node of an acyclic graph is in the topological order that always takes the smallest one ready.

    As `framework.model.topology.stable_topological_order`, in a fraction of its time. The nodes that are ready are kept
    as a binary heap.
    """
    n = len(ptr) - 1
    missing, heap, number = np.zeros(n, np.int64), np.empty(n, np.int64), np.empty(n, np.int64)
    for v in heads:
        missing[v] += 1
    size = 0
    for v in range(n):
        if missing[v] == 0:
            # In ascending order, which is a heap.
            heap[size] = v
            size += 1
    for place in range(n):
        u = heap[0]
        number[u] = place
        size -= 1
        _sink(heap, size, heap[size])
        for e in range(ptr[u], ptr[u + 1]):
            v = heads[e]
            missing[v] -= 1
            if missing[v] == 0:
                at = size
                size += 1
                while at and heap[(at - 1) // 2] > v:
                    heap[at] = heap[(at - 1) // 2]
                    at = (at - 1) // 2
                heap[at] = v
    return number


@kernel
def _sink(heap: IntArray, size: int, v: int) -> None:
    """Put a number in the place of the smallest of a binary heap."""
    at = 0
    while 2 * at + 1 < size:
        child = 2 * at + 1
        if child + 1 < size and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= v:
            break
        heap[at] = heap[child]
        at = child
    heap[at] = v
