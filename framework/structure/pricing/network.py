"""Pricing networks: minimum cuts that bound the total price of a stage of cost at most T.

With prices pi on nodes of either sign, a share theta in {0, 1} of the parameters and a multiplier num / den >= 0,

    den pi(S) <= num (T + theta capacity) + max over R of den pi(R) - num (w + theta p)(R) - num cut(R)

for every S with f(S) <= T, because f(S) >= (w + theta p)(S) + cut(S) - theta capacity. The maximum is a minimum cut:
cut is submodular, and so is p, which counts a parameter that several nodes of R use once. Such a parameter is a vertex
with infinite arcs from its users and an arc to the sink, as a net that has a pin outside. The maximum is taken over the
sets R that hold the nodes *in*, avoid the nodes *out*, and are closed as in `framework.structure.flow.convex_cuts` with
all nodes in as anchors; so it holds for every convex S. All of that is decided beforehand where possible: nodes between
two nodes in are in, what a node out separates from a node in is out, both disappear from the network, and nets shrink
with them. What remains is small; thousands of such cuts a second are what branch and bound needs.

Source: the Lagrangian of a knapsack-like constraint over a submodular function, as in parametric flows (Gallo,
Grigoriadis, Tarjan, 1989); the reduction of the network by convexity is this project's.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from framework.model.arrays import IntArray, row_pointers, take_rows
from framework.model.instance import Instance
from framework.structure.bit_sets import BitArray
from framework.structure.flow.max_flow import COUNTERS, INFINITE, MET, VALUE, FlowArrays, SmallArray, augment_flow
from framework.structure.kernel import kernel
from framework.structure.poset.closure import Closure, transitive_reduction, word_count

RoleArray = NDArray[np.int8]

IN, FREE, OUT = 1, 0, -1
"""What has been decided about a node."""

FREE_NODES, ARCS, FIXED = range(3)
"""Sizes of a network: free nodes, arcs without those from the source and to the sink, and what all of its sets cost."""
_SIZES = 3
_SOURCE, _SINK, _FIRST_NODE = 0, 1, 2
_ENDLESS = -1
"""Mark of an arc of infinite capacity."""


class Shape(NamedTuple):
    """An instance as the kernels see it; nets are tensors of positive cost with their producer as first pin.

    The users of shared parameter q are ``users[user_ptr[q]:user_ptr[q + 1]]``.
    """

    work: IntArray
    parameters: IntArray
    capacity: int
    net_ptr: IntArray
    net_pins: IntArray
    net_cost: IntArray
    user_ptr: IntArray
    users: IntArray
    shared_cost: IntArray
    succ_ptr: IntArray
    succs: IntArray
    pred_ptr: IntArray
    preds: IntArray
    ancestors: BitArray
    descendants: BitArray


class Incidence(NamedTuple):
    """The nets of each node, ``nets[ptr[v]:ptr[v + 1]]``, in the numbering of a `Shape`."""

    ptr: IntArray
    nets: IntArray


class Network(NamedTuple):
    """Memory for one network at a time; `sizes` as named above.

    Vertices are source, sink, free nodes, nets. Arcs come in pairs: `place` and `back` say where an arc and its
    reverse are in the adjacency, `cost` what it costs (`_ENDLESS` for infinite), `both` whether either way. After them
    come two arcs per free node, from the source and to the sink. `linear` is what each free node costs by itself,
    in ticks. `flow` and `residual` are what a flow runs on.
    """

    status: RoleArray
    opened: RoleArray
    below: BitArray
    above: BitArray
    blocked: BitArray
    ruled_out: BitArray
    bare: BitArray
    local: IntArray
    nodes: IntArray
    linear: IntArray
    tail: SmallArray
    head: SmallArray
    cost: IntArray
    both: NDArray[np.bool_]
    place: SmallArray
    back: SmallArray
    flow: FlowArrays
    residual: IntArray
    sizes: IntArray


def shape_of(instance: Instance, reach: Closure) -> Shape:
    """Return the arrays of an instance that the kernels work on."""
    n, top = instance.n, instance.topology
    tails, heads = transitive_reduction(instance)
    nets = np.flatnonzero(instance.tensor_cost > 0)
    ptr, consumers = take_rows(top.consumer_ptr, top.consumers, nets)
    by_head = np.argsort(heads, kind="stable")
    return Shape(
        work=np.ascontiguousarray(instance.work),
        parameters=np.ascontiguousarray(instance.parameter_cost),
        capacity=instance.bounded_capacity,
        net_ptr=ptr + np.arange(len(ptr), dtype=np.int64),
        net_pins=np.insert(consumers, ptr[:-1], top.producer[nets]).astype(np.int64),
        net_cost=np.ascontiguousarray(instance.tensor_cost[nets]),
        user_ptr=np.ascontiguousarray(instance.shared.ptr),
        users=np.ascontiguousarray(instance.shared.users),
        shared_cost=np.ascontiguousarray(instance.shared_cost),
        succ_ptr=row_pointers(tails, n),
        succs=np.ascontiguousarray(heads),
        pred_ptr=row_pointers(heads, n),
        preds=np.ascontiguousarray(tails[by_head]),
        ancestors=reach.ancestors,
        descendants=reach.descendants,
    )


def incidence_of(shape: Shape) -> Incidence:
    """Return the nets of each node."""
    net = np.repeat(np.arange(len(shape.net_cost), dtype=np.int64), np.diff(shape.net_ptr))
    by_node = np.argsort(shape.net_pins, kind="stable")
    return Incidence(
        ptr=row_pointers(shape.net_pins, len(shape.work)),
        nets=np.ascontiguousarray(net[by_node]),
    )


def network_for(shape: Shape) -> Network:
    """Return memory that is large enough for every network of a shape."""
    n, nets, pins = len(shape.work), len(shape.net_cost), len(shape.net_pins)
    words = shape.ancestors.shape[1]
    vertices = _FIRST_NODE + n + 2 * nets + len(shape.shared_cost)
    arcs = 2 * pins + nets + len(shape.succs) + len(shape.preds) + len(shape.users) + len(shape.shared_cost)
    total = arcs + 2 * n
    return Network(
        status=np.zeros(n, np.int8),
        opened=np.zeros(nets, np.int8),
        below=np.zeros(words, np.uint64),
        above=np.zeros(words, np.uint64),
        blocked=np.zeros(words, np.uint64),
        ruled_out=np.zeros(words, np.uint64),
        bare=np.zeros(word_count(nets), np.uint64),
        local=np.zeros(n, np.int64),
        nodes=np.zeros(n, np.int64),
        linear=np.zeros(n, np.int64),
        tail=np.zeros(total, np.int32),
        head=np.zeros(total, np.int32),
        cost=np.zeros(total, np.int64),
        both=np.zeros(total, np.bool_),
        place=np.zeros(total, np.int32),
        back=np.zeros(total, np.int32),
        flow=FlowArrays(
            first=np.zeros(vertices + 1, np.int64),
            head=np.zeros(2 * total, np.int32),
            reverse=np.zeros(2 * total, np.int32),
            level=np.zeros(vertices, np.int64),
            cursor=np.zeros(vertices, np.int64),
            queue=np.zeros(vertices, np.int32),
            path=np.zeros(vertices, np.int32),
            counters=np.zeros(COUNTERS, np.int64),
        ),
        residual=np.zeros(2 * total, np.int64),
        sizes=np.zeros(_SIZES, np.int64),
    )


@kernel
def has(bits: BitArray, v: int) -> bool:
    """Whether a node is in a bit set."""
    return bool(bits[v >> 6] >> np.uint64(v & 63) & np.uint64(1))


@kernel
def build_network(shape: Shape, share: int, network: Network) -> None:
    """Build the network of the free nodes of `status`; capacities come later. Nets `opened` cost once touched."""
    status, local, nodes, linear, sizes = (
        network.status,
        network.local,
        network.nodes,
        network.linear,
        network.sizes,
    )
    free = 0
    fixed = 0
    for v in range(len(status)):
        if status[v] == FREE:
            local[v] = _FIRST_NODE + free
            nodes[free] = v
            linear[free] = shape.work[v] + share * shape.parameters[v]
            free += 1
        elif status[v] == IN:
            fixed += shape.work[v] + share * shape.parameters[v]
    vertices = _FIRST_NODE + free
    arcs = 0
    for t in range(len(shape.net_cost)):
        cost = shape.net_cost[t]
        start, stop = shape.net_ptr[t], shape.net_ptr[t + 1]
        inside = loose = 0
        outside = int(network.opened[t])
        last = before = -1
        for i in range(start, stop):
            x = shape.net_pins[i]
            if status[x] == FREE:
                loose += 1
                before = last
                last = x
            elif status[x] == IN:
                inside += 1
            else:
                outside += 1
        if inside and outside:
            fixed += cost
        elif loose == 0:
            continue
        elif loose == 1 and inside:
            fixed += cost
            linear[local[last] - _FIRST_NODE] -= cost
        elif loose == 1:
            linear[local[last] - _FIRST_NODE] += cost
        elif loose == 2 and not inside and not outside:
            arcs = _add_arc(network, arcs, local[before], local[last], cost, True)
        else:
            near, far = _SOURCE, _SINK
            if not inside:
                near = vertices
                vertices += 1
            if not outside:
                far = vertices
                vertices += 1
            arcs = _add_arc(network, arcs, near, far, cost, False)
            for i in range(start, stop):
                x = shape.net_pins[i]
                if status[x] == FREE:
                    if not inside:
                        arcs = _add_arc(network, arcs, local[x], near, _ENDLESS, False)
                    if not outside:
                        arcs = _add_arc(network, arcs, far, local[x], _ENDLESS, False)
    for i in range(free):
        x = nodes[i]
        if has(network.below, x):
            for e in range(shape.pred_ptr[x], shape.pred_ptr[x + 1]):
                y = shape.preds[e]
                if status[y] == FREE and has(network.below, y):
                    arcs = _add_arc(network, arcs, local[x], local[y], _ENDLESS, False)
        elif has(network.above, x):
            for e in range(shape.succ_ptr[x], shape.succ_ptr[x + 1]):
                y = shape.succs[e]
                if status[y] == FREE and has(network.above, y):
                    arcs = _add_arc(network, arcs, local[x], local[y], _ENDLESS, False)
    if share and len(shape.shared_cost):
        vertices, arcs, more = _add_shared(shape, share, network, vertices, arcs)
        fixed += more
    sizes[FREE_NODES], sizes[ARCS], sizes[FIXED] = free, arcs, fixed
    for i in range(free):
        _add_arc(network, arcs + 2 * i, _SOURCE, _FIRST_NODE + i, 0, False)
        _add_arc(network, arcs + 2 * i + 1, _FIRST_NODE + i, _SINK, 0, False)
    _index_arcs(network, vertices, arcs + 2 * free)


@kernel
def _add_shared(shape: Shape, share: int, network: Network, vertices: int, arcs: int) -> tuple[int, int, int]:
    """Add the shared parameters; return vertices and arcs with them, and what every set pays.

    One that a node in uses is paid anyway; one with a single free user belongs to that user.
    """
    status, local = network.status, network.local
    fixed = 0
    for q in range(len(shape.shared_cost)):
        cost = share * shape.shared_cost[q]
        start, stop = shape.user_ptr[q], shape.user_ptr[q + 1]
        loose, last = 0, -1
        held = cost == 0
        for i in range(start, stop):
            x = shape.users[i]
            if status[x] == FREE:
                loose += 1
                last = x
            elif status[x] == IN:
                held = True
        if held:
            fixed += cost
        elif loose == 1:
            network.linear[local[last] - _FIRST_NODE] += cost
        elif loose:
            for i in range(start, stop):
                if status[shape.users[i]] == FREE:
                    arcs = _add_arc(network, arcs, local[shape.users[i]], vertices, _ENDLESS, False)
            arcs = _add_arc(network, arcs, vertices, _SINK, cost, False)
            vertices += 1
    return vertices, arcs, fixed


@kernel
def held_shared(shape: Shape, members: RoleArray) -> int:
    """Return what the members, marked with 1, hold of shared parameters, each once."""
    total = 0
    for q in range(len(shape.shared_cost)):
        for i in range(shape.user_ptr[q], shape.user_ptr[q + 1]):
            if members[shape.users[i]]:
                total += shape.shared_cost[q]
                break
    return int(total)


@kernel
def _add_arc(network: Network, arcs: int, tail: int, head: int, cost: int, both: bool) -> int:
    network.tail[arcs] = tail
    network.head[arcs] = head
    network.cost[arcs] = cost
    network.both[arcs] = both
    return arcs + 1


@kernel
def _index_arcs(network: Network, vertices: int, arcs: int) -> None:
    """Fill the adjacency: the arcs of a vertex, forward and reverse, side by side."""
    flow, first, tail, head = network.flow, network.flow.first, network.tail, network.head
    for v in range(vertices + 1):
        first[v] = 0
    for a in range(arcs):
        first[tail[a] + 1] += 1
        first[head[a] + 1] += 1
    for v in range(vertices):
        first[v + 1] += first[v]
    for a in range(arcs - 1, -1, -1):
        first[tail[a] + 1] -= 1
        network.place[a] = first[tail[a] + 1]
        first[head[a] + 1] -= 1
        network.back[a] = first[head[a] + 1]
    # Every first[v + 1] has moved down to the start of v's row: shift the pointers back into place.
    total = 2 * arcs
    for v in range(vertices):
        first[v] = first[v + 1]
    first[vertices] = total
    for a in range(arcs):
        forward, backward = network.place[a], network.back[a]
        flow.head[forward] = head[a]
        flow.head[backward] = tail[a]
        flow.reverse[forward] = backward
        flow.reverse[backward] = forward


@kernel
def solve_network(network: Network, prices: IntArray, num: int, den: int, enough: int) -> int:
    """Return ``max den pi(R) - num cost(R)`` over the network, or any upper bound on it that is below `enough`.

    `cost` is ``(w + theta p)(R) + cut(R)`` with the share the network was built for. If the value returned is at
    least `enough`, it is the maximum, and `queue` holds the source side of the cut (see `read_set`).
    """
    free, arcs = network.sizes[FREE_NODES], network.sizes[ARCS]
    residual = network.residual
    value = -num * int(network.sizes[FIXED])
    for v in range(len(network.status)):
        if network.status[v] == IN:
            value += den * prices[v]
    for a in range(arcs):
        capacity = INFINITE if network.cost[a] == _ENDLESS else num * network.cost[a]
        residual[network.place[a]] = capacity
        residual[network.back[a]] = capacity if network.both[a] else 0
    for i in range(free):
        weight = den * prices[network.nodes[i]] - num * network.linear[i]
        a = arcs + 2 * i
        residual[network.place[a]] = max(weight, 0)
        residual[network.back[a]] = 0
        residual[network.place[a + 1]] = max(-weight, 0)
        residual[network.back[a + 1]] = 0
        value += max(weight, 0)
    if value < enough:
        return int(value)
    network.flow.counters[VALUE] = 0
    augment_flow(network.flow, residual, _SOURCE, _SINK, value - enough + 1, 1 << 60)
    return int(value - network.flow.counters[VALUE])


@kernel
def read_set(network: Network, members: RoleArray) -> None:
    """Mark with 1 the nodes of the set that the latest `solve_network` found, with 0 all others."""
    for v in range(len(members)):
        members[v] = 1 if network.status[v] == IN else 0
    for i in range(network.flow.counters[MET]):
        u = network.flow.queue[i]
        if _FIRST_NODE <= u < _FIRST_NODE + network.sizes[FREE_NODES]:
            members[network.nodes[u - _FIRST_NODE]] = 1
