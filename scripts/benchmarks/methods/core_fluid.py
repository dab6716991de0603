"""What `core-fluid` proves on wide graphs beside `simple` and `anchored-cut`, and how long `ideal-dp` takes.

    python scripts/benchmarks/methods/core_fluid.py bounds [--seconds 10] [--regal 4] [--wide 3] [--stages 2
    ...] .venv/bin/python scripts/benchmarks/methods/core_fluid.py exact  [--repeats 3]

*bounds*: each graph is reduced; the incumbent is the best of slicing, three seconds of annealing and what the bounds
find on the way; each entry runs by itself on a board that holds the first incumbent and the simple bound. Cells are
geometric means of dual bound / best incumbent.

*exact*: wall-clock milliseconds of `ideal-dp` after slicing, the best of several runs, for the bundled graphs on the
reference device; run it in two checkouts and compare.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from math import exp, log

import networkx
import numpy as np
from rich.console import Console
from rich.table import Table

from framework.model.device import load_device
from framework.model.instance import Instance, instance_from_lists
from framework.model.pricing import price
from framework.model.problem import Problem
from framework.portfolio.context.board import Board
from framework.portfolio.context.local import run_entry
from framework.registry import load_plugins, registry
from framework.structure.reduction.dominance import reduce_exact
from framework.testing.instances import random_layered_instance

ENTRIES = ("simple", "anchored-cut", "core-fluid")
console = Console(width=140)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("bounds", "exact"))
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--regal", type=int, default=4)
    parser.add_argument("--wide", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--stages", type=int, nargs="+", default=[])
    arguments = parser.parse_args()
    load_plugins()
    for entry in ("slice-graph", "annealing:patience=1", "ideal-dp", *ENTRIES):
        run_entry(
            registry.create(entry), Problem(instance=random_layered_instance(1, 60, width=9), stages=4), seconds=2
        )
    if arguments.what == "exact":
        _exact(arguments.stages or [2, 4, 8, 16, 32], arguments.repeats)
        return
    stages = arguments.stages or [2, 4, 8, 16]
    _bounds("REGAL-like, 150 nodes", regal_like(arguments.regal), stages, arguments.seconds)
    _bounds("layered, wide", layered(arguments.wide), stages, arguments.seconds)
    _bounds("chains with hanging branches", hanging(arguments.wide), stages, arguments.seconds)


def _bounds(title: str, instances: Iterator[Instance], stages: list[int], seconds: float) -> None:
    ratios: dict[tuple[str, int], list[float]] = {}
    count = 0
    for instance in map(reduce_exact, instances):
        count += 1
        for k in stages:
            for entry, ratio in _ratios(Problem(instance=instance, stages=k), seconds).items():
                ratios.setdefault((entry, k), []).append(ratio)
                console.print(f"{instance.name} k={k} {entry} {ratio:.4f}", highlight=False)
    table = Table(title=f"{title}: {count} graphs, {seconds:g} s a pair")
    for heading in ("entry", *(f"k = {k}" for k in stages)):
        table.add_column(heading, justify="right")
    for entry in ENTRIES:
        means = [exp(sum(map(log, ratios[entry, k])) / count) for k in stages]
        table.add_row(entry, *(f"{mean:.3f}" for mean in means))
    console.print(table)


def _ratios(problem: Problem, seconds: float) -> dict[str, float]:
    first = Board(problem, clock=time.perf_counter)
    run_entry(registry.create("slice-graph"), problem, board=first)
    run_entry(registry.create("annealing"), problem, board=first, seconds=3)
    if first.incumbent is None:
        raise SystemExit("no incumbent")
    bounds = {}
    best = first.incumbent.value
    for entry in ENTRIES:
        board = Board(problem, clock=time.perf_counter)
        board.report_partition(first.incumbent.partition, source="start")
        run_entry(registry.create("simple"), problem, board=board)
        run_entry(registry.create(entry), problem, name=entry, board=board, seconds=seconds)
        if board.interval.dual is None or board.interval.incumbent is None:
            raise SystemExit("no interval")
        bounds[entry] = board.interval.dual
        best = min(best, board.interval.incumbent)
    return {entry: bound / best for entry, bound in bounds.items()}


def _exact(stages: list[int], repeats: int) -> None:
    from framework.formats import read_graph
    from framework.testbed.catalogue import bundled_graphs

    table = Table(title="ideal-dp: milliseconds after slicing (and whether it closed)")
    for heading in ("graph", *(f"k = {k}" for k in stages)):
        table.add_column(heading, justify="right")
    for row in bundled_graphs():
        instance = reduce_exact(price(read_graph(f"testbed:{row.name}"), load_device("reference")))
        cells = []
        for k in stages:
            problem = Problem(instance=instance, stages=k)
            best, closed = float("inf"), False
            for _ in range(repeats):
                board = Board(problem, clock=time.perf_counter)
                run_entry(registry.create("slice-graph"), problem, board=board)
                started = time.perf_counter()
                run_entry(registry.create("ideal-dp"), problem, board=board, seconds=60)
                best = min(best, time.perf_counter() - started)
                closed = board.interval.closed
            cells.append(f"{best * 1e3:.1f}{'' if closed else ' open'}")
        table.add_row(row.name, *cells)
    console.print(table)


def regal_like(count: int, nodes: int = 150) -> Iterator[Instance]:
    """Yield random graphs made acyclic by node order, costs and sizes ~ N(50, 10), as arXiv 1905.02494 describes."""
    for seed in range(100, 100 + count):
        rng = np.random.default_rng(seed)
        family = seed % 4
        if family == 0:
            graph = networkx.gnp_random_graph(nodes, 0.05, seed=seed)
        elif family == 1:
            graph = networkx.barabasi_albert_graph(nodes, 2, seed=seed)
        elif family == 2:
            graph = networkx.watts_strogatz_graph(nodes, 4, 0.3, seed=seed)
        else:
            chances = [[0.3 if i == j else 0.01 for j in range(4)] for i in range(4)]
            graph = networkx.stochastic_block_model([nodes // 4] * 4, chances, seed=seed)
        n = graph.number_of_nodes()
        consumers: dict[int, set[int]] = {}
        for u, v in graph.edges():
            consumers.setdefault(min(u, v), set()).add(max(u, v))
        work = np.maximum(1, rng.normal(50, 10, n)).round().astype(int).tolist()
        sizes = np.maximum(1, rng.normal(50, 10, n)).round().astype(int).tolist()
        tensors = [(u, sizes[u], sorted(row)) for u, row in consumers.items()]
        yield instance_from_lists(work, tensors, name=f"regal-{seed}")


def layered(count: int) -> Iterator[Instance]:
    """Yield layered graphs of growing width."""
    for i in range(count):
        yield random_layered_instance(i, 120, width=(9, 14, 20)[i % 3])


def hanging(count: int, blocks: int = 40, branches: int = 2) -> Iterator[Instance]:
    """Yield chains whose blocks are also fed by branches that hang off a much earlier node."""
    for seed in range(count):
        rng = np.random.default_rng(seed)
        work = [int(rng.integers(100, 500)) for _ in range(blocks + 1)]
        costs = [int(rng.integers(100, 300)) for _ in range(blocks + 1)]
        consumers: list[set[int]] = [{b + 1} for b in range(blocks)] + [set()]
        work = [work[0], *(int(rng.integers(500, 1500)) for _ in range(blocks))]
        for b in range(3, blocks + 1):
            if rng.random() < 0.4:
                consumers[int(rng.integers(max(0, b - 6), b - 1))].add(b)
        for b in range(1, blocks + 1):
            for _ in range(branches):
                source = 0 if rng.random() < 0.4 else int(rng.integers(max(0, b - 20), b))
                for _ in range(int(rng.integers(1, 3))):
                    consumers[source].add(len(work))
                    source = len(work)
                    work.append(int(rng.integers(10, 310)))
                    costs.append(int(rng.integers(1, 60)))
                    consumers.append(set())
                consumers[source].add(min(blocks, b + int(rng.integers(0, 3))))
        tensors = [(u, costs[u], sorted(row)) for u, row in enumerate(consumers) if row]
        yield instance_from_lists(work, tensors, name=f"hanging-{seed}")


if __name__ == "__main__":
    main()
