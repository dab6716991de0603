"""Small random problems whose stages have prices of their own: shared parameters, devices and working sets mixed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from framework.model.instance import Instance
from framework.model.problem import Problem
from framework.model.shared import shared_by
from framework.structure.reduction.contraction import contract
from framework.structure.reduction.hard_limits import limit_memory, pin
from framework.testing.instances import (
    on_random_devices,
    random_cross_attention,
    random_instance,
    random_shared_problem,
)


def random_unequal_workset_problem(seed: int, max_nodes: int = 7, max_stages: int = 4) -> Problem:
    """Return a random problem whose working sets count towards the capacity of some kinds of devices.

    Some have shared parameters, a memory limit of its own for each stage, or pins.
    """
    rng = np.random.default_rng([seed, 41])
    base = random_shared_problem(seed, max_nodes).instance if rng.random() < 0.3 else random_instance(seed, max_nodes)
    base = contract(replace(base, stage_limit=None), np.arange(base.n))
    stages, highest = int(rng.integers(1, max_stages + 1)), max(2, int(base.parameter_cost.max()))
    least = int(rng.choice([0, highest // 2, 2 * highest]))
    working = rng.integers(least, least + int(rng.choice([2, highest, 3 * highest])), base.n).astype(np.int64)
    capacity = int(rng.integers(0, 1 + base.total_parameter_cost + int(working.max())))
    instance = on_random_devices(replace(base, working_cost=working, capacity=capacity), stages, rng)
    choice = rng.random()
    if choice < 0.2:
        sizes, held_once = (rng.integers(0, 9, count).astype(np.int64) for count in (base.n, len(base.shared)))
        worksets = working // max(1, highest // 8)
        most = int(sizes.sum() + held_once.sum() + worksets.max())
        limits = rng.integers(most // 2, most + 9, stages).tolist()
        instance = limit_memory(instance, sizes, limits, stages, held_once, worksets, streams=True)
    if choice < 0.1 or choice > 0.85:
        stage_of = np.sort(rng.integers(0, stages, instance.n))
        pinned = rng.permutation(instance.n)[: int(rng.integers(1, 4))]
        instance = pin(instance, {int(v): int(stage_of[v]) for v in pinned}, stages)
    return Problem(instance=instance, stages=stages)


def random_attention_problem(seed: int) -> Problem:
    """Return a problem of `random_cross_attention` with shared parameters, on different devices, or both."""
    problem, _ = random_cross_attention(seed)
    rng, instance = np.random.default_rng([seed, 31]), problem.instance
    kind = rng.integers(3)
    if kind < 2:
        instance = with_random_shared(instance, rng)
    if kind > 0:
        instance = on_random_devices(instance, problem.stages, rng)
    return Problem(instance=instance, stages=problem.stages)


def with_random_shared(instance: Instance, rng: np.random.Generator) -> Instance:
    """Return the instance with parameters that several nodes use, and a capacity that all of them may exceed."""
    rows = [rng.permutation(instance.n)[: int(rng.integers(2, 5))].tolist() for _ in range(int(rng.integers(1, 4)))]
    sizes = rng.integers(1, 12, len(rows)).astype(np.int64)
    instance = replace(instance, shared=shared_by(rows), shared_cost=sizes)
    capacity = int(rng.integers(0, instance.total_parameter_cost // 2 + 2))
    return contract(replace(instance, capacity=capacity), np.arange(instance.n))
