"""Runs an entry on small problems, so that numba compiles every kernel that the entry uses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import numpy as np

from framework.contracts import Feature, HasExamples
from framework.model.instance import Instance, instance_from_lists
from framework.model.problem import Problem
from framework.model.unequal import make_unequal
from framework.portfolio.context.local import run_entry
from framework.registry import registry

REDUCTIONS = "reductions"
"""What presolve runs; no entry has this name."""
UNEQUAL = "+unequal"
"""At the end of the name of an entry: what it needs only where stages are unequal."""
STAGES = 3
SECONDS_EACH = 0.5
MOST_RUNS = 20
"""Runs of an entry on an instance, each of which compiles at least one kernel more."""


def compile_one(name: str) -> int:
    """Run an entry, or the reductions of presolve, on small instances; return how many kernels were compiled.

    With `UNEQUAL` at the end of the name, they have unequal stages.

    Compilation happens in the first call of a kernel and is not interrupted by the time limit, but uses it up: the
    entry stops before its next kernel. So it is run again until nothing is compiled any more.
    """
    instances = [parallel_chains(capacity=capacity) for capacity in (0, 10**6)]
    with _compilations() as compiled:
        if name == REDUCTIONS:
            from framework.structure.reduction.contraction import contract
            from framework.structure.reduction.dominance import reduce_exact

            for instance in instances:
                reduce_exact(instance)
            # The first and the last node in one group: what lies between is on a cycle with it, as in few graphs.
            contract(instances[0], np.arange(instances[0].n) % (instances[0].n - 1))
            return len(compiled) // 2
        entry = name.removesuffix(UNEQUAL)
        if entry != name:
            instances = [_on_two_devices(instance) for instance in instances]
        problems = [Problem(instance=instance, stages=STAGES) for instance in instances]
        for problem in [*problems, *_examples(entry, instances[0])]:
            for _ in range(MOST_RUNS):
                before = len(compiled)
                # Out of time while a model was built, say: what was compiled until then is kept.
                with suppress(Exception):
                    run_entry(registry.create(entry), problem, name=entry, seconds=SECONDS_EACH)
                if len(compiled) == before:
                    break
        return len(compiled) // 2


@contextmanager
def _compilations() -> Iterator[list[Any]]:
    """Note what numba compiles meanwhile, beginning and end; what it finds among its files is none of it."""
    from numba.core import event

    with event.install_recorder("numba:compile") as recorder:
        yield recorder.buffer


def _on_two_devices(instance: Instance) -> Instance:
    """Return the instance with stages of which every other one runs on a slow device."""
    slow = replace(instance, work=2 * instance.work)
    return make_unequal(instance, [instance, slow], np.arange(STAGES) % 2)


def _examples(name: str, small: Instance) -> list[Problem]:
    """Return problems that an entry needs beside those that all entries run on."""
    from framework.structure.reduction.hard_limits import limit_memory

    more = []
    if registry.get(name).supports(Feature.LIMITS):
        limited = limit_memory(small, small.parameter_cost, small.total_parameter_cost // 2, STAGES)
        more.append(Problem(instance=limited, stages=STAGES))
    made = registry.create(name)
    return [*more, *made.examples()] if isinstance(made, HasExamples) else more


def parallel_chains(*, capacity: int, length: int = 5) -> Instance:
    """Return three parallel chains with skips: wide enough that nothing is decided before a kernel runs."""
    chains = 3
    tensors: list[tuple[int, int, list[int]]] = []
    for chain in range(chains):
        for step in range(length - 1):
            v = chain * length + step
            reach = [v + 1, v + 2] if step + 2 < length else [v + 1]
            tensors.append((v, 3 + (v * 7) % 5, reach))
    tensors += [(0, 4, [length]), (length, 2, [2 * length])]
    nodes = chains * length
    return instance_from_lists(
        [5 + (v * 11) % 17 for v in range(nodes)],
        tensors,
        parameter_cost=[(v * 5) % 7 for v in range(nodes)],
        capacity=capacity,
    )
