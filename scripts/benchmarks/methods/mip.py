"""Compare the integer, linear and genetic methods of the paper's family on wide and on real graphs.

    python scripts/benchmarks/methods/mip.py [--seconds 10] [--stages 4 16] [--graphs testbed:inception_v2
    ...]

For each pair, good partitions are searched for first (slicing and annealing, `--search` seconds); every entry then
starts from that incumbent, alone, in this process. A figure is the entry's own dual bound over the best partition that
anyone found; entries that prove no bounds show their own partition over the best one.
"""

from __future__ import annotations

import argparse
import time

from rich.console import Console
from rich.table import Table

from framework.formats import read_graph
from framework.model.device import load_device
from framework.model.graph import PricedCosts
from framework.model.pricing import price
from framework.model.problem import Problem
from framework.portfolio.context.board import Board
from framework.portfolio.context.local import run_entry
from framework.registry import load_plugins, registry
from framework.structure.reduction.dominance import reduce_exact

GRAPHS = (
    "testbed:regal-er-150-100",
    "testbed:regal-ba-150-101",
    "testbed:regal-ws-150-102",
    "testbed:regal-sbm-150-103",
    "testbed:inception_v2",
    "testbed:densenet121",
)
DUAL = (
    "simple",
    "exact-mip",
    "exact-mip:solver=highs",
    "bottleneck",
    "guess-bottleneck",
    "guess-bottleneck:windows=true",
    "bisection:over=[guess-bottleneck:windows=true]",
    "superblocks:groups=2",
    "bisection:over=[superblocks:groups=2,layouts=3]",
    "bisection:over=[superblocks:groups=2,solver=cp-sat,layouts=3]",
    "bisection:over=[superblocks:groups=4,solver=cp-sat]",
    "window-propagation",
    "sweep",
    "lp",
    "benders",
    "sdp",
    "cp-sat",
)
PRIMAL = ("brkga-100", "brkga-10000")


def problem_of(graph: str, stages: int) -> Problem:
    read = read_graph(graph)
    device = None if isinstance(read.costs, PricedCosts) else load_device("reference")
    return Problem(instance=reduce_exact(price(read, device)), stages=stages)


def measure(
    graph: str, stages: int, entries: list[str], seconds: float, search: float
) -> dict[str, tuple[float, float]]:
    problem = problem_of(graph, stages)
    started = time.monotonic()
    shared = Board(problem, clock=lambda: time.monotonic() - started)
    run_entry(registry.create("slice-graph"), problem, name="slice-graph", seconds=search, board=shared)
    run_entry(registry.create("annealing"), problem, name="annealing", seconds=search, board=shared)
    assert shared.incumbent is not None
    found: dict[str, tuple[float, float]] = {}
    best = shared.incumbent.value
    for entry in entries:
        begun = time.monotonic()
        board = Board(problem, clock=lambda: time.monotonic() - started)
        primal = entry in PRIMAL
        if not primal:
            board.report_partition(shared.incumbent.partition, source="annealing")
        run_entry(registry.create(entry), problem, name=entry, seconds=seconds, board=board)
        assert not board.contradictions, (graph, stages, entry, board.contradictions)
        side = board.interval.incumbent if primal else board.interval.dual
        found[entry] = (float(side or 0), time.monotonic() - begun)
        best = min(best, board.interval.incumbent or best)
    return {entry: (value / best, taken) for entry, (value, taken) in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--graphs", nargs="+", default=GRAPHS)
    parser.add_argument("--stages", nargs="+", type=int, default=[4, 16])
    parser.add_argument("--entries", nargs="+", default=[*DUAL, *PRIMAL])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--search", type=float, default=5.0)
    options = parser.parse_args()
    load_plugins()
    known = {entry.name for entry in registry.entries()}
    entries = [entry for entry in options.entries if entry.partition(":")[0] in known]
    console = Console(width=150)
    rows: dict[str, list[str]] = {entry: [] for entry in entries}
    pairs = [(graph, stages) for graph in options.graphs for stages in options.stages]
    for graph, stages in pairs:
        for entry, (ratio, taken) in measure(graph, stages, entries, options.seconds, options.search).items():
            rows[entry].append(f"{ratio:.4f} {taken:.0f}s")
            print(f"{graph} k={stages} {entry}: {ratio:.4f} in {taken:.1f} s", flush=True)
    table = Table(title=f"dual bound or partition over the best partition, {options.seconds:g} s each")
    table.add_column("entry")
    for graph, stages in pairs:
        table.add_column(f"{graph.removeprefix('testbed:')} {stages}", justify="right")
    for entry, cells in rows.items():
        table.add_row(entry, *cells)
    console.print(table)


if __name__ == "__main__":
    main()
