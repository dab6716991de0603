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
from framework.structure.kernel import allocating_kernel


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
    prices = problem.prices
    costs = StageCosts(
        prices.device,
        prices.work.reshape(-1),
        prices.parameter_cost.reshape(-1),
        prices.tensor_cost.reshape(-1),
        np.minimum(prices.capacity, MAX_TOTAL),
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
    # The tensor that each stage was last seen with, by a number for each time that one is looked at.
    seen = np.full(k, -1, np.int64)
    looks = 0
    for t in range(m):
        home = stage[producer[t]]
        if home < 0:
            continue
        looks += 1
        seen[home] = looks
        leaves = False
        for x in range(consumer_ptr[t], consumer_ptr[t + 1]):
            there = stage[consumers[x]]
            if there >= 0 and seen[there] != looks:
                seen[there] = looks
                leaves = True
                load[there] += cost[device[there] * m + t]
        if leaves:
            load[home] += cost[device[home] * m + t]
    added = np.zeros(k, np.int64)
    for v in range(n):
        if stage[v] >= 0:
            continue
        earliest = 0
        for e in range(pred_ptr[v], pred_ptr[v + 1]):
            earliest = max(earliest, stage[preds[e]])
        last = latest[v]
        if earliest <= wanted[v] <= last:
            earliest = last = wanted[v]
        for s in range(earliest, last + 1):
            added[s] = work[device[s] * n + v]
        for i in range(in_ptr[v], in_ptr[v + 1]):
            t = in_tensors[i]
            looks += 1
            seen[stage[producer[t]]] = looks
            for x in range(consumer_ptr[t], consumer_ptr[t + 1]):
                if stage[consumers[x]] >= 0:
                    seen[stage[consumers[x]]] = looks
            for s in range(earliest, last + 1):
                if seen[s] != looks:
                    added[s] += cost[device[s] * m + t]
        for i in range(out_ptr[v], out_ptr[v + 1]):
            t = out_tensors[i]
            furthest = -1
            for x in range(consumer_ptr[t], consumer_ptr[t + 1]):
                furthest = max(furthest, stage[consumers[x]])
            for s in range(earliest, min(last + 1, furthest)):
                added[s] += cost[device[s] * m + t]
        least = 0
        best = -1
        for s in range(earliest, last + 1):
            total = load[s] + added[s] + max(0, held[s] + parameters[device[s] * n + v] - costs.capacity[device[s]])
            if best < 0 or total < least:
                best, least = s, total
        stage[v] = best
        load[best] += added[best]
        held[best] += parameters[device[best] * n + v]
