"""All ideals (down-sets) of an instance, with their work, parameters and cut, and how they cover each other.

Prefixes of the stages of a partition are ideals, so a chain of ideals is a partition and vice versa: where the
ideals can be enumerated, the problem is a shortest-path problem (see `framework.structure.ideals.chain_dp`).

Every ideal but the empty one is a smaller ideal plus one node whose predecessors lie in it. Breadth-first search over
"add one available node" therefore meets every ideal; an open-addressing table finds the ones met before. Equality is
decided on the whole bitset, so nothing rests on the hash. Source: the dynamic program of Tarnawski et al.,
NeurIPS 2020, runs over the same lattice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from framework.model.arrays import IntArray
from framework.model.instance import Instance
from framework.model.topology import TopologyArrays
from framework.structure.bit_sets import BitArray, holds
from framework.structure.kernel import allocating_kernel, inlined_kernel, kernel

SmallArray = NDArray[np.int32]

EXPANSIONS_A_CALL = 5_000
"""Ideals expanded before a kernel call returns to Python: a tenth of a second on the largest graphs."""
FORESEEN, FORESEEN_AT_ONCE = 8, 32
"""Shares of the ideals allowed, as their inverses, after which it is foreseen whether they suffice."""
SLOW_START = 2
"""How many times more ideals than allowed must be foreseen to give up, as many a graph is widest where it begins; four
times that after a quarter of that share."""
FOUND, EXPANDED, EDGES = range(3)
"""Counters of an enumeration: ideals found, ideals expanded, edges."""
_DONE, _PAUSED, _IDEALS_FULL, _EDGES_FULL = 0, 1, 2, 3


class Lattice(NamedTuple):
    """The arrays of an `IdealLattice` that kernels walk through."""

    bits: BitArray
    edge_ptr: IntArray
    edge_node: SmallArray
    edge_ideal: SmallArray


class Costs(NamedTuple):
    """Work and parameters of nodes, and what tensors cost, in ticks."""

    work: IntArray
    parameters: IntArray
    tensors: IntArray


class Store(NamedTuple):
    """Memory of an enumeration, with room for more than what is found so far.

    Columns of `facts`: work, parameters, cut, the ideal an ideal was first reached from, the node added then.
    `counters`: see `FOUND`.
    """

    keys: BitArray
    bits: BitArray
    facts: IntArray
    hashes: BitArray
    table: SmallArray
    edge_ptr: IntArray
    edges: SmallArray
    counters: IntArray


class LatticeStatus(StrEnum):
    """How an enumeration ended."""

    COMPLETE = "complete"
    TOO_MANY = "too many ideals"
    TOO_LARGE = "too much memory"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IdealLattice:
    """The ideals found, numbered so that supersets come later; ideal 0 is empty.

    Attributes
    ----------
    status
        Only a complete lattice may prove anything.
    bits
        ``[ideals, words]`` membership, bit ``v % 64`` of word ``v // 64``.
    work, parameter_cost, cut
        ``[ideals]`` ticks: sums over the ideal, and the cost of tensors produced in it and consumed outside.
    edge_ptr, edge_node, edge_ideal
        Row I: the nodes available in I, ascending, and the ideal that adding each leads to.
    """

    status: LatticeStatus
    bits: BitArray
    work: IntArray
    parameter_cost: IntArray
    cut: IntArray
    edge_ptr: IntArray
    edge_node: SmallArray
    edge_ideal: SmallArray

    @property
    def arrays(self) -> Lattice:
        """What kernels walk through."""
        return Lattice(self.bits, self.edge_ptr, self.edge_node, self.edge_ideal)

    @property
    def complete(self) -> bool:
        """Whether every ideal is there."""
        return self.status is LatticeStatus.COMPLETE

    def sums(self, sizes: IntArray) -> IntArray:
        """Return the sum of ``[n]`` sizes over each ideal, ``[ideals]``."""
        sums: IntArray = _sum_over_ideals(sizes, self.edge_ptr, self.edge_node, self.edge_ideal)
        return sums

    def __len__(self) -> int:
        return len(self.work)


def count_ideals(
    instance: Instance, *, max_ideals: int, should_stop: Callable[[], bool] = lambda: False
) -> tuple[int, bool]:
    """Return how many ideals were found and whether those are all."""
    lattice = enumerate_ideals(instance, max_ideals=max_ideals, should_stop=should_stop)
    return len(lattice), lattice.complete


def enumerate_ideals(
    instance: Instance,
    *,
    max_ideals: int,
    max_bytes: int = 2 << 30,
    foresee: bool = False,
    should_stop: Callable[[], bool] = lambda: False,
) -> IdealLattice:
    """Enumerate all ideals, or stop at a limit and say which.

    Parameters
    ----------
    max_ideals
        Give up beyond this many.
    max_bytes
        Give up when the arrays would hold more than this.
    foresee
        Give up early as well: where an eighth of the ideals allowed are so small still that there would be twice as
        many as allowed, if the next nodes took as many each. Of the graphs of the training half that complete, none
        then foretold more than 1.07 times as many.
    should_stop
        Asked every few hundredths of a second.
    """
    store = _Store(instance, max_ideals)
    while True:
        outcome = store.advance(instance)
        if outcome == _DONE:
            return store.lattice(LatticeStatus.COMPLETE)
        if outcome == _IDEALS_FULL and store.ideal_capacity >= max_ideals:
            return store.lattice(LatticeStatus.TOO_MANY)
        if outcome in (_IDEALS_FULL, _EDGES_FULL):
            store.grow(ideals=outcome == _IDEALS_FULL, limit=max_ideals)
            if store.bytes > max_bytes:
                return store.lattice(LatticeStatus.TOO_LARGE)
        # Also where it returned to grow: a wide graph fills its arrays before it pauses.
        if should_stop():
            return store.lattice(LatticeStatus.STOPPED)
        if foresee and store.is_hopeless(max_ideals):
            return store.lattice(LatticeStatus.TOO_MANY)


class _Store:
    """The growing arrays of an enumeration."""

    def __init__(self, instance: Instance, max_ideals: int) -> None:
        self.n = instance.n
        self.words = -(-instance.n // 64)
        self.ideal_capacity = min(max_ideals, 1024)
        self.bits = np.zeros((self.ideal_capacity, self.words), np.uint64)
        self.facts = np.zeros((self.ideal_capacity, 5), np.int64)
        self.hashes = np.zeros(self.ideal_capacity, np.uint64)
        self.table = np.full(4 * self.ideal_capacity, -1, np.int32)
        self.edge_ptr = np.zeros(self.ideal_capacity + 1, np.int64)
        self.edges = np.zeros((2, 4096), np.int32)
        self.counters = np.array([1, 0, 0], np.int64)
        self.available = np.zeros(instance.n, np.int64)
        rng = np.random.default_rng(12345)
        self.keys = rng.integers(0, 2**64, size=instance.n, dtype=np.uint64)
        self.table[0] = 0

    @property
    def bytes(self) -> int:
        arrays = (self.bits, self.facts, self.hashes, self.table, self.edge_ptr, self.edges)
        return sum(array.nbytes for array in arrays)

    def advance(self, instance: Instance) -> int:
        top = instance.topology
        store = Store(
            self.keys, self.bits, self.facts, self.hashes, self.table, self.edge_ptr, self.edges, self.counters
        )
        costs = (instance.work, instance.parameter_cost, instance.tensor_cost)
        return int(_expand(Costs(*costs), top.arrays, store, self.available, EXPANSIONS_A_CALL))

    def is_hopeless(self, max_ideals: int) -> bool:
        """Whether the ideals found so far foretell too many; they come in the order of their size."""
        found, expanded, _ = (int(count) for count in self.counters)
        if found * FORESEEN_AT_ONCE < max_ideals or expanded == 0:
            return False
        nodes = int(np.bitwise_count(self.bits[expanded - 1]).sum())
        doubt = SLOW_START * max(1.0, max_ideals / (FORESEEN * found))
        return found * self.n > doubt * max_ideals * max(1, nodes)

    def grow(self, *, ideals: bool, limit: int) -> None:
        if not ideals:
            self.edges = np.concatenate((self.edges, np.zeros_like(self.edges)), axis=1)
            return
        capacity = min(limit, 4 * self.ideal_capacity)
        more = capacity - self.ideal_capacity
        self.bits = np.concatenate((self.bits, np.zeros((more, self.words), np.uint64)))
        self.facts = np.concatenate((self.facts, np.zeros((more, 5), np.int64)))
        self.hashes = np.concatenate((self.hashes, np.zeros(more, np.uint64)))
        self.edge_ptr = np.concatenate((self.edge_ptr, np.zeros(more, np.int64)))
        self.ideal_capacity = capacity
        self.table = np.full(4 * capacity, -1, np.int32)
        _fill_table(self.hashes, self.table, int(self.counters[0]))

    def lattice(self, status: LatticeStatus) -> IdealLattice:
        found, expanded, edges = (int(count) for count in self.counters)
        self.edge_ptr[expanded + 1 : found + 1] = edges
        return IdealLattice(
            status=status,
            bits=self.bits[:found],
            work=np.ascontiguousarray(self.facts[:found, 0]),
            parameter_cost=np.ascontiguousarray(self.facts[:found, 1]),
            cut=np.ascontiguousarray(self.facts[:found, 2]),
            edge_ptr=self.edge_ptr[: found + 1],
            edge_node=np.ascontiguousarray(self.edges[0, :edges]),
            edge_ideal=np.ascontiguousarray(self.edges[1, :edges]),
        )


@kernel
def _fill_table(hashes: BitArray, table: SmallArray, found: int) -> None:
    size = np.uint64(len(table))
    for ideal in range(found):
        slot = hashes[ideal] % size
        while table[slot] >= 0:
            slot = (slot + np.uint64(1)) % size
        table[slot] = ideal


@kernel
def _expand(costs: Costs, top: TopologyArrays, store: Store, available: IntArray, limit: int) -> int:
    """Expand ideals in the order they were found; pick up where the last call left off. `available` is memory."""
    counters, edges = store.counters, store.edges
    for _ in range(limit):
        ideal = counters[EXPANDED]
        if ideal == counters[FOUND]:
            return _DONE
        count = _fill_available(top, store, ideal, available)
        if counters[EDGES] + count > edges.shape[1]:
            return _EDGES_FULL
        if counters[FOUND] + count > len(store.hashes):
            # There may be room, as some are known already; but only what fits surely may begin.
            fresh = 0
            for i in range(count):
                if _lookup(store, ideal, available[i]) < 0:
                    fresh += 1
            if counters[FOUND] + fresh > len(store.hashes):
                return _IDEALS_FULL
        for i in range(count):
            v = available[i]
            child = _lookup(store, ideal, v)
            if child < 0:
                child = counters[FOUND]
                counters[FOUND] += 1
                _add_ideal(costs, top, store, ideal, v, child)
            edges[0, counters[EDGES]] = v
            edges[1, counters[EDGES]] = child
            counters[EDGES] += 1
        counters[EXPANDED] += 1
        store.edge_ptr[counters[EXPANDED]] = counters[EDGES]
    return _PAUSED


@inlined_kernel
def _fill_available(top: TopologyArrays, store: Store, ideal: int, available: IntArray) -> int:
    """Fill in the nodes that can be added, ascending, and return how many there are.

    They are those of the ideal it came from, without the node added then, and successors of that.
    """
    facts, edge_ptr, edges = store.facts, store.edge_ptr, store.edges
    count = 0
    if ideal == 0:
        for v in range(len(available)):
            if top.pred_ptr[v + 1] == top.pred_ptr[v]:
                available[count] = v
                count += 1
        return count
    origin, added = facts[ideal, 3], facts[ideal, 4]
    for e in range(edge_ptr[origin], edge_ptr[origin + 1]):
        if edges[0, e] != added:
            available[count] = edges[0, e]
            count += 1
    for i in range(top.succ_ptr[added], top.succ_ptr[added + 1]):
        s = top.succs[i]
        ready = True
        for x in range(top.pred_ptr[s], top.pred_ptr[s + 1]):
            if not holds(store.bits, ideal, top.preds[x]):
                ready = False
                break
        if ready:
            # Keep the row ascending; successors come after most of it.
            j = count
            while j > 0 and available[j - 1] > s:
                available[j] = available[j - 1]
                j -= 1
            available[j] = s
            count += 1
    return count


@kernel
def _add_ideal(costs: Costs, top: TopologyArrays, store: Store, ideal: int, v: int, child: int) -> None:
    """Enter the ideal plus v under a new number."""
    bits, facts, table = store.bits, store.facts, store.table
    for word in range(bits.shape[1]):
        bits[child, word] = bits[ideal, word]
    bits[child, v >> 6] |= np.uint64(1) << np.uint64(v & 63)
    store.hashes[child] = store.hashes[ideal] ^ store.keys[v]
    size = np.uint64(len(table))
    slot = store.hashes[child] % size
    while table[slot] >= 0:
        slot = (slot + np.uint64(1)) % size
    table[slot] = child
    cut = facts[ideal, 2]
    for i in range(top.out_ptr[v], top.out_ptr[v + 1]):
        cut += costs.tensors[top.out_tensors[i]]
    for i in range(top.in_ptr[v], top.in_ptr[v + 1]):
        t = top.in_tensors[i]
        inside = True
        for x in range(top.consumer_ptr[t], top.consumer_ptr[t + 1]):
            if not holds(bits, child, top.consumers[x]):
                inside = False
                break
        if inside:
            cut -= costs.tensors[t]
    facts[child, 0] = facts[ideal, 0] + costs.work[v]
    facts[child, 1] = facts[ideal, 1] + costs.parameters[v]
    facts[child, 2] = cut
    facts[child, 3] = ideal
    facts[child, 4] = v


@kernel
def _lookup(store: Store, ideal: int, v: int) -> int:
    """Return the number of the ideal plus v, or -1 if it has not been met."""
    bits, hashes, table = store.bits, store.hashes, store.table
    size = np.uint64(len(table))
    wanted = hashes[ideal] ^ store.keys[v]
    slot = wanted % size
    while table[slot] >= 0:
        found = table[slot]
        if hashes[found] == wanted:
            same = True
            for word in range(bits.shape[1]):
                expected = bits[ideal, word]
                if word == v >> 6:
                    expected |= np.uint64(1) << np.uint64(v & 63)
                if bits[found, word] != expected:
                    same = False
                    break
            if same:
                return int(found)
        slot = (slot + np.uint64(1)) % size
    return -1


@allocating_kernel
def _sum_over_ideals(sizes: IntArray, edge_ptr: IntArray, edge_node: SmallArray, edge_ideal: SmallArray) -> IntArray:
    """Return the sum of sizes over each ideal; ideals come after the ones below them."""
    sums = np.zeros(len(edge_ptr) - 1, np.int64)
    for ideal in range(len(sums)):
        for e in range(edge_ptr[ideal], edge_ptr[ideal + 1]):
            sums[edge_ideal[e]] = sums[ideal] + sizes[edge_node[e]]
    return sums
