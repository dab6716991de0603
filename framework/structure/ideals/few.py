"""The optimum over all ideals where they are few, in numpy alone: no kernel has to be loaded first.

*Theorem.* Let f(J - I) be the cost of a stage that holds the nodes of ideal J which are not in ideal I. The optimum for
k stages is the least, over chains of ideals from the empty one to that of all nodes with k steps, of the largest
f(J - I) of a step; steps from an ideal to itself are empty stages, which cost nothing.

*Argument.* The nodes of the first b stages of a partition are an ideal, as no tensor goes to an earlier stage; so a
partition is such a chain, and the other way round. With v(b, J) the least largest step over chains of at most b steps
from the empty ideal to J,

    v(b, J) = min(v(b - 1, J), min over ideals I below J of max(v(b - 1, I), f(J - I))).

All ideals are there (breadth-first search over "add one available node" meets each, see
`framework.structure.ideals.lattice`), all pairs I below J with f(J - I) <= `most` are, and all sums are of integers in
64 bits. A chain with a costlier step is no better than the partition whose bottleneck is `most` + 1.

*The cost of a step*, with crossing(I) the tensors produced in I and wanted outside of it, cut(I) their total, w work,
p the parameters that nodes hold: ``in`` sums the tensors of crossing(I) with a consumer in J - I. The tensors of
crossing(J) are those the stage sends and those of I that are still wanted beyond J, so

    f(J - I) = w(J) - w(I) + in + cut(J) - total(crossing(I) and crossing(J)) + max(0, p(J - I) - capacity).

A parameter that several nodes use is in p(J - I) once if one of its users is in J - I.

Source: the dynamic program of Tarnawski et al., NeurIPS 2020, over the same chains.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from framework.errors import OutOfTimeError
from framework.model.arrays import IntArray
from framework.model.graph import BoolArray
from framework.model.instance import Instance
from framework.model.problem import Partition

NEVER = 1 << 62
"""The value of an ideal that no chain of steps within `most` reaches."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IdealTable:
    """All ideals of an instance, none after one that it contains: the first is empty, the last holds every node.

    Attributes
    ----------
    words
        ``[ideals, words]`` membership, 64 nodes a word.
    inside
        ``[ideals, n]`` membership, 0 or 1.
    work, own, cut
        ``[ideals]`` ticks: work, the parameters that nodes use alone, and the cost of all crossing tensors.
    taken, crossing
        ``[ideals, m]`` how many consumers of each tensor are inside, and whether it crosses the ideal.
    users
        ``[ideals, shared parameters]`` how many users of each are inside.
    """

    instance: Instance
    words: NDArray[np.uint64]
    inside: NDArray[np.uint8]
    work: IntArray
    own: IntArray
    cut: IntArray
    taken: IntArray
    crossing: BoolArray
    users: IntArray

    def __len__(self) -> int:
        return len(self.work)

    def first_stages(self) -> IntArray:
        """Return the cost of a stage that holds all nodes of each ideal, ``[ideals]``."""
        held: IntArray = self.own + (self.users > 0) @ self.instance.shared_cost
        return self.work + self.cut + np.maximum(0, held - self.instance.capacity)

    def last_stages(self) -> IntArray:
        """Return the cost of a stage that holds all nodes outside of each ideal, ``[ideals]``."""
        held: IntArray = self.own[-1] - self.own + (self.users < self.users[-1]) @ self.instance.shared_cost
        cost: IntArray = self.work[-1] - self.work + self.cut + np.maximum(0, held - self.instance.capacity)
        return cost

    def stages_after(self, i: int, most: int) -> tuple[IntArray, IntArray]:
        """Return the ideals that end a stage after ideal `i` of cost at most `most`, and what the stages cost."""
        cost = self.instance.tensor_cost
        ends = i + 1 + np.flatnonzero(self.work[i + 1 :] - self.work[i] <= most)
        ends = ends[((self.words[ends] & self.words[i]) == self.words[i]).all(1)]
        tensors = np.flatnonzero(self.crossing[i])
        pairs = np.ix_(ends, tensors)
        inbound = (self.taken[pairs] > self.taken[i, tensors]) @ cost[tensors]
        sent_before = self.crossing[pairs] @ cost[tensors]
        held = self.own[ends] - self.own[i] + (self.users[ends] > self.users[i]) @ self.instance.shared_cost
        total = self.work[ends] - self.work[i] + inbound + self.cut[ends] - sent_before
        total += np.maximum(0, held - self.instance.capacity)
        fits = total <= most
        return ends[fits], total[fits]


