"""Cores: a relaxation of an instance in which some nodes (*fluid* nodes) become divisible and belong to no stage.

Let R be the fluid nodes. The core keeps the nodes V - R, the order among them (paths through R included), their work,
parameters, and *nets* (`framework.structure.fluid.nets.elimination`): sets of core nodes with a cost that every stage
pays which holds some of them but not all. Some tensors are in no net, but in a *unit* of fluid nodes, and bound from
below what a stage pays that separates these from the core nodes that they feed
(`framework.structure.fluid.tolls.separation_costs`).

Of a fluid node the relaxation keeps its work, its parameters, and its place: after ancestors, before descendants.

Interchangeable nodes may be in the core as a chain (`framework.structure.fluid.interchangeable`): they lose their
tensors as fluid nodes do, but stay indivisible, in the order of their stages.

Source: this project.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from framework.errors import OutOfTimeError
from framework.model.arrays import IntArray, row_pointers, take_rows
from framework.model.instance import Instance
from framework.model.topology import build_topology
from framework.structure.bit_sets import BitArray
from framework.structure.fluid.interchangeable import Chain, chain_arcs
from framework.structure.fluid.nets.elimination import Nets
from framework.structure.fluid.tolls.separation_costs import Tolls, find_tolls
from framework.structure.fluid.tolls.ties import Ties, joined, make_ties, no_ties
from framework.structure.ideals.held import held_by
from framework.structure.kernel import kernel
from framework.structure.poset.closure import BoolArray, redundant_arcs, unpack_sets, word_count


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
        ``[fluid]``, ``[units]`` the units of `framework.structure.fluid.tolls.separation_costs`, whose cost is in no
        net.
    common, feeder, takers, feeding_cost, fed
        The common tensor of many units, if there is one; its producer and its consumers in the core (arrays of one,
        and of any number), its cost, in no net either, and ``[fluid]`` which nodes are in those units.
    device_unit_cost, device_feeding_cost
        ``[kinds, units]``, ``[kinds]`` these costs on each kind of device, of which the others are the least.
    ties
        The ties of fluid nodes to core nodes (`framework.structure.fluid.tolls.ties`), by their numbers here.
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
    device_unit_cost: IntArray
    device_feeding_cost: IntArray
    ties: Ties


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
    tied: bool = True,
    should_stop: Callable[[], bool] = lambda: False,
) -> FluidCore:
    """Build the core with all its nets; `fluid` is a mask over the nodes that leaves at least one, and no chained ones.

    Parameters
    ----------
    tolled
        Whether some tensors serve as tolls (`framework.structure.fluid.tolls.separation_costs`) and not as nets.
    tied
        Whether to gather ties (`framework.structure.fluid.tolls.ties`), where there is one kind of devices: it takes
        half as long as the rest.

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
    instance = held_by(instance, ~placeless, fluid)
    tolls = find_tolls(instance, fluid & tolled, ~placeless)
    tied = tied and len(tolls.tensor_cost) == 1
    nets = Nets(instance, tolls.tensor_cost, placeless, remember=tied)
    nets.eliminate(should_stop)
    rows = nets.rows()
    return FluidCore(
        instance=instance,
        nodes=nodes,
        fluid=np.flatnonzero(fluid),
        chained=placeless[nodes],
        order=order,
        net_cost=rows.cost.min(0),
        net_ptr=rows.ptr,
        net_pins=core[rows.pins],
        device_net_cost=rows.cost,
        headed=rows.headed,
        after=after,
        before=before,
        unit=tolls.unit[fluid],
        unit_cost=tolls.cost.min(0),
        common=tolls.common,
        feeder=core[tolls.feeder],
        takers=core[tolls.takers],
        feeding_cost=int(tolls.feeding_cost.min()),
        fed=tolls.fed[fluid],
        device_unit_cost=tolls.cost,
        device_feeding_cost=tolls.feeding_cost,
        ties=_ties(instance, nets, tolls, fluid, core, should_stop) if tied else no_ties(),
    )


def _ties(
    instance: Instance,
    nets: Nets,
    tolls: Tolls,
    fluid: BoolArray,
    core: IntArray,
    should_stop: Callable[[], bool],
) -> Ties:
    """Return the ties that are left when all nodes without a place are taken out of the nets, and those of units."""
    number, place, top = np.where(fluid, np.cumsum(fluid) - 1, -1), core.tolist(), instance.topology
    parts = nets.taken_out(should_stop)
    row, member = np.repeat(np.arange(len(parts.cost)), np.diff(parts.taken_ptr)), number[parts.taken]
    row, member = row[member >= 0], member[member >= 0]
    ptr = row_pointers(row, len(parts.cost))
    some = np.flatnonzero(np.diff(ptr))
    pin_ptr, pins = take_rows(parts.pin_ptr, parts.pins, some)
    rows = []
    units: dict[int, list[int]] = {}
    for v in np.flatnonzero(tolls.unit >= 0).tolist():
        units.setdefault(int(tolls.unit[v]), []).append(v)
    for unit, nodes in units.items():
        owners = {place[u] for u in top.succs[top.succ_ptr[nodes[-1]] : top.succ_ptr[nodes[-1] + 1]].tolist()}
        rows.append((int(tolls.cost[0, unit]), number[nodes].tolist(), sorted(owners)))
    return joined(Ties(parts.cost[some], *take_rows(ptr, member, some), pin_ptr, core[pins]), make_ties(rows))


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
    tied = len(core.ties.cost) > 0
    return build_core(core.instance, mask, tolled=False, tied=tied, should_stop=should_stop)


def incidence(pins: IntArray, nets: IntArray, n: int) -> tuple[IntArray, IntArray]:
    """Return the nets of each node as (ptr, items)."""
    return row_pointers(pins, n), nets[np.argsort(pins, kind="stable")]


def rows_of_sets(sets: BitArray, n: int) -> tuple[IntArray, IntArray]:
    """Return, for each core node, the fluid nodes whose set holds it, as (ptr, items)."""
    fluid, node = np.nonzero(unpack_sets(sets, n))
    return incidence(node.astype(np.int64), fluid.astype(np.int64), n)
