"""What tensors cost among the nodes of a core, whatever stages the other nodes are in: *nets*.

A tensor is a net of its producer and consumers: a stage pays for it that holds some of them, but not all. Nodes are
taken out of nets one by one; docs/proofs.md proves that no stage pays more then. There are many ways to do so: this one
merges nets of two nodes with others, dear ones first.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TypeAlias

from framework.proof.problem import PlainProblem

LARGEST = 64
"""Nodes of a merged net at most."""

Costs: TypeAlias = tuple[int, ...]
"""What a net costs on each kind of device."""
Nets: TypeAlias = list[tuple[frozenset[int], Costs]]
"""The nodes of each net, and what it costs."""
_Net: TypeAlias = tuple[frozenset[int], int]
"""The nodes, and the one that comes before all others, -1 where none is known to; nets that differ in it do not add."""


def nets_between(
    problem: PlainProblem, order: Sequence[int], gone: Collection[int], spared: Sequence[Sequence[int]] = ()
) -> Nets:
    """Return nets of the nodes that are not gone, with their costs.

    Parameters
    ----------
    order
        All nodes. Those that go are taken out in it, and nets of equal cost come in the order in which it makes them.
    spared
        What of the cost of each tensor, on each kind of device, is in no net; nothing if empty.
    """
    rank = {v: i for i, v in enumerate(order)}
    nets, rows = _Nets(rank, gone), list[tuple[int, list[int], Costs]]()
    for t, (_, producer, consumers) in enumerate(problem.tensors):
        costs = tuple(kind.tensors[t].cost - (spared[i][t] if spared else 0) for i, kind in enumerate(problem.priced))
        rows.append((producer, sorted(consumers, key=rank.__getitem__), costs))
    for producer, readers, costs in sorted(rows, key=lambda row: (rank[row[0]], [rank[v] for v in row[1]])):
        nets.add((frozenset((producer, *readers)), producer), costs)
    for v in sorted(gone, key=rank.__getitem__):
        nets.take_out(v)
    return [(pins, costs) for (pins, _), (costs, _) in nets.table.items()]


class _Nets:
    """Nets with their costs, and when they were made."""

    def __init__(self, rank: dict[int, int], gone: Collection[int]) -> None:
        self.table: dict[_Net, tuple[Costs, int]] = {}
        self.with_node: dict[int, dict[_Net, None]] = {v: {} for v in gone}
        self.made = 0

    def add(self, net: _Net, costs: Costs) -> None:
        if any(costs) and len(net[0]) > 1:
            self.made += 1
            self._put(net, costs, self.made)

    def take_out(self, v: int) -> None:
        """Take a node out of all nets."""
        # The dearest first, by what they cost on the last kind of device, where equal by the one before it, and so on.
        nets = sorted(
            self.with_node.pop(v), key=lambda net: ([-c for c in self.table[net][0][::-1]], self.table[net][1])
        )
        left = [self._remove(net, v) for net in nets]
        costs = [cost for cost, _ in left]
        merged: list[tuple[_Net, Costs]] = []
        for i, (pins, head) in enumerate(nets):
            for j, (others, other_head) in enumerate(nets):
                both = tuple(map(min, costs[i], costs[j])) if len(pins) == 2 and i != j else ()
                if not any(both) or not 2 <= len(union := (pins | others) - {v}) <= LARGEST:
                    continue
                costs[i], costs[j] = (tuple(a - b for a, b in zip(costs[x], both, strict=True)) for x in (i, j))
                first = head if other_head == v else other_head if head == v else -1
                merged.append(((union, -1 if first == v else first), both))
        for (pins, head), (_, made), cost in zip(nets, left, costs, strict=True):
            if any(cost) and len(pins) > 2:
                self._put((pins - {v}, -1 if head == v else head), cost, made)
        for net, cost in merged:
            self.add(net, cost)

    def _remove(self, net: _Net, but: int) -> tuple[Costs, int]:
        for v in net[0]:
            if v != but and v in self.with_node:
                del self.with_node[v][net]
        return self.table.pop(net)

    def _put(self, net: _Net, costs: Costs, made: int) -> None:
        known = self.table.get(net)
        if known is not None:
            self.table[net] = tuple(a + b for a, b in zip(known[0], costs, strict=True)), known[1]
            return
        self.table[net] = costs, made
        for v in net[0]:
            if v in self.with_node:
                self.with_node[v][net] = None
