"""Makes room for more nets (sets of nodes that share a tensor): copies those in use into larger arrays.

What none of these refers to is left out. Numbers of nets, of parts and of what they lost change, and
with them how the nets of a bucket and of a node follow one another. Nothing depends on that: serials, stamps and the
order of parts are copied.
"""

from __future__ import annotations

import numpy as np

from framework.model.arrays import IntArray, take_slices
from framework.structure.fluid.nets.table import (
    ENTRIES,
    GONE,
    LEAST_MEMORY,
    LIMITED,
    NETS,
    PLACED,
    TAKEN,
    Hypergraph,
    Parts,
    Taken,
    make_hypergraph,
)
from framework.structure.kernel import kernel
from framework.structure.poset.closure import BoolArray


def grown(old: Hypergraph) -> Hypergraph:
    """Return the hypergraph with room for what is needed, and for as much again as is in use."""
    kept = np.flatnonzero(old.nets.state[: old.counts[NETS]] != GONE)
    ptr, pins = pins_of(old, kept)
    parts = parts_of(old, kept)[1]
    roots = old.parts.taken[parts]
    used = np.zeros(old.counts[TAKEN], np.bool_)
    used[roots[roots >= 0]] = True
    _mark(old.taken, used)
    taken = np.flatnonzero(used)
    counts = np.array([len(kept), len(pins), len(parts), len(taken)], np.int64)
    new = make_hypergraph(old.hashes, old.placeless, old.nets.cost.shape[1], 2 * counts + old.need + LEAST_MEMORY)
    new.counts[:] = old.counts
    new.counts[:LIMITED] = counts
    for name in ("cost", "head", "code", "serial", "stamp", "state", "length"):
        getattr(new.nets, name)[: len(kept)] = getattr(old.nets, name)[kept]
    new.nets.start[: len(kept)] = ptr[:-1]
    new.pins[: len(pins)] = pins
    _list_entries(new)
    _fill_buckets(new)
    # -1 stays -1.
    number = np.full(len(used) + 1, -1, np.int64)
    number[taken] = np.arange(len(taken))
    _copy_parts(old.parts, new, kept, parts, number[roots])
    new.taken.node[: len(taken)] = old.taken.node[taken]
    new.taken.one[: len(taken)] = number[old.taken.one[taken]]
    new.taken.other[: len(taken)] = number[old.taken.other[taken]]
    return new


def pins_of(graph: Hypergraph, nets: IntArray) -> tuple[IntArray, IntArray]:
    """Return the pins of nets as (ptr, items)."""
    return take_slices(graph.nets.start[nets], graph.nets.length[nets], graph.pins)


def parts_of(graph: Hypergraph, nets: IntArray) -> tuple[IntArray, IntArray]:
    """Return the net of each part of some nets, as its place among these, and the part; those of a net in turn."""
    counts = graph.parts.length[nets]
    parts = np.empty(counts.sum(), np.int64)
    _list_parts(graph.parts, nets, parts)
    return np.repeat(np.arange(len(nets)), counts), parts


def _list_entries(graph: Hypergraph) -> None:
    """List the nets of each node without a place."""
    nets = np.flatnonzero(graph.nets.state[: graph.counts[NETS]] == PLACED)
    ptr, pins = pins_of(graph, nets)
    net = np.repeat(nets, np.diff(ptr))[graph.placeless[pins]]
    pins = pins[graph.placeless[pins]]
    graph.counts[ENTRIES] = len(net)
    graph.entries.net[: len(net)] = net
    _link(pins, np.arange(len(net)), graph.entries.first, graph.entries.following)


def _fill_buckets(graph: Hypergraph) -> None:
    """Chain the nets of each bucket."""
    records = graph.nets
    nets = np.flatnonzero(records.state[: graph.counts[NETS]] == PLACED)
    buckets = (records.code[nets] + records.head[nets]) & (len(records.bucket) - 1)
    _link(buckets, nets, records.bucket, records.chained)


def _link(keys: IntArray, items: IntArray, first: IntArray, following: IntArray) -> None:
    """Link the items of each key: `first` holds -1 so far."""
    order = np.argsort(keys, kind="stable")
    keys, items = keys[order], items[order]
    starts = np.diff(keys, prepend=-1) != 0
    first[keys[starts]] = items[starts]
    following[items] = np.where(np.append(starts[1:], True), -1, np.append(items[1:], -1))


def _copy_parts(old: Parts, new: Hypergraph, kept: IntArray, parts: IntArray, taken: IntArray) -> None:
    """Copy the parts of the kept nets, those of a net one behind the other."""
    counts = old.length[kept]
    new.parts.length[: len(kept)] = counts
    new.parts.last[: len(kept)] = np.cumsum(counts) - 1
    new.parts.first[: len(kept)] = np.cumsum(counts) - counts
    new.parts.cost[: len(parts)] = old.cost[parts]
    new.parts.taken[: len(parts)] = taken
    new.parts.before[: len(parts)] = np.arange(len(parts)) - 1


@kernel
def _list_parts(parts: Parts, nets: IntArray, listed: IntArray) -> None:
    """Fill `listed` with the parts of some nets."""
    end = 0
    for net in nets:
        end += parts.length[net]
        part = parts.last[net]
        for i in range(end - 1, end - 1 - parts.length[net], -1):
            listed[i] = part
            part = parts.before[part]


@kernel
def _mark(taken: Taken, used: BoolArray) -> None:
    """Mark all that was taken out before what is marked; it has lower numbers."""
    for number in range(len(used) - 1, -1, -1):
        if used[number]:
            if taken.one[number] >= 0:
                used[taken.one[number]] = True
            if taken.other[number] >= 0:
                used[taken.other[number]] = True
