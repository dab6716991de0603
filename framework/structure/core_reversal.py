"""A core read backwards: its last node first.

What a stage costs does not depend on the direction, and a chain of ideals of the reversed order is, complement by
complement, one of the order itself: so a threshold is refuted in either direction with equal right. (Only heads of
nets are forgotten: that a head is in no stage that its net comes into holds forwards. Arcs of chains are arcs like
others.) The program of `framework.structure.core_fluid` is not symmetric, though: it keeps to the most fluid done, and
walks from each state to all that one stage more can reach. Where the fluid may run as early as one likes but has to be
done at some node, as the projections of a conditioning vector have, hardly anything can be told of states near the
start; read backwards, most of them never come up. On such graphs the walks are hundreds of times shorter.

Source: this project.
"""

from __future__ import annotations

import numpy as np

from framework.model.instance import Instance
from framework.model.topology import IntArray, build_topology, row_pointers
from framework.structure.closure import BitArray, word_count
from framework.structure.fluid_core import FluidCore


def reverse_core(core: FluidCore) -> FluidCore:
    """Return the core read backwards: node i of n is node n - 1 - i, and what came before comes after.

    So its `nodes` descend, and no net is `headed`: whether it is is not known.

    Raises
    ------
    ValueError
        If the core has tolls: these are told from owners, which come after what they own.
    """
    if (core.unit >= 0).any():
        raise ValueError("a core with tolls cannot be read backwards")
    order, n = core.order, core.order.n
    top = order.topology
    tails = np.repeat(np.arange(n), np.diff(top.succ_ptr))
    arcs = np.stack((n - 1 - top.succs, n - 1 - tails))
    arcs = arcs[:, np.lexsort((arcs[1], arcs[0]))]
    producer = np.unique(arcs[0])
    row = row_pointers(arcs[0], n)
    nets = np.repeat(np.arange(len(core.net_cost)), np.diff(core.net_ptr))
    pins = n - 1 - core.net_pins
    return FluidCore(
        instance=core.instance,
        nodes=core.nodes[::-1].copy(),
        fluid=core.fluid,
        chained=core.chained[::-1].copy(),
        order=Instance(
            name=order.name,
            unit=order.unit,
            ticks_per_unit=order.ticks_per_unit,
            work=order.work[::-1].copy(),
            parameter_cost=order.parameter_cost[::-1].copy(),
            tensor_cost=np.zeros(len(producer), np.int64),
            capacity=order.capacity,
            topology=build_topology(n, producer, np.concatenate((row[producer], row[-1:])), arcs[1]),
            node_of_input=np.arange(n, dtype=np.int64),
        ),
        net_cost=core.net_cost,
        net_ptr=core.net_ptr,
        net_pins=pins[np.lexsort((pins, nets))],
        headed=np.zeros_like(core.headed),
        after=_reversed(core.before, n),
        before=_reversed(core.after, n),
        unit=core.unit,
        unit_cost=core.unit_cost,
        feeder=core.feeder,
        takers=core.takers,
        feeding_cost=core.feeding_cost,
        fed=core.fed,
    )


def reverse_stages(stage_of_core: IntArray, stages: int) -> IntArray:
    """Return the stages that the nodes of the core have if these are the stages of its reversal."""
    return (stages - 1 - stage_of_core)[::-1].copy()


def _reversed(sets: BitArray, n: int) -> BitArray:
    """Return the sets of nodes n - 1 - i."""
    octets = np.ascontiguousarray(sets).astype("<u8", copy=False).view(np.uint8)
    members = np.packbits(np.unpackbits(octets, axis=1, count=n, bitorder="little")[:, ::-1], axis=1, bitorder="little")
    rows = np.zeros((len(sets), 8 * word_count(n)), np.uint8)
    rows[:, : members.shape[1]] = members
    words: BitArray = rows.view("<u8").astype(np.uint64, copy=False)
    return words
