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

*What was taken out.* Each part of the cost of a net also stands for that much of the costs of some tensors, and nothing
else stands for that: at first for the tensor that the net is; a merged net for m of those of both; and what is left of
a and b for the rest of theirs. These tensors connect its pins and all nodes that were taken out of it, or of the nets
that it was merged of: taking one out leaves this set as it is, and the tensors of a and of b hang together at f. So a
stage that has some of them, but not all, pays the cost of that part (`framework.structure.fluid.tolls.ties`).

On different devices, each net has a cost on each of them, and m is the least on each: the argument holds for a stage S
in the prices of the device that S runs on.

Source: this project.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from operator import xor
from typing import TypeAlias

import numpy as np

from framework.model.arrays import IntArray
from framework.model.instance import Instance
from framework.structure.poset.closure import BoolArray

LANE, _LANE_MASK = 48, (1 << 48) - 1
"""Bits for the cost of a net on one kind of device: more than the sum of all costs takes."""
LARGEST_NET = 64
"""Nodes of a merged net; larger ones are cut by almost every stage or by none, and cost time in every step."""
MOST_PARTS = 1000
"""Parts of a net of which it is remembered what was taken out."""
MOST_TAKEN = 400
"""Nodes taken out of a part that are named."""

_Taken: TypeAlias = "tuple[int, _Taken, _Taken] | None"
"""Nodes taken out: one, and those taken out before of the nets that it was taken out of."""
_Parts: TypeAlias = list[tuple[int, _Taken]]
"""What of the cost of a net has had which nodes taken out."""


class _Net:
    """A net, changed in place while nodes are taken out.

    Attributes
    ----------
    serial
        Counts the nets made, so that those of equal costs are taken in the same order in every run.
    head
        The pin that is an ancestor of all others, or -1 if there may be none.
    code, key
        The hash of its pins, and where it stands in the table of `Nets`.
    parts
        What was taken out of it; empty where that is not remembered.
    """

    __slots__ = ("code", "cost", "head", "key", "parts", "pins", "serial")

    def __init__(self, serial: int, pins: set[int], head: int, cost: int, code: int, parts: _Parts) -> None:
        self.serial, self.pins, self.head, self.cost = serial, pins, head, cost
        self.code, self.key = code, code
        self.parts = parts

    def give(self, cost: int) -> _Parts:
        """Give away so much of what it costs, and return the parts of that."""
        self.cost -= cost
        if not self.cost:
            given, self.parts = self.parts, []
            return given
        given = []
        while cost and self.parts:
            part, taken = self.parts.pop()
            if part > cost:
                self.parts.append((part - cost, taken))
            given.append((min(part, cost), taken))
            cost -= given[-1][0]
        return given


