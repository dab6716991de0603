"""Symmetry breaking: exchangeable branches are found, verified, and put in order by added arcs.

Validity: two disjoint branches are exchangeable if the map that exchanges them node by node, and leaves every other
node, turns the instance into itself: work, parameter costs (where a stage can overflow), and each tensor with its
producer, consumers and cost. So it turns every partition into one of the same cost. Let B_1, ..., B_m be disjoint, each
exchangeable for the next, and b_i the nodes of one place in them. Exchanging neighbours sorts any partition by the
stages of b_1, ..., b_m, at the same cost: so the arcs b_1 -> b_2 -> ... -> b_m, which cost nothing, keep an optimal
partition. Exchanges in one group of branches move no node of another group that is disjoint from it: all groups are put
in order at once.

*Where branches are looked for.* Nodes and tensors get colours that every such map preserves: a hash of their costs and
of all that comes before and after them (colour refinement, in two passes a round as the graph is acyclic). What has a
colour of its own stays in its place. What is left falls into components, and components of the same colours are tried
as branches. Colours and components only suggest: each exchange is verified on the instance itself.

Where it helps: instances filtered at a threshold (`framework.structure.filtering.rounds`). In these, the experts of one
layer, or the modulations of blocks that share a stage, are between the same two nodes: m such branches have 2^m ideals,
and m + 1 if they are ordered. Source: this project; symmetry breaking is standard, and so are the colours (Weisfeiler
and Leman).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from framework.errors import OutOfTimeError
from framework.model.arrays import IntArray
from framework.model.instance import Instance
from framework.model.topology import TopologyArrays
from framework.structure.kernel import allocating_kernel, kernel
from framework.structure.poset.closure import BoolArray
from framework.structure.reduction.contraction import contract, with_arcs
from framework.structure.scrambling import scrambled
from framework.structure.union_find import find_root

Colours = NDArray[np.uint64]


def put_in_order(
    instance: Instance,
    should_stop: Callable[[], bool] = lambda: False,
    noted: list[tuple[list[IntArray], int]] | None = None,
) -> Instance | None:
    """Return the instance with arcs that put exchangeable branches in order; None if there are none.

    Its `node_of_input` maps the nodes of the given instance, whose tensors must differ in producer or consumers.
    Branches of an instance with hard limits, unequal stages or working sets are left as they are.

    Parameters
    ----------
    noted
        Takes runs of branches, each exchangeable for the next, and the place of the node that puts them in order.

    Raises
    ------
    OutOfTimeError
        If `should_stop` struck first.
    """
    if instance.stage_limit is not None or instance.unequal is not None or len(instance.working_cost):
        return None
    weight = instance.work + _parameters(instance)
    arcs = []
    for branches in _candidates(instance):
        place = int(weight[branches[0]].argmax())
        run: list[IntArray] = []
        for one, other in pairwise(branches):
            if should_stop():
                raise OutOfTimeError("stopped while branches were being exchanged")
            if exchangeable(instance, one, other):
                arcs.append((one[place], other[place]))
                if noted is not None and not (run and run[-1] is one):
                    run = [one]
                    noted.append((run, place))
                run.append(other)
    if not arcs:
        return None
    tails, heads = np.array(arcs, np.int64).T
    return contract(with_arcs(instance, tails, heads), np.arange(instance.n, dtype=np.int64))


def exchangeable(instance: Instance, one: IntArray, other: IntArray) -> bool:
    """Whether exchanging two disjoint sets of nodes, place by place, turns an instance into itself.

    Nodes that share parameters are not looked into: the answer is no.
    """
    if len(instance.shared) and np.isin(np.concatenate((one, other)), instance.shared.users).any():
        return False
    if not np.array_equal(instance.work[one], instance.work[other]):
        return False
    parameters = _parameters(instance)
    if not np.array_equal(parameters[one], parameters[other]):
        return False
    image = np.arange(instance.n, dtype=np.int64)
    image[one], image[other] = other, one
    moved = np.concatenate((one, other))
    return bool(_maps_tensors(image, moved, instance.tensor_cost, instance.topology.arrays))


def _parameters(instance: Instance) -> IntArray:
    """Return the parameter costs that any stage can pay for, ``[n]``: none where nothing overflows."""
    return instance.parameter_cost if instance.can_overflow else np.zeros_like(instance.parameter_cost)


def _candidates(instance: Instance) -> list[IntArray]:
    """Return groups of what may be exchangeable: ``[branches, places]`` nodes."""
    nodes, tensors = _colours(instance)
    _, node_colour, node_count = np.unique(nodes, return_inverse=True, return_counts=True)
    _, tensor_colour, tensor_count = np.unique(tensors, return_inverse=True, return_counts=True)
    loose = node_count[node_colour] > 1
    component = _components(loose, tensor_count[tensor_colour] > 1, instance.topology.arrays)
    members = np.flatnonzero(loose)
    members = members[np.lexsort((members, node_colour[members], component[members]))]
    if not len(members):
        return []
    starts = np.flatnonzero(np.diff(component[members], prepend=-1))
    alike: dict[bytes, list[IntArray]] = {}
    for branch in np.split(members, starts[1:]):
        alike.setdefault(node_colour[branch].tobytes(), []).append(branch)
    # Branches come in the order of their components, which are numbered by a node of theirs.
    return [np.stack(group) for group in alike.values() if len(group) > 1]


def _colours(instance: Instance) -> tuple[Colours, Colours]:
    """Return hashes of nodes and tensors that are the same where a map of the instance onto itself leads."""
    top = instance.topology.arrays
    nodes = instance.work.astype(np.uint64) * np.uint64(3) + _parameters(instance).astype(np.uint64)
    tensors = instance.tensor_cost.astype(np.uint64)
    count = 0
    while True:
        _recolour(nodes, tensors, top)
        before, count = count, len(np.unique(nodes)) + len(np.unique(tensors))
        if count == before:
            return nodes, tensors


@kernel
def _recolour(nodes: Colours, tensors: Colours, top: TopologyArrays) -> None:
    """Hash into each colour those of all that comes before, then those of all that comes after."""
    consumer_ptr, consumers = top.consumer_ptr, top.consumers
    in_ptr, in_tensors, out_ptr, out_tensors = top.in_ptr, top.in_tensors, top.out_ptr, top.out_tensors
    n = len(nodes)
    for v in range(n):
        total = np.uint64(0)
        for i in range(in_ptr[v], in_ptr[v + 1]):
            total += scrambled(tensors[in_tensors[i]])
        nodes[v] = scrambled(scrambled(nodes[v]) + total)
        for i in range(out_ptr[v], out_ptr[v + 1]):
            t = out_tensors[i]
            tensors[t] = scrambled(scrambled(tensors[t]) + nodes[v])
    for v in range(n - 1, -1, -1):
        total = np.uint64(0)
        for i in range(out_ptr[v], out_ptr[v + 1]):
            t = out_tensors[i]
            after = np.uint64(0)
            for x in range(consumer_ptr[t], consumer_ptr[t + 1]):
                after += scrambled(nodes[consumers[x]])
            tensors[t] = scrambled(scrambled(tensors[t]) + after)
            total += scrambled(tensors[t])
        nodes[v] = scrambled(scrambled(nodes[v]) + total)


@allocating_kernel
def _components(loose: BoolArray, loose_tensor: BoolArray, top: TopologyArrays) -> IntArray:
    """Return the component of each node, by loose tensors between loose nodes."""
    producer, consumer_ptr, consumers = top.producer, top.consumer_ptr, top.consumers
    n = len(loose)
    parent = np.arange(n)
    for t in range(len(producer)):
        if not loose_tensor[t]:
            continue
        root = -1
        for x in range(consumer_ptr[t] - 1, consumer_ptr[t + 1]):
            v = producer[t] if x < consumer_ptr[t] else consumers[x]
            if not loose[v]:
                continue
            v = find_root(parent, v)
            if root < 0:
                root = v
            elif root != v:
                parent[v] = root
    for v in range(n):
        parent[v] = find_root(parent, v)
    return parent


@allocating_kernel
def _maps_tensors(image: IntArray, moved: IntArray, tensor_cost: IntArray, top: TopologyArrays) -> bool:
    """Whether a map of nodes turns every tensor of those it moves into a tensor of the same cost."""
    producer, consumer_ptr, consumers = top.producer, top.consumer_ptr, top.consumers
    in_ptr, in_tensors, out_ptr, out_tensors = top.in_ptr, top.in_tensors, top.out_ptr, top.out_tensors
    asked = np.full(len(image), -1, np.int64)
    for v in moved:
        ins = in_ptr[v + 1] - in_ptr[v]
        for i in range(ins + out_ptr[v + 1] - out_ptr[v]):
            t = in_tensors[in_ptr[v] + i] if i < ins else out_tensors[out_ptr[v] + i - ins]
            for x in range(consumer_ptr[t], consumer_ptr[t + 1]):
                asked[image[consumers[x]]] = t
            source = image[producer[t]]
            found = False
            for j in range(out_ptr[source], out_ptr[source + 1]):
                other = out_tensors[j]
                if tensor_cost[other] != tensor_cost[t]:
                    continue
                if consumer_ptr[other + 1] - consumer_ptr[other] != consumer_ptr[t + 1] - consumer_ptr[t]:
                    continue
                found = True
                for x in range(consumer_ptr[other], consumer_ptr[other + 1]):
                    if asked[consumers[x]] != t:
                        found = False
                        break
                if found:
                    break
            if not found:
                return False
    return True
