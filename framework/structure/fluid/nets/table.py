"""Keeps nets in arrays, and finds those with the same nodes by a hash, so that their costs are added.

Pins, parts and what was taken out of them (`framework.structure.fluid.nets.elimination`) are appended to arrays and
never given back one by one; `framework.structure.fluid.nets.growth` makes room.

Costs of nets only move from net to net, so all sums of them are at most that of the tensors, on each kind of device
(`framework.model.instance.MAX_TOTAL`). Hashes are below 2^62, and a head is added at most.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from framework.model.arrays import IntArray
from framework.structure.kernel import kernel
from framework.structure.poset.closure import BoolArray

COUNTS, LIMITED = 7, 4
NETS, PINS, PARTS, TAKEN, ENTRIES, SERIALS, STAMPS = range(COUNTS)
"""Places in `Hypergraph.counts`: the first four are `LIMITED` by memory, and entries by that of pins."""
GONE, PLACED, SINGLE = range(3)
"""States of a net: in no table, in the table, and of one core node, which is remembered for its parts alone."""
MOST_PARTS = 1000
"""Parts of a net of which it is remembered what was taken out."""
LEAST_MEMORY = 1 << 14
"""Room for so many more at least, of whatever is limited."""


class Records(NamedTuple):
    """Nets.

    Attributes
    ----------
    cost
        ``[nets, kinds]``
    head
        ``[nets]`` the pin that is an ancestor of all others, or -1 if there may be none.
    code
        ``[nets]`` the hash of its pins: the exclusive or of those of nodes.
    serial
        ``[nets]`` counts the nets made, so that those of equal costs are taken in the same order in every run.
    stamp
        ``[nets]`` counts how often nets were placed.
    state
        ``[nets]`` `GONE`, `PLACED` or `SINGLE`.
    start, length
        ``[nets]`` where its pins are, and how many.
    chained
        ``[nets]`` the next net in the same bucket, or -1.
    bucket
        ``[a power of 2]`` the first net there, or -1.
    """

    cost: IntArray
    head: IntArray
    code: IntArray
    serial: IntArray
    stamp: IntArray
    state: IntArray
    start: IntArray
    length: IntArray
    chained: IntArray
    bucket: IntArray


class Entries(NamedTuple):
    """Which nets a node without a place is in; those that are gone stay listed.

    Attributes
    ----------
    first
        ``[n]`` the first entry of each node, or -1.
    net, following
        ``[pins]`` the net of an entry, and the next entry of the same node, or -1.
    """

    first: IntArray
    net: IntArray
    following: IntArray


class Parts(NamedTuple):
    """Parts of the costs of nets, and what was taken out of them.

    Attributes
    ----------
    first, last, length
        ``[nets]`` the parts of each net and how many, at most `MOST_PARTS`; none where that is not remembered.
    cost, before
        ``[parts]`` what a part costs, and the part before it.
    taken
        ``[parts]`` what was taken out of it, or -1 for nothing.
    """

    first: IntArray
    last: IntArray
    length: IntArray
    cost: IntArray
    before: IntArray
    taken: IntArray


class Taken(NamedTuple):
    """What was taken out of parts: one node, and what before of the nets that it was taken out of.

    Attributes
    ----------
    node
        ``[taken]``
    one, other
        ``[taken]`` places in these arrays, lower than its own, or -1 for nothing.
    """

    node: IntArray
    one: IntArray
    other: IntArray


class Hypergraph(NamedTuple):
    """All nets, and memory.

    Attributes
    ----------
    counts
        ``[COUNTS]`` how many there are of each.
    need
        ``[LIMITED]`` how many more a node may need that there was no room for, or 0.
    hashes, placeless
        ``[n]`` a random number for each node, and which nodes are taken out.
    pins
        ``[pins]`` the nodes of nets, ascending in each.
    here
        ``[nets]`` memory: the nets of one node.
    """

    counts: IntArray
    need: IntArray
    hashes: IntArray
    placeless: BoolArray
    nets: Records
    pins: IntArray
    entries: Entries
    parts: Parts
    taken: Taken
    here: IntArray


def make_hypergraph(hashes: IntArray, placeless: BoolArray, kinds: int, room: IntArray) -> Hypergraph:
    """Return a hypergraph without nets.

    Parameters
    ----------
    hashes, placeless
        ``[n]``
    room
        ``[LIMITED]`` how many nets, pins, parts and nodes taken out of parts there is memory for.
    """
    nets, pins, parts, taken = room.tolist()

    def some(count: int) -> IntArray:
        return np.empty(count, np.int64)

    buckets = np.full(1 << max(1, nets).bit_length(), -1, np.int64)
    return Hypergraph(
        counts=np.zeros(COUNTS, np.int64),
        need=np.zeros(LIMITED, np.int64),
        hashes=hashes,
        placeless=placeless,
        nets=Records._make((np.empty((nets, kinds), np.int64), *(some(nets) for _ in range(8)), buckets)),
        pins=some(pins),
        entries=Entries(np.full(len(placeless), -1, np.int64), some(pins), some(pins)),
        parts=Parts(*(some(nets) for _ in range(3)), *(some(parts) for _ in range(3))),
        taken=Taken(*(some(taken) for _ in range(3))),
        here=some(nets),
    )


@kernel
def begin(graph: Hypergraph, head: int) -> int:
    """Make a net without pins and parts, which is not placed, and whose cost is not set."""
    counts, nets = graph.counts, graph.nets
    net = int(counts[NETS])
    counts[NETS] += 1
    counts[SERIALS] += 1
    nets.head[net], nets.code[net], nets.serial[net], nets.state[net] = head, 0, counts[SERIALS], GONE
    nets.start[net], nets.length[net], graph.parts.length[net] = counts[PINS], 0, 0
    return net


@kernel
def add_pins(graph: Hypergraph, row: IntArray, first: int, last: int, without: int, more: int) -> None:
    """Give the newest net the pins ``row[first:last]``, which ascend, but for one, and with one more."""
    missing = True
    for i in range(first, last):
        v = row[i]
        if missing and v >= more:
            _add_pin(graph, more)
            missing = False
        if v not in (without, more):
            _add_pin(graph, v)
    if missing:
        _add_pin(graph, more)


@kernel
def _add_pin(graph: Hypergraph, v: int) -> None:
    net = graph.counts[NETS] - 1
    graph.pins[graph.counts[PINS]] = v
    graph.counts[PINS] += 1
    graph.nets.length[net] += 1
    graph.nets.code[net] ^= graph.hashes[v]


@kernel
def add_taken(graph: Hypergraph, v: int, one: int, other: int) -> int:
    """Return what is taken out of a part: a node, and what was taken out of the nets before."""
    number = int(graph.counts[TAKEN])
    graph.counts[TAKEN] += 1
    graph.taken.node[number], graph.taken.one[number], graph.taken.other[number] = v, one, other
    return number


@kernel
def add_part(graph: Hypergraph, net: int, cost: int, taken: int) -> None:
    """Add a part after all others of a net."""
    parts, part = graph.parts, graph.counts[PARTS]
    graph.counts[PARTS] += 1
    parts.cost[part], parts.taken[part], parts.before[part] = cost, taken, parts.last[net]
    if not parts.length[net]:
        parts.first[net] = part
    parts.last[net] = part
    parts.length[net] += 1


@kernel
def put(graph: Hypergraph, net: int) -> None:
    """Place a new net, so that its nodes know it."""
    nets, entries = graph.nets, graph.entries
    if place(graph, net):
        for i in range(nets.start[net], nets.start[net] + nets.length[net]):
            v = graph.pins[i]
            if graph.placeless[v]:
                entry = graph.counts[ENTRIES]
                graph.counts[ENTRIES] += 1
                entries.net[entry], entries.following[entry] = net, entries.first[v]
                entries.first[v] = entry


@kernel
def place(graph: Hypergraph, net: int) -> bool:
    """Put a net into the table, or add it to an equal one there and return False."""
    nets = graph.nets
    bucket = _bucket(nets, net)
    there = nets.bucket[bucket]
    while there >= 0 and not _equal(graph, net, there):
        there = nets.chained[there]
    if there >= 0:
        for kind in range(nets.cost.shape[1]):
            nets.cost[there, kind] += nets.cost[net, kind]
        _add_parts(graph.parts, there, net)
        return False
    nets.chained[net], nets.bucket[bucket] = nets.bucket[bucket], net
    nets.state[net] = PLACED
    graph.counts[STAMPS] += 1
    nets.stamp[net] = graph.counts[STAMPS]
    return True


@kernel
def displace(nets: Records, net: int) -> None:
    """Take a net out of the table."""
    nets.state[net] = GONE
    bucket = _bucket(nets, net)
    there = nets.bucket[bucket]
    if there == net:
        nets.bucket[bucket] = nets.chained[net]
        return
    while nets.chained[there] != net:
        there = nets.chained[there]
    nets.chained[there] = nets.chained[net]


@kernel
def _bucket(nets: Records, net: int) -> int:
    return int(nets.code[net] + nets.head[net]) & (len(nets.bucket) - 1)


@kernel
def _equal(graph: Hypergraph, a: int, b: int) -> bool:
    nets, pins = graph.nets, graph.pins
    if nets.code[a] != nets.code[b] or nets.head[a] != nets.head[b] or nets.length[a] != nets.length[b]:
        return False
    alike = 0
    while alike < nets.length[a] and pins[nets.start[a] + alike] == pins[nets.start[b] + alike]:
        alike += 1
    return bool(alike == nets.length[a])


@kernel
def _add_parts(parts: Parts, there: int, net: int) -> None:
    """Add the parts of a net after those of another, as far as `MOST_PARTS` allows."""
    if not parts.length[net]:
        return
    if parts.length[there]:
        parts.before[parts.first[net]] = parts.last[there]
    else:
        parts.first[there] = parts.first[net]
    parts.last[there] = parts.last[net]
    parts.length[there] += parts.length[net]
    while parts.length[there] > MOST_PARTS:
        parts.last[there] = parts.before[parts.last[there]]
        parts.length[there] -= 1
