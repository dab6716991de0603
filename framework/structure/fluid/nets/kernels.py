"""Takes nodes out of nets and merges the nets that had such a node in common, in compiled loops.

They do what `framework.structure.fluid.nets.elimination` proves to cost no stage more.
"""

from __future__ import annotations

from framework.model.arrays import IntArray
from framework.structure.fluid.nets.table import (
    LIMITED,
    MOST_PARTS,
    NETS,
    PARTS,
    PINS,
    PLACED,
    SINGLE,
    STAMPS,
    TAKEN,
    Hypergraph,
    Records,
    add_part,
    add_pins,
    add_taken,
    begin,
    displace,
    place,
    put,
)
from framework.structure.kernel import kernel

LARGEST_NET = 64
"""Nodes of a merged net; larger ones are cut by almost every stage or by none, and cost time in every step."""


@kernel
def add_tensors(
    graph: Hypergraph,
    order: IntArray,
    producer: IntArray,
    ptr: IntArray,
    consumers: IntArray,
    cost: IntArray,
    remember: bool,
) -> None:
    """Make nets of tensors, in the given order; a part of each is all that it costs, if they `remember`.

    Parameters
    ----------
    order, producer
        ``[tensors]``
    ptr, consumers
        ``[tensors + 1]``, ``[pins]``
    cost
        ``[kinds, tensors]``
    """
    for t in order:
        paid = 0
        for kind in range(len(cost)):
            paid |= cost[kind, t]
        if paid and ptr[t] < ptr[t + 1]:
            net = begin(graph, producer[t])
            for kind in range(len(cost)):
                graph.nets.cost[net, kind] = cost[kind, t]
            add_pins(graph, consumers, ptr[t], ptr[t + 1], -1, producer[t])
            if remember:
                add_part(graph, net, cost[0, t], -1)
            put(graph, net)


@kernel
def take_out(graph: Hypergraph, nodes: IntArray, first: int, steps: int, given: IntArray) -> int:
    """Take nodes out of all their nets, from place `first` of `nodes` on, and return where that ended.

    It ends after so many steps, or before a node that there may be no room for: `need` says how much, or 0.

    Parameters
    ----------
    given
        ``[2, 2, MOST_PARTS]`` memory: parts that two nets give away, their costs and what was taken out of them.
    """
    counts, need = graph.counts, graph.need
    for place_of_node in range(first, len(nodes)):
        if steps <= 0:
            return place_of_node
        f = nodes[place_of_node]
        size = _collect(graph, f)
        if (
            counts[NETS] + need[NETS] > len(graph.here)
            or counts[PINS] + need[PINS] > len(graph.pins)
            or counts[PARTS] + need[PARTS] > len(graph.parts.cost)
            or counts[TAKEN] + need[TAKEN] > len(graph.taken.node)
        ):
            return place_of_node
        for i in range(LIMITED):
            need[i] = 0
        before = counts[PINS] + counts[PARTS] + counts[TAKEN]
        steps -= 1 + size + _eliminate(graph, f, size, given)
        steps -= counts[PINS] + counts[PARTS] + counts[TAKEN] - before
    return len(nodes)


@kernel
def _collect(graph: Hypergraph, f: int) -> int:
    """Find the nets of a node, and bound what it needs; return how many these are."""
    nets, need = graph.nets, graph.need
    size = pairs = longest = parts = 0
    entry = graph.entries.first[f]
    while entry >= 0:
        net = graph.entries.net[entry]
        if nets.state[net] == PLACED:
            graph.here[size] = net
            size += 1
            pairs += nets.length[net] == 2
            longest = max(longest, nets.length[net])
            parts += graph.parts.length[net]
        entry = graph.entries.following[entry]
    # Merging takes all that one of two nets costs on one kind of device.
    merged = size * nets.cost.shape[1] if pairs else 0
    need[NETS] = merged
    need[PINS] = merged * min(longest, LARGEST_NET)
    # A merged net has one part for each end of a part of either, and each part may be split where it gives less.
    need[PARTS] = parts + 2 * merged if parts else 0
    need[TAKEN] = need[PARTS] + parts
    return size


@kernel
def _eliminate(graph: Hypergraph, f: int, size: int, given: IntArray) -> int:
    """Take a node out of all its nets, merging nets of two pins with others; return the steps that merging took.

    Dear nets are partners first: what a merged net costs is the cheaper of the two.
    """
    nets, pins, here = graph.nets, graph.pins, graph.here
    graph.entries.first[f] = -1
    _sort(nets, here, size)
    for i in range(size):
        displace(nets, here[i])
    made = graph.counts[NETS]
    steps = first = 0
    for i in range(size):
        pair = here[i]
        if nets.length[pair] != 2:
            continue
        end = pins[nets.start[pair]] + pins[nets.start[pair] + 1] - f
        while first < size and not _costs(nets, here[first]):
            first += 1
        for j in range(first, size):
            if not _costs(nets, pair):
                break
            steps += 1
            if j != i:
                _merge(graph, f, pair, here[j], end, given)
    for i in range(size):
        _keep_rest(graph, f, here[i])
    for net in range(made, graph.counts[NETS]):
        put(graph, net)
    return steps


@kernel
def _costs(nets: Records, net: int) -> bool:
    paid = 0
    for kind in range(nets.cost.shape[1]):
        paid |= nets.cost[net, kind]
    return paid > 0


