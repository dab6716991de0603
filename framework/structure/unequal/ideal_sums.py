"""Sums over ideals in several prices at once: what tensors that cross each ideal cost."""

from __future__ import annotations

import numpy as np

from framework.model.arrays import IntArray
from framework.model.topology import Topology, TopologyArrays
from framework.structure.bit_sets import holds
from framework.structure.ideals.lattice import IdealLattice, Lattice
from framework.structure.kernel import kernel


def cuts_of(lattice: IdealLattice, topology: Topology, costs: IntArray) -> IntArray:
    """Return the sums over the tensors that cross each ideal of a complete lattice, ``[rows, ideals]``.

    Parameters
    ----------
    costs
        ``[rows, m]`` prices of tensors.
    """
    cuts = np.full((len(costs), len(lattice)), -1, np.int64)
    cuts[:, 0] = 0
    _fill_cuts(lattice.arrays, topology.arrays, costs, cuts)
    return cuts


@kernel
def _fill_cuts(lattice: Lattice, top: TopologyArrays, costs: IntArray, cuts: IntArray) -> None:
    """An ideal cuts what one below it does, and what the node between them makes, without what ends there."""
    for ideal in range(cuts.shape[1]):
        for e in range(lattice.edge_ptr[ideal], lattice.edge_ptr[ideal + 1]):
            v, there = lattice.edge_node[e], lattice.edge_ideal[e]
            if cuts[0, there] >= 0:
                continue
            for row in range(len(cuts)):
                cuts[row, there] = cuts[row, ideal]
                for i in range(top.out_ptr[v], top.out_ptr[v + 1]):
                    cuts[row, there] += costs[row, top.out_tensors[i]]
            for i in range(top.in_ptr[v], top.in_ptr[v + 1]):
                t = top.in_tensors[i]
                inside = True
                for x in range(top.consumer_ptr[t], top.consumer_ptr[t + 1]):
                    if not holds(lattice.bits, there, top.consumers[x]):
                        inside = False
                        break
                if inside:
                    for row in range(len(cuts)):
                        cuts[row, there] -= costs[row, t]
