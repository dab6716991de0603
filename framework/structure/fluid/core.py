"""Cores: a relaxation of an instance in which some nodes (*fluid* nodes) become divisible and belong to no stage.

Let R be the fluid nodes. The core keeps the nodes V - R, the order among them (paths through R included), their work,
parameters, and *nets*: sets of core nodes with a cost that every stage pays which holds some of them but not all.

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

Of a fluid node the relaxation keeps its work, its parameters, and its place: after ancestors, before descendants.

Interchangeable nodes may be in the core as a chain (`framework.structure.fluid.interchangeable`): they lose their
tensors as fluid nodes do, but stay indivisible, in the order of their stages.

Source: this project.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import xor

import numpy as np

from framework.errors import OutOfTimeError
from framework.model.arrays import IntArray, row_pointers
from framework.model.instance import Instance
from framework.model.topology import build_topology
from framework.structure.bit_sets import BitArray
from framework.structure.fluid.interchangeable import Chain, chain_arcs
from framework.structure.fluid.separation_costs import find_tolls
from framework.structure.ideals.held import held_by
from framework.structure.kernel import kernel
from framework.structure.poset.closure import BoolArray, redundant_arcs, unpack_sets, word_count

LANE, _LANE_MASK = 48, (1 << 48) - 1
"""Bits for the cost of a net on one kind of device: more than the sum of all costs takes."""
LARGEST_NET = 64
"""Nodes of a merged net; larger ones are cut by almost every stage or by none, and cost time in every step."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FluidCore:
    """A core and its fluid.

    Attributes
    ----------
    instance
        The instance it was made from, with shared parameters as `held_by` leaves them: of the core alone.
    nodes, fluid
        ``[core]``, ``[fluid]`` the nodes of the instance on either side, ascending.
    chained
        ``[core]`` which nodes are in chains: there a node stands for one of its kind.
    order
        The core as an instance whose tensors cost nothing: its ideals are those of the core.
    net_cost, net_ptr, net_pins
        The nets, rows of core nodes (numbered as in `order`), ascending.
    device_net_cost
        ``[kinds, nets]`` what a stage on each kind of device pays for each net: `net_cost` is the least of it.
    headed
        ``[nets]`` whether the first pin is an ancestor of all others.
    after, before
        ``[fluid, words]`` bit sets over core nodes: the last ones each fluid node comes after, the first ones it comes
        before.
    unit, unit_cost
        ``[fluid]``, ``[units]`` the units of `framework.structure.fluid.separation_costs`, whose cost is in no net.
    common, feeder, takers, feeding_cost, fed
        The common tensor of many units, if there is one; its producer and its consumers in the core (arrays of one,
        and of any number), its cost, in no net either, and ``[fluid]`` which nodes are in those units.
    """

    instance: Instance
    nodes: IntArray
    fluid: IntArray
    chained: BoolArray
    order: Instance
    net_cost: IntArray
    net_ptr: IntArray
    net_pins: IntArray
    device_net_cost: IntArray
    headed: BoolArray
    after: BitArray
    before: BitArray
    unit: IntArray
    unit_cost: IntArray
    common: IntArray
    feeder: IntArray
    takers: IntArray
    feeding_cost: int
    fed: BoolArray


