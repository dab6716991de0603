"""A core with all edges reversed, for the backward pass of the dynamic program.

Validity: the cost of a stage does not depend on the direction of edges, and the complements of a chain of ideals are a
chain of ideals of the reversed order. So a refutation in either direction is valid. (Heads of nets are dropped: the
rule that a head is in no stage that its net enters holds forwards only. Arcs of chains are reversed like others.)

Why it helps: the program of `framework.structure.fluid.chain_dp` is not symmetric. It keeps the largest fluid work of
each state, and walks from each state to all states that one more stage can reach. If fluid nodes may run at any early
stage but must be done before some core node, as the projections of a conditioning vector, few states near the start can
be pruned; in the reversed core most of these states are not reached. On such graphs the walks are hundreds of times
shorter.

Source: this project.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from framework.errors import OutOfTimeError
from framework.model.arrays import IntArray
from framework.structure.bit_sets import BitArray
from framework.structure.fluid.core import FluidCore, order_of_arcs
from framework.structure.ideals.lattice import IdealLattice, enumerate_ideals
from framework.structure.poset.closure import pack_sets, unpack_sets


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
    top, n = core.order.topology, core.order.n
    arcs = n - 1 - np.stack((top.succs, np.repeat(np.arange(n), np.diff(top.succ_ptr))))
    arcs = arcs[:, np.lexsort((arcs[1], arcs[0]))]
    nodes = core.nodes[::-1].copy()
    pins = n - 1 - core.net_pins
    return replace(
        core,
        nodes=nodes,
        chained=core.chained[::-1].copy(),
        order=order_of_arcs(core.instance, nodes, arcs),
        net_pins=pins[np.lexsort((pins, np.repeat(np.arange(len(core.net_cost)), np.diff(core.net_ptr))))],
        headed=np.zeros_like(core.headed),
        after=_reversed(core.before, n),
        before=_reversed(core.after, n),
        ties=core.ties._replace(pins=n - 1 - core.ties.pins),
    )


def read_backwards(
    core: FluidCore, lattice: IdealLattice, should_stop: Callable[[], bool] = lambda: False
) -> tuple[FluidCore, IdealLattice]:
    """Return a core without tolls and its complete lattice read backwards (see `reverse_core`).

    Raises
    ------
    OutOfTimeError
        If `should_stop` struck first.
    """
    turned = reverse_core(core)
    mirror = enumerate_ideals(turned.order, max_ideals=len(lattice) + 1, should_stop=should_stop)
    if not mirror.complete:
        raise OutOfTimeError("stopped while the ideals of a reversed core were being enumerated")
    return turned, mirror


def reverse_stages(stage_of_core: IntArray, stages: int) -> IntArray:
    """Return the stages that the nodes of the core have if these are the stages of its reversal."""
    return (stages - 1 - stage_of_core)[::-1].copy()


def _reversed(sets: BitArray, n: int) -> BitArray:
    """Return the sets of nodes n - 1 - i."""
    return pack_sets(unpack_sets(sets, n)[:, ::-1])
