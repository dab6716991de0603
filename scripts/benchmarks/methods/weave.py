"""What `weave`, `multilevel` and `annealing` make of the best slicing of a graph, as ratios.

    scripts/bench weave [--set seconds=4] [--set stages=8,32]

Each graph of the testbed is priced for the reference device and reduced; each entry starts from the slicing that
`slice-graph` finds and runs alone, with one seed. A cell is its bottleneck in units of the lowest of the row, so 1 is
best; the first table has the geometric means. Seconds are of processor time, so that other programs change little.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from statistics import geometric_mean

from figures import Figures

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


def measure(seconds: float, stages: Sequence[int], graphs: Sequence[str] = GRAPHS) -> Sequence[Figures]:
    """Return the geometric means, and one row for each pair of a graph and a number of stages."""
    load_plugins()
    rows = []
    entries = ("slice-graph", *ENTRIES)
    ratios: dict[str, list[float]] = {entry: [] for entry in entries}
    device = load_device("reference")
    for name in graphs:
        instance = reduce_exact(price(read_graph(f"testbed:{name}"), device))
        for k in stages:
            values = _values(Problem(instance=instance, stages=k), seconds)
            least = min(values.values())
            for entry, value in values.items():
                ratios[entry].append(value / least)
            rows.append((f"`{name}`", str(k), *(f"{value / least:.5f}" for value in values.values())))
    title = f"bottleneck / lowest, {seconds:g} s each after slice-graph"
    means = tuple(f"{geometric_mean(ratios[entry]):.5f}" for entry in entries)
    return (
        Figures(name="means", title=title, columns=tuple(f"`{entry}`" for entry in entries), rows=(means,)),
        Figures(name="pairs", title=title, columns=("graph", "k", *entries), rows=tuple(rows)),
    )


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
        endless = registry.create(f"{entry}:patience={ENDLESS}")
        run_entry(endless, problem, board=board, seconds=seconds, clock=time.process_time)
        values[entry] = board.interval.incumbent
    return values
