"""Time the slicing of one order, and the other structure tools.

    scripts/bench slicing [--set nodes=20000]

Every figure is the minimum over repeats after compilation. *Naive* is a pass at the same threshold that grows
each segment from its start on: O(nodes * segment) steps.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from figures import Figures
from numba import njit

from framework.model.arrays import IntArray
from framework.model.instance import Instance
from framework.model.problem import Problem
from framework.portfolio.context.local import run_entry
from framework.registry import load_plugins, registry
from framework.structure.poset.closure import closure, redundant_edges
from framework.structure.poset.topological_orders import OrderKind, topological_order
from framework.structure.primal.slicing import Slicer, Slicing
from framework.structure.reduction.contraction import contract
from framework.structure.reduction.dominance import reduce_exact
from framework.testing.instances import random_layered_instance


def measure(nodes: int, stages: int, repeats: int) -> Sequence[Figures]:
    """Return the milliseconds of slicing by graph, and those of the other tools by size."""
    return _slicing_table(nodes, stages, repeats), _tools_table(repeats)


def _slicing_table(nodes: int, stages: int, repeats: int) -> Figures:
    rows = []
    for width, share in ((2, None), (4, None), (4, 0.05), (30, None)):
        instance = random_layered_instance(1, nodes, width=width, capacity_share=share)
        overflow = "no" if share is None else f"beyond {share:.0%}"
        rows.append((str(width), overflow, *_slicing_figures(instance, stages, repeats)))
    measured = ("prepare", "refute", "satisfy", "solve", "naive refute")
    columns = ("edges reach back", "overflow", *(f"{name}, ms" for name in measured), "ratio")
    return Figures(name="passes", title=f"{nodes:,} nodes, {stages} stages", columns=columns, rows=tuple(rows))


def _slicing_figures(instance: Instance, stages: int, repeats: int) -> list[str]:
    order = np.arange(instance.n, dtype=np.int64)
    slicer = Slicer(instance, order)
    best = _solve(slicer, stages)
    prepare = _milliseconds(lambda: Slicer(instance, order), repeats)
    refute = _milliseconds(lambda: slicer.feasible(stages, best.value - 1), repeats)
    satisfy = _milliseconds(lambda: slicer.feasible(stages, best.value), repeats)
    solve = _milliseconds(lambda: _solve(slicer, stages), repeats)
    figures = [f"{figure:.2f}" for figure in (prepare, refute, satisfy, solve)]
    if instance.can_overflow:
        return [*figures, "", ""]
    data = _naive_data(instance)
    if _naive_pass(best.value, *data) > stages or _naive_pass(best.value - 1, *data) <= stages:
        raise SystemExit("the naive pass disagrees")
    naive = _milliseconds(lambda: _naive_pass(best.value - 1, *data), min(repeats, 3))
    return [*figures, f"{naive:.1f}", f"{naive / refute:.0f}"]


def _tools_table(repeats: int) -> Figures:
    sizes = (200, 12_000)
    load_plugins()
    instances = [random_layered_instance(1, n, capacity_share=0.1) for n in sizes]
    rows = []
    for name, tool in _tools().items():
        figures = [_milliseconds(partial(tool, instance), repeats) for instance in instances]
        rows.append((name, *(f"{figure:.2f}" for figure in figures)))
    title = "structure tools on layered graphs (width 4): ms"
    return Figures(name="tools", title=title, columns=("tool", *(f"n = {n}" for n in sizes)), rows=tuple(rows))


def _tools() -> dict[str, Callable[[Instance], object]]:
    entry = registry.create_formulation("slice-graph")
    tools: dict[str, Callable[[Instance], object]] = {
        "closure": closure,
        "redundant edges": redundant_edges,
        "contract pairs": lambda instance: contract(instance, np.arange(instance.n) // 2),
        "contract, cyclic groups": lambda instance: contract(instance, np.arange(instance.n) % (instance.n // 2)),
        "reduce_exact": reduce_exact,
    }
    for kind in (OrderKind.DFS, OrderKind.BFS, OrderKind.GREEDY_MIN_CUT):
        tools[f"order {kind}"] = partial(topological_order, kind=kind)
        tools[f"order {kind}, backwards"] = partial(topological_order, kind=kind, reverse=True)
    tools["Slicer"] = lambda instance: Slicer(instance, np.arange(instance.n))
    tools["slice-graph, 8 stages"] = lambda instance: run_entry(entry, Problem(instance=instance, stages=8))
    return tools


def _solve(slicer: Slicer, stages: int) -> Slicing:
    best = slicer.solve(stages)
    if best is None:
        raise SystemExit("no slicing")
    return best


def _milliseconds(run: Callable[[], object], repeats: int) -> float:
    run()
    best = float("inf")
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - started)
    return best * 1e3


def _naive_data(instance: Instance) -> tuple[IntArray, IntArray, IntArray, IntArray, IntArray, IntArray]:
    """Lay the given order out for `_naive_pass`."""
    top = instance.topology
    tensor = np.repeat(np.arange(top.m), np.diff(top.consumer_ptr))
    first = top.consumer_ptr[:-1]
    last = top.consumer_ptr[1:] - 1
    previous = np.roll(top.consumers, 1)
    previous[first] = top.producer
    closing = np.full(top.pins, -1, np.int64)
    closing[last] = top.producer
    by_consumer = np.argsort(top.consumers, kind="stable")
    produced = np.zeros(instance.n, np.int64)
    np.add.at(produced, top.producer, instance.tensor_cost)
    pin_cost = instance.tensor_cost[tensor[by_consumer]]
    return instance.work, produced, top.in_ptr, previous[by_consumer], closing[by_consumer], pin_cost


@njit(cache=True)
def _naive_pass(
    threshold: int,
    work: IntArray,
    produced: IntArray,
    pin_ptr: IntArray,
    pin_previous: IntArray,
    pin_closes: IntArray,
    pin_cost: IntArray,
) -> int:
    """Return the fewest segments of cost at most `threshold`, without overflow.

    ``pin_previous`` is the position of the tensor's previous pin, ``pin_closes`` that of its producer where the
    pin is the last one, else -1.
    """
    n = len(work)
    fewest = np.full(n + 1, n + 1, np.int64)
    fewest[0] = 0
    for i in range(n):
        least = outbound = 0
        for j in range(i, n):
            least += work[j]
            outbound += produced[j]
            for y in range(pin_ptr[j], pin_ptr[j + 1]):
                if pin_previous[y] < i:
                    least += pin_cost[y]
                if pin_closes[y] >= i:
                    outbound -= pin_cost[y]
            if least > threshold:
                break
            if least + outbound <= threshold:
                fewest[j + 1] = min(fewest[j + 1], fewest[i] + 1)
    return int(fewest[n])
