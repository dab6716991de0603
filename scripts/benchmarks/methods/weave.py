"""What `weave`, `multilevel` and `annealing` make of the best slicing of a graph, as ratios.

    python scripts/benchmarks/methods/weave.py [--seconds 4] [--stages 8 32] [GRAPH ...]

Each graph of the testbed is priced for the reference device and reduced; each entry starts from the slicing that
`slice-graph` finds and runs alone, with one seed. A cell is its bottleneck in units of the lowest of the row, so 1 is
best; the last row has geometric means. Run it with nothing beside it.
"""

from __future__ import annotations

import argparse
from math import exp, log

from rich.console import Console
from rich.table import Table

from framework.formats import read_graph
from framework.model.device import load_device
from framework.model.pricing import price
from framework.model.problem import Problem
from framework.portfolio.context.board import Board
from framework.portfolio.context.local import run_entry
from framework.registry import load_plugins, registry
from framework.structure.reduction.dominance import reduce_exact

ENTRIES = ("weave", "multilevel", "annealing")
ENDLESS = 1_000_000
GRAPHS = (
    "diffusers-dittransformer2dmodel",
    "diffusers-fluxtransformer2dmodel",
    "diffusers-ovisimagetransformer2dmodel",
    "diffusers-qwenimagetransformer2dmodel",
    "openclip-eva02-b-16",
    "openclip-mobileclip-s1",
    "torchaudio-squim-objective",
    "torchvision-raft_large",
    "transformers-aria",
    "transformers-bart",
    "transformers-dia",
    "transformers-mask2former",
)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--stages", type=int, nargs="+", default=[8, 32])
    parser.add_argument("graphs", nargs="*", default=GRAPHS)
    arguments = parser.parse_args()
    load_plugins()
    table = Table(title=f"bottleneck / lowest, {arguments.seconds:g} s each after slice-graph")
    for heading in ("graph", "k", "slice-graph", *ENTRIES):
        table.add_column(heading, justify="left" if heading == "graph" else "right")
    logs: dict[str, list[float]] = {entry: [] for entry in ("slice-graph", *ENTRIES)}
    device = load_device("reference")
    for name in arguments.graphs:
        instance = reduce_exact(price(read_graph(f"testbed:{name}"), device))
        for stages in arguments.stages:
            values = _values(Problem(instance=instance, stages=stages), arguments.seconds)
            least = min(values.values())
            for entry, value in values.items():
                logs[entry].append(log(value / least))
            table.add_row(name, str(stages), *(f"{value / least:.5f}" for value in values.values()))
    table.add_row("geometric mean", "", *(f"{exp(sum(row) / len(row)):.5f}" for row in logs.values()))
    Console(width=120).print(table)


def _values(problem: Problem, seconds: float) -> dict[str, int]:
    """Return the bottleneck after each entry, in ticks."""
    _, sliced = run_entry(registry.create("slice-graph"), problem, seconds=seconds)
    start = sliced.incumbent
    if start is None:
        raise AssertionError("slice-graph finds a partition of every graph")
    values = {"slice-graph": start.value}
    for entry in ENTRIES:
        board = Board(problem, clock=lambda: 0.0)
        board.report_partition(start.partition, source="slice-graph")
        run_entry(registry.create(f"{entry}:patience={ENDLESS}"), problem, board=board, seconds=seconds)
        values[entry] = board.interval.incumbent
    return values


if __name__ == "__main__":
    main()
