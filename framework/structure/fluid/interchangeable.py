"""Symmetry breaking in a core: equal nodes without tensors take their places in one fixed order.

Let C be m nodes of equal work and equal parameters, on each device, whose tensors are left out, and s_1 <= ... <= s_m
the stages they have in a partition, sorted. What stages weigh depends on these numbers alone, so c_(1), ..., c_(m) may
stand for the nodes of C, with c_(j) in stage s_j. Such a *chain* has m + 1 ideals where C may have 2^m. Its stages obey
these rules:

* A node a is in no later stage than c_(j) if fewer than j nodes of C do not come after a: nodes in earlier stages
  than a do not come after it.
* A node b is in no earlier stage than c_(i) if at least i nodes of C come before b: they are in no later stage.
* For another such chain C', c_(i) is in no later stage than c'_(j) if any j nodes of C' have, together, at least i
  nodes of C before them: take those in stages up to s'_j. They have as many as the j-th smallest of the numbers of
  nodes of C before one node of C'; and as the sum of the j smallest, over the most nodes of C' that come after one
  of C.

All of this holds for the partition that gives each node a stage of its own, in the order of the instance, where c_(j)
is the j-th node of C: so the arcs are numbered topologically if the j-th number of C is taken for c_(j).

Source: this project; the exchange is that of equal jobs with release times and deadlines (Jackson, 1955).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from framework.errors import OutOfTimeError
from framework.model.arrays import IntArray
from framework.model.instance import Instance
from framework.structure.bit_sets import BitArray
from framework.structure.poset.closure import BoolArray, Closure, unpack_sets

LEAST_MEMBERS = 3
_ROWS_AT_ONCE = 256


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chain:
    """Equal nodes in the order of their numbers, which stand for their sorted stages.

    Attributes
    ----------
    nodes
        ``[m]`` ascending.
    weight
        Work and parameters of one of them, in ticks.
    before
        ``[n]`` how many of them come before each node.
    after
        ``[n]`` how many of them come after each node.
    """

    nodes: IntArray
    weight: int
    before: IntArray
    after: IntArray


def find_chains(
    instance: Instance,
    reach: Closure,
    candidates: BoolArray,
    *,
    least_weight: int,
    most: int,
    should_stop: Callable[[], bool] = lambda: False,
) -> list[Chain]:
    """Return chains among the candidates, heaviest nodes first.

    Parameters
    ----------
    least_weight
        Ticks that a node must weigh: what is small is well served as a fluid.
    most
        Chains at most.

    Raises
    ------
    OutOfTimeError
        If `should_stop` returns true.
    """
    weight = instance.work + instance.parameter_cost
    heavy = np.flatnonzero(candidates & (weight >= least_weight))
    if not len(heavy):
        return []
    priced = instance.on_each_device()
    pairs = np.stack([costs[heavy] for one in priced for costs in (one.work, one.parameter_cost)], axis=1)
    kinds, kind, members = np.unique(pairs, axis=0, return_inverse=True, return_counts=True)
    heaviest = np.zeros(len(kinds), np.int64)
    heaviest[kind.ravel()] = weight[heavy]
    order = np.argsort(-heaviest, kind="stable")
    chains = []
    for choice in [i for i in order.tolist() if members[i] >= LEAST_MEMBERS][:most]:
        nodes = heavy[kind.ravel() == choice]
        chains.append(
            Chain(
                nodes=nodes,
                weight=int(heaviest[choice]),
                before=_count(reach.descendants, nodes, instance.n, should_stop),
                after=_count(reach.ancestors, nodes, instance.n, should_stop),
            )
        )
    return chains


def chain_arcs(chains: Sequence[Chain], core: IntArray) -> IntArray:
    """Return the arcs that chains add to an order, ``[2, arcs]``, in the numbers of the instance.

    Parameters
    ----------
    core
        Nodes outside of all chains that keep their place.
    """
    arcs = [np.empty((2, 0), np.int64)]
    for chain in chains:
        m = len(chain.nodes)
        arcs.append(np.stack((chain.nodes[:-1], chain.nodes[1:])))
        below = core[chain.after[core] > 0]
        arcs.append(np.stack((below, chain.nodes[m - chain.after[below]])))
        above = core[chain.before[core] > 0]
        arcs.append(np.stack((chain.nodes[chain.before[above] - 1], above)))
        for other in chains:
            if other is not chain:
                needed = _needed(chain, other)
                some = needed > 0
                arcs.append(np.stack((chain.nodes[needed[some] - 1], other.nodes[some])))
    return np.concatenate(arcs, axis=1)


def _needed(chain: Chain, other: Chain) -> IntArray:
    """Return, for each j, how many nodes of one chain any j of another have before them at least."""
    degrees = np.sort(chain.before[other.nodes])
    most = int(other.after[chain.nodes].max())
    if not most:
        return degrees
    together: IntArray = np.maximum(degrees, -(-np.cumsum(degrees) // most))
    return together


def _count(rows: BitArray, nodes: IntArray, n: int, should_stop: Callable[[], bool]) -> IntArray:
    """Return in how many of the bit sets of the given nodes each node is."""
    count = np.zeros(n, np.int64)
    for first in range(0, len(nodes), _ROWS_AT_ONCE):
        if should_stop():
            raise OutOfTimeError("stopped while chains were being built")
        count += unpack_sets(rows[nodes[first : first + _ROWS_AT_ONCE]], n).sum(axis=0, dtype=np.int64)
    return count
