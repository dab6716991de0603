"""Restrict the search to interleavings of two chains, few enough for an exact dynamic program (corridor method).

Validity: additional arcs of cost zero only exclude partitions, and do not change the costs of the others. So each
partition of the restricted instance is one of the given instance, at the same cost.

The nodes are divided into two sets, the *main chain* and the *side chain*, and a topological order is added as a chain
on each. An ideal of the restricted instance is then a pair of positions: some ten thousand ideals, where the graph
itself has too many to enumerate. So its best partition is found exactly (`framework.structure.ideals.chain_dp`). It is
at least as good as any slicing of the topological order. A slicing fixes the order of all nodes; here the nodes of the
side chain can move to other stages while all boundaries move at once.

The side chain gets the nodes with the most incomparable work (`framework.structure.poset.width_reduction`): they are
removed one by one, with the weights of the others updated, until the rest is narrow enough to be the main chain. This
separates two parallel branches, or the modulation of a transformer's blocks by a common embedding.

The side chain is ordered like the given order, which keeps the partition from which that order comes; or by deadlines
(the first node of the main chain that each of its nodes must precede), which restricts the interleavings least. The
main chain may also keep the partial order of the graph, if that has few ideals.

The choice of the two sets is a heuristic. Source: this project; the corridor method: Sniedovich and Voss, 2006.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from framework.errors import OutOfTimeError
from framework.model.arrays import IntArray, ranks
from framework.model.graph import FloatArray
from framework.model.instance import Instance
from framework.structure.bit_sets import BitArray, holds
from framework.structure.kernel import allocating_kernel, kernel
from framework.structure.poset.closure import BoolArray, closure
from framework.structure.poset.width_reduction import PAIRS_A_CALL, reduce_width
from framework.structure.reduction.contraction import contract, with_arcs


class TwoChains:
    """Restricts one instance to two chains, in many ways.

    Parameters
    ----------
    should_stop
        Asked every few hundredths of a second, in all methods.

    Raises
    ------
    OutOfTimeError
        From any method, if `should_stop` returns true.
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

    def choose_side_chain(self, prices: FloatArray, most: float) -> BoolArray:
        """Return ``[n]`` which nodes to remove until no other has more than `most` ticks of incomparable work.

        Parameters
        ----------
        prices
            ``[n]`` nodes with more incomparable work for their price are removed earlier.
        """
        main_chain = np.ones(self._instance.n, np.bool_)
        beside = self._beside.copy()
        reduce_width(
            self._comparable, self._weight, prices, beside, main_chain, most=most, should_stop=self._should_stop
        )
        return ~main_chain

    def restrict(self, order: IntArray, wide: BoolArray, *, deadlines: bool, main_chain: bool) -> Instance:
        """Return the instance with the wide nodes in a chain.

        Parameters
        ----------
        order
            ``[n]`` a topological order.
        wide
            ``[n]`` the side chain.
        deadlines
            Whether the side chain is ordered by deadlines, and by `order` only where they are equal.
        main_chain
            Whether the other nodes are a chain as well, as in `order`.

        Returns
        -------
        The restricted instance, whose nodes are positions of an order; its `node_of_input` maps those of the given one.
        """
        if deadlines:
            order = self._by_deadlines(order, wide)
        chains = [order[wide[order]], order[~wide[order]]] if main_chain else [order[wide[order]]]
        tails = np.concatenate([chain[:-1] for chain in chains])
        heads = np.concatenate([chain[1:] for chain in chains])
        return contract(with_arcs(self._instance, tails, heads), ranks(order))

    def _by_deadlines(self, order: IntArray, wide: BoolArray) -> IntArray:
        """Return the order in which nodes of the side chain come as late as they may, else as given."""
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
            if u != v and not holds(comparable, v, u):
                total += weight[u]
        beside[v] = total


@allocating_kernel
def _deadlines(place: IntArray, wide: BoolArray, succ_ptr: IntArray, succs: IntArray) -> IntArray:
    """Return the first position of a node of the main chain that each node comes before, or n."""
    n = len(place)
    deadline = np.full(n, n, np.int64)
    for v in range(n - 1, -1, -1):
        for e in range(succ_ptr[v], succ_ptr[v + 1]):
            u = succs[e]
            deadline[v] = min(deadline[v], deadline[u] if wide[u] else place[u])
    return deadline
