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

_Net: TypeAlias = tuple[frozenset[int], int]
"""The nodes, and the one that comes before all others, -1 where none is known to; nets that differ in it do not add."""


def nets_between(
    problem: PlainProblem, order: Sequence[int], gone: Collection[int]
) -> list[tuple[frozenset[int], int]]:
    """Return nets of the nodes that are not gone, with their costs.

    Parameters
    ----------
    order
        All nodes. Those that go are taken out in it, and nets of equal cost come in the order in which it makes them.
    """
    rank = {v: i for i, v in enumerate(order)}
    nets = _Nets(rank, gone)
    for tensor in sorted(problem.tensors, key=lambda t: (rank[t.producer], sorted(rank[v] for v in t.consumers))):
        nets.add((tensor.consumers | {tensor.producer}, tensor.producer), tensor.cost)
    for v in sorted(gone, key=rank.__getitem__):
        nets.take_out(v)
    return [(pins, cost) for (pins, _), (cost, _) in nets.table.items()]


class _Nets:
    """Nets with their costs, and when they were made."""

    def __init__(self, rank: dict[int, int], gone: Collection[int]) -> None:
        self.table: dict[_Net, tuple[int, int]] = {}
        self.with_node: dict[int, dict[_Net, None]] = {v: {} for v in gone}
        self.made = 0

    def add(self, net: _Net, cost: int) -> None:
        if cost and len(net[0]) > 1:
            self.made += 1
            self._put(net, cost, self.made)

    def take_out(self, v: int) -> None:
        """Take a node out of all nets."""
        nets = sorted(self.with_node.pop(v), key=lambda net: (-self.table[net][0], self.table[net][1]))
        left = [self._remove(net, v) for net in nets]
        costs = [cost for cost, _ in left]
        merged: list[tuple[_Net, int]] = []
        for i, (pins, head) in enumerate(nets):
            for j, (others, other_head) in enumerate(nets):
                both = min(costs[i], costs[j])
                if len(pins) != 2 or i == j or not both or not 2 <= len(union := (pins | others) - {v}) <= LARGEST:
                    continue
                costs[i] -= both
                costs[j] -= both
                first = head if other_head == v else other_head if head == v else -1
                merged.append(((union, -1 if first == v else first), both))
        for (pins, head), (_, made), cost in zip(nets, left, costs, strict=True):
            if cost and len(pins) > 2:
                self._put((pins - {v}, -1 if head == v else head), cost, made)
        for net, cost in merged:
            self.add(net, cost)

    def _remove(self, net: _Net, but: int) -> tuple[int, int]:
        for v in net[0]:
            if v != but and v in self.with_node:
                del self.with_node[v][net]
        return self.table.pop(net)

    def _put(self, net: _Net, cost: int, made: int) -> None:
        known = self.table.get(net)
        if known is not None:
            self.table[net] = known[0] + cost, known[1]
            return
        self.table[net] = cost, made
        for v in net[0]:
            if v in self.with_node:
                self.with_node[v][net] = None
