"""What a checker has to be told of rounds of filtering: it reads the cores again, and follows what they show.

A round is a row of lists (`framework.proof.cores.fixing`): threshold, order, fluid nodes, units and common tensor of
tolls, ways in which the core is read, nodes that are counted in some of them, arcs, moves, and branches. Nodes go by
those of the problem's instance: a node by any that it holds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from framework.model.arrays import IntArray, take_rows
from framework.model.instance import Instance
from framework.structure.fluid.core import FluidCore
from framework.structure.fluid.variants import Counted, Variant
from framework.structure.poset.closure import BoolArray

Rounds = tuple[list[int], ...]
"""The lists of all rounds, one after the other."""


def named(names: IntArray, instance: Instance) -> IntArray:
    """Return a name of each node of an instance, given those of the nodes that it was made from."""
    carried = np.empty(instance.n, np.int64)
    carried[instance.node_of_input[::-1]] = names[::-1]
    return carried


def way_of(variant: Variant, instance: Instance) -> list[int]:
    """Return what a variant counts: whose parameters, the grain, and on different devices work and parameters."""
    weights = variant.devices
    if weights is None:
        return [int(variant.counted), variant.grain]
    if instance.unequal is not None:
        return [int(variant.counted), variant.grain, *weights.work, *weights.streams]
    if variant.counted == Counted.CROWDED:
        return [int(Counted.CROWDED), variant.grain]
    # Work counts as it is, where parameters do.
    return [int(Counted.ALL_PARAMETERS if weights.streams[0] else Counted.WORK), variant.grain]


def units_of(core: FluidCore) -> list[IntArray]:
    """Return the nodes of each unit of a core."""
    return [core.fluid[core.unit == unit] for unit in np.unique(core.unit[core.unit >= 0])]


def common_of(core: FluidCore) -> IntArray:
    """Return producer and consumers of the common tensor of a core; nothing without one."""
    top = core.instance.topology
    return np.concatenate((top.producer[core.common], take_rows(top.consumer_ptr, top.consumers, core.common)[1]))


def round_of_core(
    threshold: int, names: IntArray, core: FluidCore, variants: Sequence[Variant], crowded: BoolArray | None
) -> Rounds:
    """Return the round in which a core is read, without what follows from it."""
    some = any(variant.counted == Counted.CROWDED for variant in variants) and crowded is not None
    return (
        [threshold],
        names.tolist(),
        names[core.fluid].tolist(),
        [number for nodes in units_of(core) for number in (len(nodes), *names[nodes].tolist())],
        names[common_of(core)].tolist(),
        [number for variant in variants for number in way_of(variant, core.instance)],
        names[crowded].tolist() if some else [],
        [],
        [],
        [],
    )


def arcs_of(names: IntArray, core: FluidCore, left: Instance) -> list[int]:
    """Return the arcs that a core shows, those in both directions included that make several nodes one of `left`.

    What ends at nodes without a node of the core was there before.
    """
    group, top = left.node_of_input[core.nodes], left.topology
    chosen = np.full(left.n, -1, np.int64)
    chosen[group[::-1]] = core.nodes[::-1]
    merged = core.nodes[chosen[group] != core.nodes]
    one = chosen[left.node_of_input[merged]]
    tails, heads = chosen[np.repeat(top.producer, np.diff(top.consumer_ptr))], chosen[top.consumers]
    shown = np.repeat(left.tensor_cost == 0, np.diff(top.consumer_ptr)) & (tails >= 0) & (heads >= 0)
    pairs = np.stack((np.concatenate((one, merged, tails[shown])), np.concatenate((merged, one, heads[shown]))), axis=1)
    arcs: list[int] = names[pairs.reshape(-1)].tolist()
    return arcs


def round_of_branches(threshold: int, names: IntArray, runs: Sequence[tuple[list[IntArray], int]]) -> Rounds:
    """Return the round in which runs of exchangeable branches are put in order, by the node of one place in them."""
    numbers: list[int] = []
    for branches, place in runs:
        numbers += [len(branches), len(branches[0]), place, *names[np.concatenate(branches)].tolist()]
    return [threshold], [], [], [], [], [], [], [], [], numbers