def ideal_table(instance: Instance, most_ideals: int) -> IdealTable | None:
    """Return all ideals of an instance; None if there are more than `most_ideals`.

    Working sets, hard limits and unequal stages are none of it: give a relaxation without them.
    """
    # Each prefix of the nodes is an ideal.
    masks = _all_ideals(instance, most_ideals) if instance.n < most_ideals else None
    if masks is None:
        return None
    top, n = instance.topology, instance.n
    size = 8 * -(-n // 64)
    packed = np.frombuffer(b"".join(mask.to_bytes(size, "little") for mask in masks), np.uint8).reshape(-1, size)
    inside = np.unpackbits(packed, axis=1, count=n, bitorder="little")
    taken = _counts(inside, top.consumer_ptr, top.consumers)
    crossing = (inside[:, top.producer] > 0) & (taken < np.diff(top.consumer_ptr))
    return IdealTable(
        instance=instance,
        words=packed.view(np.uint64),
        inside=inside,
        work=inside @ instance.work,
        own=inside @ instance.parameter_cost,
        cut=crossing @ instance.tensor_cost,
        taken=taken,
        crossing=crossing,
        users=_counts(inside, instance.shared.ptr, instance.shared.users),
    )


def _counts(inside: NDArray[np.uint8], ptr: IntArray, nodes: IntArray) -> IntArray:
    """Return how many nodes of each row are in each ideal; no row is empty."""
    if len(ptr) == 1:
        return np.zeros((len(inside), 0), np.int64)
    return np.add.reduceat(inside[:, nodes], ptr[:-1], axis=1, dtype=np.int64)


def _all_ideals(instance: Instance, most: int) -> list[int] | None:
    """Return the ideals as sets of bits, a node a bit, smaller ones first; None if there are more than `most`."""
    top = instance.topology
    succ, ptr = top.succs.tolist(), top.succ_ptr.tolist()
    before = [0] * instance.n
    for v, (first, last) in enumerate(pairwise(ptr)):
        for u in succ[first:last]:
            before[u] |= 1 << v
    # The nodes that each ideal can be extended by.
    free = {0: sum(1 << v for v in range(instance.n) if not before[v])}
    level = [0]
    while level:
        larger = []
        for ideal in level:
            left = available = free[ideal]
            while left:
                bit = left & -left
                left ^= bit
                more = ideal | bit
                if more in free:
                    continue
                v = bit.bit_length() - 1
                added = available ^ bit
                for u in succ[ptr[v] : ptr[v + 1]]:
                    if not before[u] & ~more:
                        added |= 1 << u
                free[more] = added
                larger.append(more)
                if len(free) > most:
                    return None
        level = larger
    return list(free)


def best_chain(
    table: IdealTable, stages: int, most: int, should_stop: Callable[[], bool]
) -> tuple[int, Partition] | None:
    """Return the optimum and a partition that has it, if it is at most `most`; else None: every partition costs more.

    Raises
    ------
    OutOfTimeError
        If `should_stop` says so first; then nothing is known.
    """
    if stages == 1:
        together = int(table.last_stages()[0])
        return (together, _partition(table, [0, len(table) - 1])) if together <= most else None
    if stages == 2:
        both = np.maximum(table.first_stages(), table.last_stages())
        # The whole graph in the second stage is the empty ideal; in the first one it is the last ideal.
        between = int(both.argmin())
        value = int(both[between])
        return (value, _partition(table, [0, between, len(table) - 1])) if value <= most else None
    starts, ends, costs = _steps(table, most, should_stop)
    return _shortest(table, starts, ends, costs, stages, should_stop)


def _steps(table: IdealTable, most: int, should_stop: Callable[[], bool]) -> tuple[IntArray, IntArray, IntArray]:
    """Return all stages of cost at most `most`: where they start and end, and their costs, by where they end."""
    rows = []
    for i in range(len(table) - 1):
        if i % 64 == 0 and should_stop():
            raise OutOfTimeError("stopped while stages were priced")
        rows.append(table.stages_after(i, most))
    starts = np.repeat(np.arange(len(rows)), [len(row[0]) for row in rows])
    ends, costs = (np.concatenate(column) for column in zip(*rows, strict=True))
    order = np.argsort(ends, kind="stable")
    return starts[order], ends[order], costs[order]


def _shortest(
    table: IdealTable, starts: IntArray, ends: IntArray, costs: IntArray, stages: int, should_stop: Callable[[], bool]
) -> tuple[int, Partition] | None:
    """Return the least largest cost of `stages` steps to the last ideal, and the partition; None if there are none."""
    goal = len(table) - 1
    if not len(ends) or ends[-1] != goal:
        return None
    first = np.flatnonzero(np.concatenate(([True], ends[1:] != ends[:-1])))
    value = np.full(goal + 1, NEVER, np.int64)
    value[0] = 0
    levels = [value]
    for _ in range(stages):
        if should_stop():
            raise OutOfTimeError("stopped between stages")
        value = levels[-1].copy()
        reached = np.minimum.reduceat(np.maximum(value[starts], costs), first)
        value[ends[first]] = np.minimum(value[ends[first]], reached)
        if np.array_equal(value, levels[-1]):
            break
        levels.append(value)
    best = int(levels[-1][goal])
    if best >= NEVER:
        return None
    chain = [goal]
    for before, now in zip(levels[-2::-1], levels[:0:-1], strict=True):
        at = chain[-1]
        if before[at] == now[at]:
            continue
        low, high = np.searchsorted(ends, [at, at + 1])
        chain.append(int(starts[low + np.maximum(before[starts[low:high]], costs[low:high]).argmin()]))
    return best, _partition(table, chain[::-1])


def _partition(table: IdealTable, chain: list[int]) -> Partition:
    """Return the partition whose stages end at the ideals of a chain, the first of which is empty."""
    inside = table.inside[chain[1:]].astype(np.int64)
    return Partition(stage_of=len(inside) - inside.sum(0))
