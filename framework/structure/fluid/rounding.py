"""Rounding a solution of the chain relaxation: each divisible node goes to the stage where it fits best.

Fluid nodes are placed in topological order. A fluid node may be in any stage from the last stage of its predecessors to
the first stage of its core descendants. It goes to the stage whose cost is lowest after adding the node: its work, the
additional overflow, and the transfers of tensors whose other nodes are placed. A node of a chain goes to its stage in
the solution of the core, if that stage is allowed. The result is a start for slicing and annealing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from framework.model.arrays import IntArray
from framework.model.instance import MAX_TOTAL
from framework.model.problem import Partition, Problem
from framework.model.topology import TopologyArrays
from framework.structure.fluid.core import FluidCore
from framework.structure.kernel import allocating_kernel, kernel


def place_fluid(problem: Problem, core: FluidCore, stage_of_core: IntArray) -> Partition:
    """Return a partition of the whole problem that keeps the core where it is.

    Parameters
    ----------
    problem
        The problem on the instance that the core was made from.
    stage_of_core
        ``[core]`` a partition of the core.
    """
    instance, top = problem.instance, problem.instance.topology
    stage, wanted = np.full(instance.n, -1, np.int64), np.full(instance.n, -1, np.int64)
    stage[core.nodes[~core.chained]] = stage_of_core[~core.chained]
    wanted[core.nodes[core.chained]] = stage_of_core[core.chained]
    unequal = instance.unequal
    if unequal is None:
        device, capacity = np.zeros(problem.useful_stages, np.int64), np.array([min(instance.capacity, MAX_TOTAL)])
        costs = StageCosts(device, instance.work, instance.parameter_cost, instance.tensor_cost, capacity)
    else:
        costs = StageCosts(
            unequal.device,
            unequal.work.reshape(-1),
            unequal.parameter_cost.reshape(-1),
            unequal.tensor_cost.reshape(-1),
            np.minimum(unequal.capacity, MAX_TOTAL),
        )
    _place(costs, top.arrays, stage, wanted)
    return Partition(stage_of=stage)


class StageCosts(NamedTuple):
    """The kind of device of each stage, what nodes and tensors cost on one kind after the other, and capacities."""

    device: IntArray
    work: IntArray
    parameters: IntArray
    tensors: IntArray
    capacity: IntArray


@allocating_kernel
def _place(costs: StageCosts, top: TopologyArrays, stage: IntArray, wanted: IntArray) -> None:
    """Give a stage to each node that has none yet, -1 in `stage`; the one in `wanted` if it may be there."""
    work, parameters, cost, device = costs.work, costs.parameters, costs.tensors, costs.device
    producer, consumer_ptr, consumers = top.producer, top.consumer_ptr, top.consumers
    in_ptr, in_tensors, out_ptr, out_tensors = top.in_ptr, top.in_tensors, top.out_ptr, top.out_tensors
    succ_ptr, succs, pred_ptr, preds = top.succ_ptr, top.succs, top.pred_ptr, top.preds
    n, m, k = len(stage), len(producer), len(device)
    latest = np.full(n, k - 1, np.int64)
    load = np.zeros(k, np.int64)
    held = np.zeros(k, np.int64)
    for v in range(n - 1, -1, -1):
        if stage[v] >= 0:
            latest[v] = stage[v]
            load[stage[v]] += work[device[stage[v]] * n + v]
            held[stage[v]] += parameters[device[stage[v]] * n + v]
        else:
            for e in range(succ_ptr[v], succ_ptr[v + 1]):
                latest[v] = min(latest[v], latest[succs[e]])
    for t in range(m):
        home = stage[producer[t]]
        if home < 0:
            continue
        leaves = False
        # Consumers ascend, but their stages need not: a stage counts at its first consumer.
        for x in range(consumer_ptr[t], consumer_ptr[t + 1]):
            there = stage[consumers[x]]
            if there < 0 or there == home:
                continue
            leaves = True
            if not _reads(t, there, consumer_ptr[t], x, consumers, stage):
                load[there] += cost[device[there] * m + t]
        if leaves:
            load[home] += cost[device[home] * m + t]
    for v in range(n):
        if stage[v] >= 0:
            continue
        earliest = 0
        for e in range(pred_ptr[v], pred_ptr[v + 1]):
            earliest = max(earliest, stage[preds[e]])
        least = best_added = 0
        best = -1
        last = latest[v]
        if earliest <= wanted[v] <= last:
            earliest = last = wanted[v]
        for s in range(earliest, last + 1):
            nodes_before, tensors_before = device[s] * n, device[s] * m
            added = work[nodes_before + v]
            for i in range(in_ptr[v], in_ptr[v + 1]):
                t = in_tensors[i]
                if stage[producer[t]] != s and not _reads(t, s, consumer_ptr[t], consumer_ptr[t + 1], consumers, stage):
                    added += cost[tensors_before + t]
            for i in range(out_ptr[v], out_ptr[v + 1]):
                t = out_tensors[i]
                for x in range(consumer_ptr[t], consumer_ptr[t + 1]):
                    if stage[consumers[x]] > s:
                        added += cost[tensors_before + t]
                        break
            total = load[s] + added + max(0, held[s] + parameters[nodes_before + v] - costs.capacity[device[s]])
            if best < 0 or total < least:
                best, least, best_added = s, total, added
        stage[v] = best
        load[best] += best_added
        held[best] += parameters[device[best] * n + v]


@kernel
def _reads(t: int, s: int, first: int, last: int, consumers: IntArray, stage: IntArray) -> bool:
    """Whether a consumer in the given part of the row is in stage s."""
    readers = 0
    for x in range(first, last):
        readers += stage[consumers[x]] == s
    return readers > 0
