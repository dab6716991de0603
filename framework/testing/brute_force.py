"""The optimum of a small problem by exhaustion, written from the definition and sharing no code with the solvers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import partial
from typing import NamedTuple, TypeAlias, TypeVar

import numpy as np

from framework.model.device import Device
from framework.model.device_chain import DeviceChain, Devices, kinds_of
from framework.model.graph import ModelGraph, PricedCosts
from framework.model.instance import Instance
from framework.model.problem import Problem
from framework.model.shared import SharedParameters
from framework.model.topology import Topology

MAX_NODES = 14
StageCost: TypeAlias = Callable[[int], "int | Fraction | None"]
Number = TypeVar("Number", int, Fraction)


def brute_force_optimum(problem: Problem) -> int:
    """Return the optimal bottleneck in ticks, over all chains of ideals.

    Stages that hold more than a hard limit are left out.

    Returns
    -------
    The optimum; where no partition obeys a hard limit, one tick more than any stage can cost: a dual bound may claim
    that much then.

    Raises
    ------
    ValueError
        If the instance has more than `MAX_NODES` nodes.
    """
    key = problem.instance.sha256(), problem.stages
    if key not in _KNOWN:
        if len(_KNOWN) >= _MOST_KNOWN:
            _KNOWN.clear()
        _KNOWN[key] = _exhaust(problem)
    return _KNOWN[key]


_KNOWN: dict[tuple[str, int], int] = {}
_MOST_KNOWN = 10_000
"""Optima that are kept: a test asks for that of the same problem once for each entry."""


def _exhaust(problem: Problem) -> int:
    instance = problem.instance
    limit = 0 if instance.stage_limit is None else instance.stage_limit.limit

    devices = instance.on_each_device()
    reserved = [] if instance.stage_limit is None else instance.stage_limit.reserved.tolist()

    def cost(stage: int, device: int, room: int) -> int | None:
        return stage_cost(devices[device], stage) if _held(instance, device, stage) <= room else None

    kinds = [0] * problem.stages if instance.unequal is None else instance.unequal.device.tolist()
    rooms = [limit - less for less in reserved or [0] * problem.stages]
    priced = {
        (device, room): partial(cost, device=device, room=room) for device, room in zip(kinds, rooms, strict=True)
    }
    best = _best_chain(instance.topology, [priced[pair] for pair in zip(kinds, rooms, strict=True)])
    return instance.largest_cost + 1 if best is None else int(best)


class RationalCosts(NamedTuple):
    """Costs of nodes, tensors and shared parameters, and the capacity, in rational numbers of one unit.

    `working` is what the working set of each node takes of the capacity; none where these do not count.
    """

    work: list[Fraction]
    parameters: list[Fraction]
    sent: list[Fraction]
    shared: list[Fraction]
    capacity: Fraction | None
    working: Sequence[Fraction] = ()


def fraction_optimum(
    graph: ModelGraph, stages: int, read: Callable[[float], Fraction], device: Devices | None = None
) -> Fraction:
    """Return the optimum of a small graph in its own unit, in rational numbers.

    Parameters
    ----------
    graph
        At most `MAX_NODES` nodes.
    stages
        Number of stages.
    read
        What number a cost of the graph or a figure of the device is: `Fraction` itself, or one that reads its decimals.
    device
        What prices a graph of FLOPs and bytes: one device, or one for each stage.
    """
    kinds = (None,) if device is None else kinds_of(device)
    priced = [partial(_fraction_cost, graph, rational_costs(graph, read, kind)) for kind in kinds]
    kind_of_stage = device.kind_of_stage if isinstance(device, DeviceChain) else [0] * stages
    best = _best_chain(graph.topology, [priced[kind] for kind in kind_of_stage])
    assert best is not None
    return Fraction(best)


def _fraction_cost(graph: ModelGraph, costs: RationalCosts, stage: int) -> Fraction:
    inside = [v for v in range(graph.topology.n) if stage >> v & 1]
    total = sum((costs.work[v] for v in inside), Fraction(0))
    if costs.capacity is not None:
        held = sum((costs.parameters[v] for v in inside), Fraction(0)) + _of_shared(graph.shared, costs.shared, stage)
        held += max((costs.working[v] for v in inside), default=Fraction(0)) if costs.working else 0
        total += max(Fraction(0), held - costs.capacity)
    return total + sum((costs.sent[t] for t in _cut(graph.topology, stage)), Fraction(0))


def rational_costs(graph: ModelGraph, read: Callable[[float], Fraction], device: Device | None) -> RationalCosts:
    """Price a graph in rational numbers, from the definition."""
    costs = graph.costs
    if isinstance(costs, PricedCosts):
        return RationalCosts(
            work=[read(value) for value in costs.work.tolist()],
            parameters=[read(value) for value in costs.parameter_cost.tolist()],
            sent=[read(value) for value in costs.tensor_cost.tolist()],
            shared=[read(value) for value in costs.shared_cost.tolist()],
            capacity=None if costs.capacity is None else read(costs.capacity),
        )
    assert device is not None
    assert device.link_bandwidth is not None
    link, latency = read(device.link_bandwidth), read(device.link_latency)
    work = []
    own = costs.device_seconds.get(device.name, np.full(graph.topology.n, math.nan))
    measured = np.where(np.isnan(own), costs.seconds, own)
    for flops, moved, seconds in zip(costs.flops, costs.accessed_bytes, measured, strict=True):
        if not math.isnan(seconds):
            work.append(read(float(seconds)))
            continue
        assert device.peak_flops is not None
        assert device.memory_bandwidth is not None
        work.append(
            max(read(float(flops)) / read(device.peak_flops), read(float(moved)) / read(device.memory_bandwidth))
        )
    parameters = [read(value) / link for value in costs.parameter_bytes.tolist()]
    working: list[Fraction] = []
    if device.activations:
        parameters = [own + read(held) / link for own, held in zip(parameters, costs.state_bytes.tolist(), strict=True)]
        top, working = graph.topology, [Fraction(math.ceil(size)) for size in costs.workspace_bytes.tolist()]
        for t, size in enumerate(costs.tensor_bytes.tolist()):
            for v in [int(top.producer[t]), *_row(top, t)]:
                working[v] += math.ceil(size)
    return RationalCosts(
        work=work,
        parameters=parameters,
        sent=[read(value) / link + latency if value else Fraction(0) for value in costs.tensor_bytes.tolist()],
        shared=[read(value) / link for value in costs.shared_bytes.tolist()],
        capacity=None if device.fast_memory is None else read(device.fast_memory) / link,
        working=[size / link for size in working],
    )


def _best_chain(topology: Topology, stage_costs: Sequence[StageCost]) -> int | Fraction | None:
    """Return the least bottleneck of all partitions; the costs of each stage are None where it may not be so.

    Every sequence of nested down-sets ``{} = I0 <= I1 <= ... <= Ik = V`` is a partition into stages and vice
    versa. All ideals are enumerated as bit masks, each stage is priced once, and a dynamic program over (ideal, stages
    used) takes the minimum of the maxima.
    """
    n = topology.n
    if n > MAX_NODES:
        raise ValueError(f"brute force takes at most {MAX_NODES} nodes")
    predecessors = [0] * n
    for t, u in enumerate(topology.producer.tolist()):
        for v in _row(topology, t):
            predecessors[v] |= 1 << u
    full = (1 << n) - 1
    ideals = [s for s in range(full + 1) if all(not s >> v & 1 or predecessors[v] & ~s == 0 for v in range(n))]
    known: dict[StageCost, dict[int, int | Fraction | None]] = {cost: {} for cost in stage_costs}
    best: dict[int, int | Fraction] = {0: 0}
    # Where all stages are the same, more of them than nodes are of no use.
    for cost in stage_costs[:n] if len(known) == 1 else stage_costs:
        costs = known[cost]
        reached = dict(best)
        for ideal, value in best.items():
            for larger in ideals:
                if larger & ideal == ideal and larger != ideal:
                    stage = larger ^ ideal
                    if stage not in costs:
                        costs[stage] = cost(stage)
                    price = costs[stage]
                    if price is None:
                        continue
                    new = max(value, price)
                    if larger not in reached or new < reached[larger]:
                        reached[larger] = new
        best = reached
    return best.get(full)


def _held(instance: Instance, device: int, nodes: int) -> int:
    """Return what a stage of these nodes holds, on a kind of device."""
    limit, unequal = instance.stage_limit, instance.unequal
    if limit is None:
        return 0
    inside = [v for v in range(instance.n) if nodes >> v & 1]
    total = sum(int(limit.sizes[v]) for v in inside) + max((int(limit.worksets[v]) for v in inside), default=0)
    total += int(_of_shared(instance.shared, limit.shared_sizes.tolist(), nodes))
    if len(limit.in_flight):
        assert unequal is not None
        times = {int(limit.in_flight[b]) for b in range(unequal.stages) if unequal.device[b] == device}
        kept = sum(int(limit.kept[v]) for v in inside)
        total += max(times) * (kept + int(_of_shared(instance.shared, limit.shared_kept.tolist(), nodes)))
    return total


def _of_shared(shared: SharedParameters, sizes: Sequence[Number], stage: int) -> Number | int:
    """Return the sizes of the shared parameters with a user in a stage, each once."""
    ptr, users = shared.ptr.tolist(), shared.users.tolist()
    return sum(size for q, size in enumerate(sizes) if any(stage >> users[i] & 1 for i in range(ptr[q], ptr[q + 1])))


def stage_cost(instance: Instance, stage: int) -> int:
    """Return f(S) in ticks of the node set given as a bit mask, straight from the definition."""
    total = sum(int(instance.work[v]) for v in range(instance.n) if stage >> v & 1)
    parameters = sum(int(instance.parameter_cost[v]) for v in range(instance.n) if stage >> v & 1)
    parameters += _of_shared(instance.shared, instance.shared_cost.tolist(), stage)
    parameters += max((size for v, size in enumerate(instance.working_cost.tolist()) if stage >> v & 1), default=0)
    total += max(0, parameters - instance.capacity)
    return total + sum(int(instance.tensor_cost[t]) for t in _cut(instance.topology, stage))


def _cut(topology: Topology, stage: int) -> list[int]:
    """Return the tensors that a stage reads from outside or sends out."""
    cut = []
    for t, u in enumerate(topology.producer.tolist()):
        consumers = [bool(stage >> v & 1) for v in _row(topology, t)]
        inside = bool(stage >> u & 1)
        if (inside and not all(consumers)) or (not inside and any(consumers)):
            cut.append(t)
    return cut


def _row(topology: Topology, t: int) -> list[int]:
    return [int(v) for v in topology.consumers[topology.consumer_ptr[t] : topology.consumer_ptr[t + 1]]]
