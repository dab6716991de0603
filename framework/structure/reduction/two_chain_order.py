"""Restrict the search to interleavings of two chains, few enough for an exact dynamic program (corridor method).

Any order added to a graph leaves fewer partitions, each at the cost it had; with both halves of a topological order
added as chains, a *spine* and a *strand* of wide nodes, the ideals are pairs of positions, some ten thousand of them
where the graph itself has more than can be counted. The best partition of the woven graph is then found exactly
(`framework.structure.ideals.chain_dp`). It is at least as good as any slicing of the order; what slicing cannot do,
moving all boundaries at once while the strand fills what room the stages have left, is what the second chain is for.

A node is *wide* where much may run before or after it as well. Nodes are peeled off, the one with the most
weight incomparable to it first, the rest being weighed anew: what remains is a spine whose nodes have less and less
beside them. Two towers, or the modulation of a transformer's blocks by a common embedding, come apart this way.

The strand is ordered as the given order is, which keeps the partition that the order came from; or by deadlines, the
nodes of the spine that its nodes must precede, which leaves the strand as much freedom as one chain has. The spine may
also keep the order of the graph, where that has few ideals of its own.

A heuristic choice throughout; partitions of a woven graph are partitions of the graph. Source: this project.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from framework.errors import OutOfTimeError
from framework.model.arrays import IntArray, ranks
from framework.model.graph import FloatArray
from framework.model.instance import Instance
from framework.structure.kernel import allocating_kernel, kernel
from framework.structure.poset.closure import BitArray, BoolArray, closure
from framework.structure.poset.width_reduction import PAIRS_A_CALL, peel
from framework.structure.reduction.contraction import contract, with_arcs


class Loom:
    """Weaves one instance in many ways.

    Parameters
    ----------
    should_stop
        Asked every few hundredths of a second, in all methods.

    Raises
    ------
    OutOfTimeError
        From any method, if `should_stop` strikes.
    """

    def __init__(self, instance: Instance, should_stop: Callable[[], bool]) -> None:
        self._instance, self._should_stop = instance, should_stop
        reach = closure(instance, should_stop=should_stop)
        self._comparable: BitArray = reach.ancestors | reach.descendants
        self._weight = instance.work + (instance.parameter_cost if instance.can_overflow else 0)
        self._beside = np.empty(instance.n, np.int64)
        step = max(1, PAIRS_A_CALL // instance.n)
        for first in range(0, instance.n, step):
            if should_stop():
                raise OutOfTimeError("stopped while nodes were being compared")
            _weigh(self._comparable, self._weight, first, min(instance.n, first + step), self._beside)

    @property
    def total_weight(self) -> int:
        """All work, and the parameters where they can overflow, in ticks."""
        return int(self._weight.sum())

    def peel(self, prices: FloatArray, most: float) -> BoolArray:
        """Return the mask ``[n]`` of the nodes to peel off so that none left has more than so much beside it, in ticks.

        Parameters
        ----------
        prices
            ``[n]`` those with more beside them for their price go earlier.
        """
        spine = np.ones(self._instance.n, np.bool_)
        beside = self._beside.copy()
        peel(self._comparable, self._weight, prices, beside, spine, most=most, should_stop=self._should_stop)
        return ~spine

    def weave(self, order: IntArray, wide: BoolArray, *, deadlines: bool, spine: bool) -> Instance:
        """Return the instance with the wide nodes in a chain.

        Parameters
        ----------
        order
            ``[n]`` a topological order.
        wide
            ``[n]`` the strand.
        deadlines
            Whether the strand is ordered by deadlines, and by `order` only where they are equal.
        spine
            Whether the other nodes are a chain as well, as in `order`.

        Returns
        -------
        The woven instance, whose nodes are positions of an order; its `node_of_input` maps those of the given one.
        """
        if deadlines:
            order = self._by_deadlines(order, wide)
        chains = [order[wide[order]], order[~wide[order]]] if spine else [order[wide[order]]]
        tails = np.concatenate([chain[:-1] for chain in chains])
        heads = np.concatenate([chain[1:] for chain in chains])
        return contract(with_arcs(self._instance, tails, heads), ranks(order))

    def _by_deadlines(self, order: IntArray, wide: BoolArray) -> IntArray:
        """Return the order in which nodes of the strand come as late as they may, else as given."""
        top, place = self._instance.topology, ranks(order)
        deadlines: IntArray = _deadlines(place, wide, top.succ_ptr, top.succs)
        return np.lexsort((place, np.where(wide, 2 * deadlines - 1, 2 * place)))


@kernel
def _weigh(comparable: BitArray, weight: IntArray, first: int, last: int, beside: IntArray) -> None:
    """Fill the weight incomparable to each of some nodes."""
    n = len(weight)
    for v in range(first, last):
        total = 0
        for u in range(n):
            if u != v and not (comparable[v, u >> 6] >> np.uint64(u & 63)) & np.uint64(1):
                total += weight[u]
        beside[v] = total


@allocating_kernel
def _deadlines(place: IntArray, wide: BoolArray, succ_ptr: IntArray, succs: IntArray) -> IntArray:
    """Return the first position of a node of the spine that each node comes before, or n."""
    n = len(place)
    deadline = np.full(n, n, np.int64)
    for v in range(n - 1, -1, -1):
        for e in range(succ_ptr[v], succ_ptr[v + 1]):
            u = succs[e]
            deadline[v] = min(deadline[v], deadline[u] if wide[u] else place[u])
    return deadline