@kernel
def _sort(nets: Records, here: IntArray, size: int) -> None:
    """Sort nets, those that come first to the front: a heap of the others, the last on top."""
    for place_in_heap in range(size // 2 - 1, -1, -1):
        _sink(nets, here, place_in_heap, size)
    for last in range(size - 1, 0, -1):
        here[0], here[last] = here[last], here[0]
        _sink(nets, here, 0, last)


@kernel
def _sink(nets: Records, here: IntArray, at: int, size: int) -> None:
    net = here[at]
    while 2 * at + 1 < size:
        child = 2 * at + 1
        if child + 1 < size and _comes_first(nets, here[child], here[child + 1]):
            child += 1
        if not _comes_first(nets, net, here[child]):
            break
        here[at] = here[child]
        at = child
    here[at] = net


@kernel
def _comes_first(nets: Records, a: int, b: int) -> bool:
    """Whether net a is dearer than b on the last kind of device on which they differ, or made before it."""
    for kind in range(nets.cost.shape[1] - 1, -1, -1):
        if nets.cost[a, kind] != nets.cost[b, kind]:
            return bool(nets.cost[a, kind] > nets.cost[b, kind])
    return bool(nets.serial[a] < nets.serial[b])


@kernel
def _merge(graph: Hypergraph, f: int, pair: int, other: int, end: int, given: IntArray) -> None:
    """Merge a net of f and `end` with another one of f, if that costs something and is small enough.

    The merged net is not placed yet: what is left of both may be equal to it, and comes first.
    """
    nets, cost = graph.nets, graph.nets.cost
    shared, kinds = 0, cost.shape[1]
    for kind in range(kinds):
        shared |= min(cost[pair, kind], cost[other, kind])
    size, start = nets.length[other], nets.start[other]
    if not shared or size > LARGEST_NET + 1:
        return
    for i in range(start, start + nets.length[other]):
        if graph.pins[i] == end:
            size -= 1
    if not 2 <= size <= LARGEST_NET:
        return
    head = -1
    # If f heads one, the head of the other is an ancestor of all of both.
    if nets.head[other] == f and nets.head[pair] != f:
        head = nets.head[pair]
    elif nets.head[pair] == f and nets.head[other] != f:
        head = nets.head[other]
    net = begin(graph, head)
    for kind in range(kinds):
        least = min(cost[pair, kind], cost[other, kind])
        cost[net, kind] = least
        cost[pair, kind] -= least
        cost[other, kind] -= least
    add_pins(graph, graph.pins, start, start + nets.length[other], f, end)
    # Parts are those of the only kind.
    _join(graph, f, net, _give(graph, pair, cost[net, 0], given[0]), _give(graph, other, cost[net, 0], given[1]), given)


@kernel
def _give(graph: Hypergraph, net: int, cost: int, given: IntArray) -> int:
    """Give away the parts of so much of what a net costs, or did until now; return how many these are."""
    parts, count = graph.parts, 0
    if not graph.nets.cost[net, 0]:
        count = int(parts.length[net])
        for i in range(count - 1, -1, -1):
            given[0, i], given[1, i] = parts.cost[parts.last[net]], parts.taken[parts.last[net]]
            parts.last[net] = parts.before[parts.last[net]]
        parts.length[net] = 0
        return count
    while cost and parts.length[net]:
        part = parts.last[net]
        paid = min(parts.cost[part], cost)
        given[0, count], given[1, count] = paid, parts.taken[part]
        count += 1
        cost -= paid
        parts.cost[part] -= paid
        if not parts.cost[part]:
            parts.last[net] = parts.before[part]
            parts.length[net] -= 1
    return count


@kernel
def _join(graph: Hypergraph, f: int, net: int, ones: int, others: int, given: IntArray) -> None:
    """Give a merged net its parts, so many of one and the other net that f is taken out of."""
    i = j = 0
    while i < ones and j < others and graph.parts.length[net] < MOST_PARTS:
        cost = min(given[0, 0, i], given[1, 0, j])
        add_part(graph, net, cost, add_taken(graph, f, given[0, 1, i], given[1, 1, j]))
        given[0, 0, i] -= cost
        given[1, 0, j] -= cost
        i += given[0, 0, i] == 0
        j += given[1, 0, j] == 0


@kernel
def _keep_rest(graph: Hypergraph, f: int, net: int) -> None:
    """Take a node out of what merging left of one of its nets, and place that if it still costs something."""
    nets, pins, parts = graph.nets, graph.pins, graph.parts
    to = nets.start[net]
    for i in range(nets.start[net], nets.start[net] + nets.length[net]):
        if pins[i] != f:
            pins[to] = pins[i]
            to += 1
    nets.length[net] -= 1
    nets.code[net] ^= graph.hashes[f]
    if nets.head[net] == f:
        nets.head[net] = -1
    part = parts.last[net]
    for _ in range(parts.length[net]):
        parts.taken[part] = add_taken(graph, f, parts.taken[part], -1)
        part = parts.before[part]
    if nets.length[net] > 1 and _costs(nets, net):
        place(graph, net)
    elif nets.length[net] == 1 and parts.length[net] and not graph.placeless[pins[nets.start[net]]]:
        # It costs the core nothing.
        nets.state[net] = SINGLE
        graph.counts[STAMPS] += 1
        nets.stamp[net] = graph.counts[STAMPS]
