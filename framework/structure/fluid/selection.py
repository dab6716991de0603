"""Choosing which nodes become divisible, so that the core has few ideals and its bound stays strong.

The number of ideals grows with the number of incomparable nodes. Making a node fluid weakens the bound in three ways:
the costs of its tensors are lost, it may run in several stages, and it becomes divisible. The last one matters for
nodes with a large part of the work of a stage. So nodes are ranked by

    (number of nodes of the core incomparable with it)
        /  (cost of its tensors + share * mean of that cost + weight_bias * square of its work and parameters),

where *weight_bias* is a coefficient that says how strongly heavy nodes are preferred for the core. With a *spread*
above 1 the denominator is multiplied by the spread once for each of the nested selections of well separated nodes that
a node is in (`framework.structure.poset.spacing`). Then the core keeps nodes at some distance from each other on each
of several parallel chains: a recurrent cell keeps one node and not all of its gates, and the places of the fluid nodes
between two core nodes on a chain are known within the distance of these. The node with the highest rank is removed
first, and the numbers are updated after each removal. Bisection finds the shortest prefix of this ranking whose core
has at most a given number of ideals (a longer prefix never has more ideals: they are restrictions of those of a shorter
one). Then nodes are returned to the core, those with the most expensive tensors first, as long as the limit on ideals
allows.

Every choice is valid; this one is a heuristic. Source: this project.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from framework.errors import OutOfTimeError
from framework.model.arrays import IntArray
from framework.model.instance import Instance
from framework.structure.fluid.core import core_order
from framework.structure.fluid.interchangeable import Chain
from framework.structure.ideals.lattice import IdealLattice, LatticeStatus, enumerate_ideals
from framework.structure.poset.closure import BoolArray, Closure, closure, pack_sets
from framework.structure.poset.spacing import spacing_levels
from framework.structure.poset.width_reduction import reduce_width

SHARE = 0.3
"""Share of the mean tensor cost: from 0.02, cheap tensors first, to 3, most incomparable first, it matters little."""
WEIGHT_BIASES = (0.0, 3.0, 10.0)
"""Weight biases worth trying, over the load of a stage: with no weight at all, and with heavy nodes kept in the
core."""
MOST_LEVELS = 10
"""Selections of well separated nodes, each with twice the distance of the one before."""


class Preference(NamedTuple):
    """A weight bias, over the load of a stage, and a spread."""

    weight_bias: float
    spread: float


PREFERENCES = (*(Preference(WEIGHT_BIASES[i], 1.0) for i in (0, 2, 1)), Preference(0.0, 4.0))
"""Preferences worth trying, the least alike first: the weight biases, and nodes far from each other."""
MOST_ATTEMPTS = 30
"""Cores built while nodes are given back: where single nodes are refused one after the other, the rest stays fluid."""


class FluidChoice:
    """Chooses fluid nodes of one instance, for any number of ideals.

    Parameters
    ----------
    weight_bias
        See the module; per tick, as it is multiplied with the square of ticks.
    spread
        See the module; 1 for none.
    chains
        Nodes that stay in the core, as chains.
    reach
        The closure of the instance, if it is known.
    should_stop
        Asked every few hundredths of a second, in all methods.

    Raises
    ------
    OutOfTimeError
        From any method, if `should_stop` returns true.
    """

    def __init__(
        self,
        instance: Instance,
        *,
        weight_bias: float = 0.0,
        spread: float = 1.0,
        chains: Sequence[Chain] = (),
        reach: Closure | None = None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self._instance = instance
        self._chains = chains
        self._tensors = incident_cost(instance)
        self._ranking = self._rank(
            weight_bias, spread, reach or closure(instance, should_stop=should_stop), should_stop
        )
        self._prefix = len(self._ranking) - 1

    def choose(
        self, max_ideals: int, should_stop: Callable[[], bool] = lambda: False
    ) -> tuple[BoolArray, IdealLattice]:
        """Return the mask of fluid nodes and the lattice of the core; ask for more ideals from call to call."""
        low, high = -1, self._prefix
        mask, lattice = self._attempt(self._mask(high), max_ideals, should_stop)
        if mask is None:
            # Fewer ideals than before were asked for.
            high = len(self._ranking) - 1
            mask, lattice = self._attempt(self._mask(high), max(2, max_ideals), should_stop)
        if mask is None:
            raise ValueError(f"the chains alone have more than {max_ideals} ideals")
        while high - low > 1:
            middle = (low + high) // 2 if low >= 0 else (0 if high <= 4 else high // 2)
            attempt, found = self._attempt(self._mask(middle), max_ideals, should_stop)
            if attempt is None:
                low = middle
            else:
                high, mask, lattice = middle, attempt, found
        self._prefix = high
        if mask is None or lattice is None:
            raise AssertionError("a single node has two ideals")
        return self._give_back(mask, lattice, max_ideals, should_stop)

    def _mask(self, length: int) -> BoolArray:
        mask = np.zeros(self._instance.n, np.bool_)
        mask[self._ranking[:length]] = True
        return mask

    def _attempt(
        self, mask: BoolArray, max_ideals: int, should_stop: Callable[[], bool]
    ) -> tuple[BoolArray | None, IdealLattice | None]:
        """Return the mask and the lattice of its core, or twice None if that is too large."""
        order, _, _ = core_order(self._instance, mask, self._chains, should_stop=should_stop)
        lattice = enumerate_ideals(order, max_ideals=max_ideals, should_stop=should_stop)
        if lattice.status is LatticeStatus.STOPPED:
            raise OutOfTimeError("stopped while the fluid was being chosen")
        return (mask, lattice) if lattice.complete else (None, None)

    def _give_back(
        self, mask: BoolArray, lattice: IdealLattice, max_ideals: int, should_stop: Callable[[], bool]
    ) -> tuple[BoolArray, IdealLattice]:
        """Return nodes to the core in chunks, smaller ones where a chunk is too much."""
        candidates = np.flatnonzero(mask)
        candidates = candidates[np.argsort(-self._tensors[candidates], kind="stable")]
        chunk = max(1, len(candidates) // 8)
        position = attempts = 0
        while position < len(candidates) and attempts < MOST_ATTEMPTS:
            some = candidates[position : position + chunk]
            trial = mask.copy()
            trial[some] = False
            attempts += 1
            attempt, found = self._attempt(trial, max_ideals, should_stop)
            if attempt is not None and found is not None:
                mask, lattice = attempt, found
                chunk *= 2
            elif len(some) > 1:
                chunk = max(1, len(some) // 3)
                continue
            position += len(some)
        return mask, lattice

    def _rank(self, weight_bias: float, spread: float, reach: Closure, should_stop: Callable[[], bool]) -> IntArray:
        instance = self._instance
        n = instance.n
        comparable = reach.ancestors | reach.descendants
        alive = np.ones(n, np.bool_)
        for chain in self._chains:
            alive[chain.nodes] = False
        count = int(alive.sum())
        comparable &= pack_sets(alive[None, :])
        incomparable = count - 1 - np.bitwise_count(comparable).sum(axis=1, dtype=np.int64)
        mean = float(self._tensors.mean())
        weight = (instance.work + instance.parameter_cost).astype(np.float64)
        price = np.asarray(self._tensors + (SHARE * mean + 1.0), np.float64) + weight_bias * weight * weight
        if spread > 1:
            levels = spacing_levels(reach, incomparable, MOST_LEVELS, should_stop)
            price *= spread ** levels.astype(np.float64)
        return reduce_width(comparable, np.ones(n, np.int64), price, incomparable, alive, should_stop=should_stop)


def incident_cost(instance: Instance) -> IntArray:
    """Return the cost of all tensors that each node produces or consumes, ``[n]`` ticks."""
    top = instance.topology
    cost = np.zeros(instance.n, np.int64)
    np.add.at(cost, top.producer, instance.tensor_cost)
    np.add.at(cost, top.consumers, np.repeat(instance.tensor_cost, np.diff(top.consumer_ptr)))
    return cost