def core_order(
    instance: Instance,
    fluid: BoolArray,
    chains: Sequence[Chain] = (),
    *,
    should_stop: Callable[[], bool] = lambda: False,
) -> tuple[Instance, BitArray, BitArray]:
    """Return the order of the core as an instance without tensor costs, and `after`, `before` of the fluid nodes.

    Raises
    ------
    OutOfTimeError
        If `should_stop` struck first.
    """
    top, n = instance.topology, instance.n
    nodes = np.flatnonzero(~fluid)
    size = len(nodes)
    number = np.full(n, -1, np.int64)
    number[nodes] = np.arange(size)
    core = number.copy()
    for chain in chains:
        core[chain.nodes] = -1
    after = np.zeros((n, word_count(size)), np.uint64)
    before = np.zeros((n, word_count(size)), np.uint64)
    forward = np.arange(n, dtype=np.int64)
    for nodes_in_turn, ptr, items, rows in (
        (forward, top.pred_ptr, top.preds, after),
        (forward[::-1].copy(), top.succ_ptr, top.succs, before),
    ):
        _collect(nodes_in_turn, ptr, items, core, rows)
        if should_stop():
            raise OutOfTimeError("stopped while the order of the core was being built")
    fixed = np.flatnonzero(core >= 0)
    arcs = np.empty((2, _members(before, fixed, np.empty((2, 0), np.int64))), np.int64)
    _members(before, fixed, arcs)
    arcs[0] = core[fixed[arcs[0]]]
    if chains:
        arcs = np.unique(np.concatenate((arcs, number[chain_arcs(chains, fixed)]), axis=1), axis=1)
    keep = ~redundant_arcs(size, row_pointers(arcs[0], size), arcs[1], should_stop=should_stop)
    return order_of_arcs(instance, nodes, arcs[:, keep]), after[fluid], before[fluid]


def order_of_arcs(instance: Instance, nodes: IntArray, arcs: IntArray) -> Instance:
    """Return some nodes of an instance, in the order given, with arcs for their tensors, which cost nothing.

    Parameters
    ----------
    nodes
        ``[core]``
    arcs
        ``[2, arcs]`` tails and heads, as places in `nodes`, by tail and then by head.
    """
    size = len(nodes)
    producer, row = np.unique(arcs[0]), row_pointers(arcs[0], size)
    return Instance(
        name=instance.name,
        unit=instance.unit,
        ticks_per_unit=instance.ticks_per_unit,
        work=instance.work[nodes],
        parameter_cost=instance.parameter_cost[nodes],
        tensor_cost=np.zeros(len(producer), np.int64),
        capacity=instance.capacity,
        topology=build_topology(size, producer, np.concatenate((row[producer], row[-1:])), arcs[1]),
        node_of_input=np.arange(size, dtype=np.int64),
    )


def build_core(
    instance: Instance,
    fluid: BoolArray,
    chains: Sequence[Chain] = (),
    *,
    tolled: bool = True,
    should_stop: Callable[[], bool] = lambda: False,
) -> FluidCore:
    """Build the core with all its nets; `fluid` is a mask over the nodes that leaves at least one, and no chained ones.

    Parameters
    ----------
    tolled
        Whether some tensors serve as tolls (`framework.structure.fluid.separation_costs`) and not as nets.

    Raises
    ------
    OutOfTimeError
        If `should_stop` struck first.
    """
    order, after, before = core_order(instance, fluid, chains, should_stop=should_stop)
    nodes = np.flatnonzero(~fluid)
    placeless = fluid.copy()
    for chain in chains:
        placeless[chain.nodes] = True
    core = np.full(instance.n, -1, np.int64)
    core[nodes] = np.arange(len(nodes))
    tolled = tolled and instance.unequal is None and not len(instance.shared)
    instance = held_by(instance, ~placeless, fluid)
    tolls, unequal = find_tolls(instance, fluid & tolled, ~placeless), instance.unequal
    nets = _Nets(instance, tolls.tensor_cost[None] if unequal is None else unequal.tensor_cost, placeless)
    for f in np.flatnonzero(placeless).tolist():
        if should_stop():
            raise OutOfTimeError("stopped while nets were being merged")
        nets.eliminate(f)
    rows = nets.rows()
    lengths = np.array([len(pins) for pins, _, _ in rows], np.int64)
    net_cost = nets.unpacked([cost for _, cost, _ in rows])
    return FluidCore(
        instance=instance,
        nodes=nodes,
        fluid=np.flatnonzero(fluid),
        chained=placeless[nodes],
        order=order,
        net_cost=net_cost.min(0),
        net_ptr=np.concatenate((np.zeros(1, np.int64), np.cumsum(lengths))).astype(np.int64),
        net_pins=core[np.array([v for pins, _, _ in rows for v in pins], np.int64)],
        device_net_cost=net_cost,
        headed=np.array([headed for _, _, headed in rows], np.bool_),
        after=after,
        before=before,
        unit=tolls.unit[fluid],
        unit_cost=tolls.cost,
        common=tolls.common,
        feeder=core[tolls.feeder],
        takers=core[tolls.takers],
        feeding_cost=tolls.feeding_cost,
        fed=tolls.fed[fluid],
    )


