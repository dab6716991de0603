"""Coarsening: nodes of the same stage are paired, round after round, until few enough are left to search among.

A partition of the result is one of the given instance at the same cost (`framework.structure.reduction.contraction`),
and the stages given are one of them. Paired are neighbours whose levels differ by one, where the level of a node is the
length of the longest path to it: no second path can join them, so that a pair alone closes no cycle; and consumers of
one tensor on the same level. A cycle that several pairs close together is contracted as a whole. Each node, in random
order, is paired with the neighbour that has the most expensive tensors in common with it, relative to the work of both.

Sources: Herrmann, Özkaya, Uçar, Kaya and Çatalyürek, 2019 (acyclic coarsening by levels); Karypis and Kumar, 1998.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from framework.errors import OutOfTimeError
from framework.model.arrays import IntArray
from framework.model.instance import Instance
from framework.model.problem import Partition, project
from framework.model.topology import TopologyArrays
from framework.structure.kernel import allocating_kernel, kernel
from framework.structure.poset.closure import BoolArray
from framework.structure.reduction.contraction import compose, contract

LEAST_PROGRESS = 0.03
"""Share of the nodes that a round has to take away for another one to be worth its time."""
WIDEST = 64
"""Consumers of a tensor that are still looked at as partners of one another."""


class _Nodes(NamedTuple):
    """Of each node: its stage, its level, and its work and parameters in ticks."""

    stage_of: IntArray
    level: IntArray
    weight: IntArray


def coarsen(
    instance: Instance,
    partition: Partition,
    *,
    nodes: int,
    heaviest: int,
    random: np.random.Generator,
    should_stop: Callable[[], bool] = lambda: False,
) -> tuple[Instance, Partition]:
    """Contract nodes of the same stage until at most so many are left, if that is possible.

    Parameters
    ----------
    partition
        Whose stages are kept.
    nodes
        Where to stop: the result has as many, fewer where cycles are contracted, or more if nothing can be paired.
    heaviest
        Most work and parameters of a pair, in ticks.

    Returns
    -------
    The contracted instance, whose `node_of_input` maps the nodes of the given one to its own, and the equal partition.

    Raises
    ------
    OutOfTimeError
        If `should_stop` returns true.
    """
    coarse = replace(instance, node_of_input=np.arange(instance.n, dtype=np.int64))
    kept: Partition | None = partition
    while kept is not None and coarse.n > nodes:
        if should_stop():
            raise OutOfTimeError("stopped while an instance was being coarsened")
        before = coarse.n
        partner = _pair(coarse, kept.stage_of, heaviest, before - nodes, random)
        smaller = contract(coarse, np.minimum(partner, np.arange(before, dtype=np.int64)))
        coarse, kept = compose(coarse, smaller), project(kept, smaller)
        if before - coarse.n < LEAST_PROGRESS * before:
            break
    if kept is None:
        raise AssertionError("a cycle of nodes is in one stage")
    return coarse, kept


def _pair(instance: Instance, stage_of: IntArray, heaviest: int, pairs: int, random: np.random.Generator) -> IntArray:
    """Return the partner of each node, itself where it has none, ``[n]``."""
    top = instance.topology
    nodes = _Nodes(stage_of, _levels(top.pred_ptr, top.preds), instance.work + instance.parameter_cost)
    return _match(random.permutation(instance.n), nodes, instance.tensor_cost, top.arrays, heaviest, pairs)


@allocating_kernel
def _levels(pred_ptr: IntArray, preds: IntArray) -> IntArray:
    """Return the number of arcs of the longest path to each node of a topologically numbered graph."""
    level = np.zeros(len(pred_ptr) - 1, np.int64)
    for v in range(len(level)):
        for i in range(pred_ptr[v], pred_ptr[v + 1]):
            level[v] = max(level[v], level[preds[i]] + 1)
    return level


@allocating_kernel
def _match(
    order: IntArray, nodes: _Nodes, tensor_cost: IntArray, top: TopologyArrays, heaviest: int, pairs: int
) -> IntArray:
    """Return the partner of each node, given the order in which they take one and the most pairs there may be."""
    producer, consumer_ptr, consumers = top.producer, top.consumer_ptr, top.consumers
    level = nodes.level
    partner = np.arange(len(order))
    free = np.ones(len(order), np.bool_)
    for u in order:
        if pairs == 0:
            break
        if not free[u]:
            continue
        chosen, best = -1, 0.0
        for side in range(2):
            ptr, items = (top.in_ptr, top.in_tensors) if side == 0 else (top.out_ptr, top.out_tensors)
            for i in range(ptr[u], ptr[u + 1]):
                t = items[i]
                if side == 0:
                    p = producer[t]
                    if level[p] == level[u] - 1:
                        rating = _rating(u, p, free, nodes, heaviest, tensor_cost[t])
                        if rating > best:
                            chosen, best = p, rating
                    if consumer_ptr[t + 1] - consumer_ptr[t] > WIDEST:
                        continue
                for j in range(consumer_ptr[t], consumer_ptr[t + 1]):
                    v = consumers[j]
                    if v != u and level[v] == level[u] + side:
                        rating = _rating(u, v, free, nodes, heaviest, tensor_cost[t])
                        if rating > best:
                            chosen, best = v, rating
        if chosen >= 0:
            free[u] = free[chosen] = False
            partner[u], partner[chosen] = chosen, u
            pairs -= 1
    return partner


@kernel
def _rating(u: int, v: int, free: BoolArray, nodes: _Nodes, heaviest: int, cost: int) -> float:
    """Return how good a pair is, 0 if it is not allowed."""
    together = nodes.weight[u] + nodes.weight[v]
    if not free[v] or nodes.stage_of[u] != nodes.stage_of[v] or together > heaviest:
        return 0.0
    return float((cost + 1.0) / (together + 1.0))
