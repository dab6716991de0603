"""Running everything once on small problems, so that numba has every kernel in its cache."""

from __future__ import annotations

import time
from collections.abc import Callable

from framework.contracts import Feature
from framework.model.instance import Instance, instance_from_lists
from framework.model.problem import Problem
from framework.portfolio.local import run_entry
from framework.registry import Kind, load_plugins, registry

SECONDS_EACH = 0.5
MOST_RUNS = 12
"""Runs of an entry on an instance, each of which compiles at least one kernel more."""


def warm_entries(say: Callable[[str], None]) -> int:
    """Run presolve and every formulation and strategy on small instances; return how many entries ran.

    Compilation happens in the first call of a kernel and is not interrupted by the time limit, but uses it up: the
    entry stops before its next kernel. So it is run again until it keeps its time.
    """
    from framework.structure.limits import limit_memory
    from framework.structure.reductions import reduce_exact

    load_plugins()
    instances = [_small(capacity=capacity) for capacity in (0, 10**6)]
    limited = limit_memory(instances[0], instances[0].parameter_cost, instances[0].total_parameter_cost // 2, 3)
    say("reductions")
    for instance in instances:
        reduce_exact(instance)
    entries = [*registry.entries(Kind.FORMULATION), *registry.entries(Kind.STRATEGY)]
    for entry in entries:
        say(entry.name)
        more = [limited] if entry.supports(Feature.LIMITS) else []
        if entry.name == "core-fluid":
            more.append(_reading())
        elif entry.name == "fixing":
            more.append(_alike())
        for instance in [*instances, *more]:
            problem = Problem(instance=instance, stages=3)
            for _ in range(MOST_RUNS):
                started = time.monotonic()
                run_entry(registry.create(entry.name), problem, name=entry.name, seconds=SECONDS_EACH)
                if time.monotonic() - started < 1.5 * SECONDS_EACH:
                    break
    return len(entries)


def _small(*, capacity: int) -> Instance:
    """Three parallel chains with skips: wide enough that nothing is decided before a kernel runs."""
    chains, length = 3, 5
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


def _reading() -> Instance:
    """A node that feeds a dozen, each of which feeds a node of a chain: too many ideals without fluid and tolls."""
    fed, readers = range(1, 13), range(13, 25)
    tensors = [(0, 2, list(fed)), *((v, 3, [v + 12]) for v in fed), *((v, 1, [v + 1]) for v in readers[:-1])]
    return instance_from_lists([6] + [4] * 12 + [3] * 12, tensors)


def _alike() -> Instance:
    """Three branches that can be exchanged."""
    return instance_from_lists([6, 4, 4, 4, 5], [(0, 2, [1, 2, 3]), *((v, 1, [4]) for v in (1, 2, 3))])