class Nets:
    """Nets in a table by a hash of their pins, so that equal ones add up; equality is decided on pins and head.

    The costs of a net on several kinds of devices are one whole number, `LANE` bits for each: costs never leave these
    bits, so sums and differences of such numbers are those of the costs.

    Parameters
    ----------
    tensor_cost
        ``[kinds, tensors]``
    placeless
        ``[n]`` the nodes that will be taken out.
    remember
        Whether nets keep what was taken out of them; only for one kind of devices.
    """

    def __init__(
        self, instance: Instance, tensor_cost: IntArray, placeless: BoolArray, *, remember: bool = False
    ) -> None:
        self._code: list[int] = np.random.default_rng(1).integers(1 << 62, size=instance.n).tolist()
        self._table: dict[int, _Net] = {}
        self._at: dict[int, set[_Net]] = {int(f): set() for f in np.flatnonzero(placeless)}
        self._placeless = frozenset(self._at)
        self._serial = 0
        self._kinds = len(tensor_cost)
        self._remember = remember
        # Nets of one pin: they cost the core nothing.
        self._single: list[tuple[int, _Parts]] = []
        self._least: Callable[[int, int], int] = min if self._kinds == 1 else self._least_of_each
        top = instance.topology
        ptr, pins, costs = top.consumer_ptr.tolist(), top.consumers.tolist(), self._packed(tensor_cost)
        rows = [(u, pins[ptr[t] : ptr[t + 1]], costs[t]) for t, u in enumerate(top.producer.tolist())]
        # In an order that depends on nothing but nodes: whoever checks a proof makes the same nets.
        for u, consumers, cost in sorted(rows):
            self._add({u, *consumers}, u, cost, [(cost, None)] if self._remember else [])

    def eliminate(self, f: int) -> None:
        """Take a node out of all its nets, merging nets of two pins with others.

        Dear nets are partners first: what a merged net costs is the cheaper of the two.
        """
        nets = sorted(self._at.pop(f), key=lambda net: (-net.cost, net.serial))
        for net in nets:
            del self._table[net.key]
        merged: list[tuple[_Net, int, int, int, _Parts]] = []
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
                    parts = _together(f, pair.give(shared), other.give(shared))
                    heirs[other] = len(merged)
                    merged.append((other, end, _head(pair, other, f), shared, parts))
        for net in nets:
            if net.cost == 0 and net in heirs:
                continue
            net.pins.discard(f)
            net.code ^= self._code[f]
            if net.head == f:
                net.head = -1
            net.parts = [(part, (f, taken, None)) for part, taken in net.parts]
            if net.parts and len(net.pins) == 1:
                self._single.append((next(iter(net.pins)), net.parts))
            if net.cost == 0 or len(net.pins) < 2 or not self._place(net):
                self._forget(net)
        for i, (other, end, head, shared, parts) in enumerate(merged):
            if other.cost == 0 and heirs[other] == i:
                other.parts = parts
                self._rename(other, f, end, head, shared)
            else:
                self._add((other.pins - {f}) | {end}, head, shared, parts)

    def rows(self) -> list[tuple[list[int], int, bool]]:
        """Return pins, cost and whether the first pin is the head, in a fixed order."""
        return sorted((sorted(net.pins), net.cost, net.head >= 0) for net in self._table.values())

    def taken_out(self) -> Iterator[tuple[int, list[int], list[int]]]:
        """Yield, for each part of each net, its cost, some of the nodes taken out of it, and its pins."""
        nets = [(sorted(net.pins), net.parts) for net in self._table.values()]
        nets += [([pin], parts) for pin, parts in self._single if pin not in self._placeless]
        for pins, parts in nets:
            for cost, taken in parts:
                if taken is not None:
                    yield cost, sorted(_named(taken)), pins

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

    def _add(self, pins: set[int], head: int, cost: int, parts: _Parts) -> None:
        if cost == 0 or len(pins) < 2:
            return
        self._serial += 1
        net = _Net(self._serial, pins, head, cost, reduce(xor, [self._code[v] for v in pins]), parts)
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
                there.parts = [*there.parts, *net.parts][:MOST_PARTS]
                return False
            key += 1
        net.key = key
        self._table[key] = net
        return True


def _together(f: int, a: _Parts, b: _Parts) -> _Parts:
    """Return the parts of a merged net, given those of both nets that f is taken out of."""
    if len(a) == 1 == len(b):
        return [(min(a[0][0], b[0][0]), (f, a[0][1], b[0][1]))]
    parts: _Parts = []
    a, b = a[::-1], b[::-1]
    while a and b and len(parts) < MOST_PARTS:
        (one, of_one), (other, of_other) = a.pop(), b.pop()
        cost = min(one, other)
        parts.append((cost, (f, of_one, of_other)))
        a += [(one - cost, of_one)] * (one > cost)
        b += [(other - cost, of_other)] * (other > cost)
    return parts


def _named(taken: _Taken) -> set[int]:
    """Return the nodes taken out, or `MOST_TAKEN` of them."""
    # Parts share what was taken out of the nets that they come from: each of that is looked at once.
    found, seen, waiting = set[int](), set[int](), [taken]
    while waiting and len(found) < MOST_TAKEN:
        taken = waiting.pop()
        if taken is not None and id(taken) not in seen:
            seen.add(id(taken))
            found.add(taken[0])
            waiting += taken[1:]
    return found


def _head(a: _Net, b: _Net, f: int) -> int:
    """Return the head of the merged net: if f heads b, the head of a is an ancestor of all of b, and vice versa."""
    if b.head == f and a.head not in (f, -1):
        return a.head
    if a.head == f and b.head not in (f, -1):
        return b.head
    return -1
