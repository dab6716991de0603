"""The optimum of a small problem by exhaustion, written from the definition and sharing no code with the solvers."""

from __future__ import annotations

from framework.model.instance import Instance
from framework.model.problem import Problem

MAX_NODES = 14


def brute_force_optimum(problem: Problem) -> int:
    """Return the optimal bottleneck in ticks, over all chains of ideals.

    Every sequence of nested down-sets ``{} = I0 <= I1 <= ... <= Ik = V`` is a partition into stages and vice
    versa. All ideals are enumerated as bit masks, each stage cost is computed by `stage_cost` (memoised by
    stage), and a dynamic program over (ideal, stages used) takes the minimum of the maxima. Stages that hold more than
    a hard limit are left out.

    Returns
    -------
    The optimum; where no partition obeys a hard limit, one tick more than any stage can cost: a dual bound may claim
    that much then.

    Raises
    ------
    ValueError
        If the instance has more than `MAX_NODES` nodes.
    """
    instance = problem.instance
    n, k = instance.n, problem.stages
    if n > MAX_NODES:
        raise ValueError(f"brute force takes at most {MAX_NODES} nodes")
    predecessors = [0] * n
    for t, u in enumerate(instance.topology.producer.tolist()):
        for v in _row(instance, t):
            predecessors[v] |= 1 << u
    full = (1 << n) - 1
    ideals = [s for s in range(full + 1) if all(not s >> v & 1 or predecessors[v] & ~s == 0 for v in range(n))]
    costs: dict[int, int] = {}
    best = {0: 0}
    forbidden = instance.largest_cost + 1
    limit = 0 if instance.stage_limit is None else instance.stage_limit.limit
    for _ in range(min(k, n)):
        reached = dict(best)
        for ideal, value in best.items():
            for larger in ideals:
                if larger & ideal == ideal and larger != ideal:
                    stage = larger ^ ideal
                    if stage not in costs:
                        fits = _held(instance, stage) <= limit
                        costs[stage] = stage_cost(instance, stage) if fits else forbidden
                    if costs[stage] == forbidden:
                        continue
                    new = max(value, costs[stage])
                    if new < reached.get(larger, new + 1):
                        reached[larger] = new
        best = reached
    return best.get(full, forbidden)


def _held(instance: Instance, stage: int) -> int:
    if instance.stage_limit is None:
        return 0
    return sum(int(instance.stage_limit.sizes[v]) for v in range(instance.n) if stage >> v & 1)


def stage_cost(instance: Instance, stage: int) -> int:
    """Return f(S) in ticks of the node set given as a bit mask, straight from the definition."""
    total = sum(int(instance.work[v]) for v in range(instance.n) if stage >> v & 1)
    parameters = sum(int(instance.parameter_cost[v]) for v in range(instance.n) if stage >> v & 1)
    total += max(0, parameters - instance.capacity)
    for t, u in enumerate(instance.topology.producer.tolist()):
        consumers = [bool(stage >> v & 1) for v in _row(instance, t)]
        inside = bool(stage >> u & 1)
        if (inside and not all(consumers)) or (not inside and any(consumers)):
            total += int(instance.tensor_cost[t])
    return total


def _row(instance: Instance, t: int) -> list[int]:
    top = instance.topology
    return [int(v) for v in top.consumers[top.consumer_ptr[t] : top.consumer_ptr[t + 1]]]
