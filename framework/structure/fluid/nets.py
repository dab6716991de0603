"""Nets: the tensors of an instance without its fluid nodes, with costs that no stage pays more for than for tensors.

*Nets only lower cuts.* What a stage S pays for a tensor is its cost if S holds some but not all of {producer} +
consumers, whichever side the producer is on: ``cut(S)`` is the cut of a hypergraph. Fluid nodes are taken out of it
one by one. Let f be in the nets a and b, and m <= min(cost(a), cost(b)). Then for every S

    cost(a) [S cuts a] + cost(b) [S cuts b]
        >=  m [S cuts (a + b) - f]  +  (cost(a) - m) [S cuts a - f]  +  (cost(b) - m) [S cuts b - f].

For f is on one side of S: if neither a nor b is cut, all of a + b is on that side, and the right side is 0. If only
a is cut, b - f is not, and the right side is at most m + cost(a) - m; likewise if only b is cut. If both are, it is
at most cost(a) + cost(b) - m. Taking f out of a net without merging is the case m = 0. So at the end
``cut(S) >= sum of costs of the nets that the core nodes of S cut``, for every node set S at once. Merging is worth
it where a has but one other node: alone, a - f is never cut. (If f lies between u and v on a path, the stages
of u and v each pay for one of its two tensors, wherever f is.)

On different devices, each net has a cost on each of them, and m is the least on each: the argument holds for a stage S
in the prices of the device that S runs on.

Source: this project.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from operator import xor

import numpy as np

from framework.model.arrays import IntArray
from framework.model.instance import Instance
from framework.structure.poset.closure import BoolArray

LANE, _LANE_MASK = 48, (1 << 48) - 1
"""Bits for the cost of a net on one kind of device: more than the sum of all costs takes."""
LARGEST_NET = 64
"""Nodes of a merged net; larger ones are cut by almost every stage or by none, and cost time in every step."""


class _Net:
    """A net, changed in place while nodes are taken out.

    Attributes
    ----------
    serial
        Counts the nets made, so that ties are broken alike in every run.
    head
        The pin that is an ancestor of all others, or -1 if there may be none.
    code, key
        The hash of its pins, and where it stands in the table of `Nets`.
    """

    __slots__ = ("code", "cost", "head", "key", "pins", "serial")

    def __init__(self, serial: int, pins: set[int], head: int, cost: int, code: int) -> None:
        self.serial, self.pins, self.head, self.cost = serial, pins, head, cost
        self.code, self.key = code, code


class Nets:
    """Nets in a table by a hash of their pins, so that equal ones add up; equality is decided on pins and head.

    The costs of a net on several kinds of devices are one whole number, `LANE` bits for each: costs never leave these
    bits, so sums and differences of such numbers are those of the costs.
    """

    def __init__(self, instance: Instance, tensor_cost: IntArray, placeless: BoolArray) -> None:
        self._code: list[int] = np.random.default_rng(1).integers(1 << 62, size=instance.n).tolist()
        self._table: dict[int, _Net] = {}
        self._at: dict[int, set[_Net]] = {int(f): set() for f in np.flatnonzero(placeless)}
        self._serial = 0
        self._kinds = len(tensor_cost)
        self._least: Callable[[int, int], int] = min if self._kinds == 1 else self._least_of_each
        top = instance.topology
        ptr, pins, costs = top.consumer_ptr.tolist(), top.consumers.tolist(), self._packed(tensor_cost)
        rows = [(u, pins[ptr[t] : ptr[t + 1]], costs[t]) for t, u in enumerate(top.producer.tolist())]
        # In an order that depends on nothing but nodes: whoever checks a proof makes the same nets.
        for u, consumers, cost in sorted(rows):
            self._add({u, *consumers}, u, cost)

    def eliminate(self, f: int) -> None:
        """Take a node out of all its nets, merging nets of two pins with others.

        Dear nets are partners first: what a merged net costs is the cheaper of the two.
        """
        nets = sorted(self._at.pop(f), key=lambda net: (-net.cost, net.serial))
        for net in nets:
            del self._table[net.key]
        merged: list[tuple[_Net, int, int, int]] = []
        # The last net that each one is merged into: it takes the place of one that is used up.
        heirs: dict[_Net, int] = {}
        for pair in nets:
            if len(pair.pins) != 2:
                continue
            (end,) = pair.pins - {f}
            for other in nets:
                shared = self._least(pair.cost, other.cost)
                if other is pair or not shared:
                    continue
                if 2 <= len(other.pins) - (end in other.pins) <= LARGEST_NET:
                    pair.cost -= shared
                    other.cost -= shared
                    heirs[other] = len(merged)
                    merged.append((other, end, _head(pair, other, f), shared))
        for net in nets:
            if net.cost == 0 and net in heirs:
                continue
            net.pins.discard(f)
            net.code ^= self._code[f]
            if net.head == f:
                net.head = -1
            if net.cost == 0 or len(net.pins) < 2 or not self._place(net):
                self._forget(net)
        for i, (other, end, head, shared) in enumerate(merged):
            if other.cost == 0 and heirs[other] == i:
                self._rename(other, f, end, head, shared)
            else:
                self._add((other.pins - {f}) | {end}, head, shared)

    def rows(self) -> list[tuple[list[int], int, bool]]:
        """Return pins, cost and whether the first pin is the head, in a fixed order."""
        return sorted((sorted(net.pins), net.cost, net.head >= 0) for net in self._table.values())

    def unpacked(self, costs: Sequence[int]) -> IntArray:
        """Return the costs of nets, ``[kinds, nets]``."""
        rows = [[cost >> lane & _LANE_MASK for cost in costs] for lane in range(0, LANE * self._kinds, LANE)]
        return np.array(rows, np.int64).reshape(self._kinds, len(costs))

    def _packed(self, costs: IntArray) -> list[int]:
        packed: list[int] = costs[0].tolist()
        for i, row in enumerate(costs[1:], start=1):
            packed = [cost | more << LANE * i for cost, more in zip(packed, row.tolist(), strict=True)]
        return packed

    def _least_of_each(self, one: int, other: int) -> int:
        """Return the lesser cost on each kind of device."""
        least = 0
        for lane in range(0, LANE * self._kinds, LANE):
            least |= min(one >> lane & _LANE_MASK, other >> lane & _LANE_MASK) << lane
        return least

    def _add(self, pins: set[int], head: int, cost: int) -> None:
        if cost == 0 or len(pins) < 2:
            return
        self._serial += 1
        net = _Net(self._serial, pins, head, cost, reduce(xor, [self._code[v] for v in pins]))
        if self._place(net):
            for v in pins:
                if v in self._at:
                    self._at[v].add(net)

    def _rename(self, net: _Net, f: int, end: int, head: int, cost: int) -> None:
        """Make the merged net of one that is used up: most of its pins know it already."""
        net.pins.discard(f)
        net.code ^= self._code[f]
        if end not in net.pins:
            net.pins.add(end)
            net.code ^= self._code[end]
            if end in self._at:
                self._at[end].add(net)
        self._serial += 1
        net.serial, net.head, net.cost = self._serial, head, cost
        if not self._place(net):
            self._forget(net)

    def _forget(self, net: _Net) -> None:
        for v in net.pins:
            if v in self._at:
                self._at[v].discard(net)

    def _place(self, net: _Net) -> bool:
        """Put a net into the table, or add its cost to an equal one there and return False."""
        key = net.code + net.head
        while (there := self._table.get(key)) is not None:
            if there.head == net.head and there.pins == net.pins:
                there.cost += net.cost
                return False
            key += 1
        net.key = key
        self._table[key] = net
        return True


def _head(a: _Net, b: _Net, f: int) -> int:
    """Return the head of the merged net: if f heads b, the head of a is an ancestor of all of b, and vice versa."""
    if b.head == f and a.head not in (f, -1):
        return a.head
    if a.head == f and b.head not in (f, -1):
        return b.head
    return -1