class _Net:
    """A net, changed in place while nodes are taken out.

    Attributes
    ----------
    serial
        Counts the nets made, so that ties are broken alike in every run.
    head
        The pin that is an ancestor of all others, or -1 if there may be none.
    code, key
        The hash of its pins, and where it stands in the table of `_Nets`.
    """

    __slots__ = ("code", "cost", "head", "key", "pins", "serial")

    def __init__(self, serial: int, pins: set[int], head: int, cost: int, code: int) -> None:
        self.serial, self.pins, self.head, self.cost = serial, pins, head, cost
        self.code, self.key = code, code


class _Nets:
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
        merged = []
        for pair in nets:
            if len(pair.pins) != 2:
                continue
            for other in nets:
                shared = self._least(pair.cost, other.cost)
                if other is pair or not shared or len(other.pins) > LARGEST_NET + 1:
                    continue
                union = (pair.pins | other.pins) - {f}
                if 2 <= len(union) <= LARGEST_NET:
                    pair.cost -= shared
                    other.cost -= shared
                    merged.append((union, _head(pair, other, f), shared))
        for net in nets:
            net.pins.discard(f)
            net.code ^= self._code[f]
            if net.head == f:
                net.head = -1
            if net.cost == 0 or len(net.pins) < 2 or not self._place(net):
                for v in net.pins:
                    if v in self._at:
                        self._at[v].discard(net)
        for union, head, shared in merged:
            self._add(union, head, shared)

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


@kernel
def _collect(order: IntArray, ptr: IntArray, items: IntArray, core: IntArray, rows: BitArray) -> None:
    """Fill rows with the core nodes next to each node, paths through fluid nodes included."""
    one = np.uint64(1)
    for v in order:
        for e in range(ptr[v], ptr[v + 1]):
            u = items[e]
            if core[u] >= 0:
                rows[v, core[u] >> 6] |= one << np.uint64(core[u] & 63)
            else:
                for word in range(rows.shape[1]):
                    rows[v, word] |= rows[u, word]


@kernel
def _members(rows: BitArray, nodes: IntArray, arcs: IntArray) -> int:
    """Count the members of the given rows, and write (row number, member) to `arcs` if it has room."""
    count = 0
    for i in range(len(nodes)):
        for word in range(rows.shape[1]):
            bits = rows[nodes[i], word]
            member = word << 6
            while bits:
                if bits & np.uint64(1):
                    if arcs.shape[1]:
                        arcs[0, count] = i
                        arcs[1, count] = member
                    count += 1
                bits >>= np.uint64(1)
                member += 1
    return count


def without_tolls(core: FluidCore, should_stop: Callable[[], bool] = lambda: False) -> FluidCore:
    """Return a core that has no chains with all its tensors in the nets; the core itself if they are.

    Raises
    ------
    OutOfTimeError
        If `should_stop` struck first.
    """
    if not (core.unit >= 0).any():
        return core
    mask = np.zeros(core.instance.n, np.bool_)
    mask[core.fluid] = True
    return build_core(core.instance, mask, tolled=False, should_stop=should_stop)


def incidence(pins: IntArray, nets: IntArray, n: int) -> tuple[IntArray, IntArray]:
    """Return the nets of each node as (ptr, items)."""
    return row_pointers(pins, n), nets[np.argsort(pins, kind="stable")]


def rows_of_sets(sets: BitArray, n: int) -> tuple[IntArray, IntArray]:
    """Return, for each core node, the fluid nodes whose set holds it, as (ptr, items)."""
    fluid, node = np.nonzero(unpack_sets(sets, n))
    return incidence(node.astype(np.int64), fluid.astype(np.int64), n)
