"""What `spreading-metric` and `counting` prove alone on wide random graphs, beside `simple` and `lp`.

    python scripts/benchmarks/methods/counting_spreading.py --graphs 16 --seconds 10 --stages 2,4,8,16,32
    python scripts/benchmarks/methods/counting_spreading.py --nodes 30 --graphs 4 --stages 2,4 --methods
    lp,sdp,soc

The graphs are those of `framework.testbed.regal`, seeds 100 and on; `soc` is for some 30 nodes. The incumbent that
bounds are divided by comes from `slice-graph` and `annealing`, and is where each method starts; a method's seconds are
those of its run until it ended or its time was up, after one run on a small graph that compiles it.
"""

from __future__ import annotations

import time
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from framework.model.instance import Instance
from framework.model.pricing import price
from framework.model.problem import Problem
from framework.portfolio.context.board import Board
from framework.portfolio.context.local import run_entry
from framework.registry import load_plugins, registry
from framework.testbed.random_graphs import FAMILIES, regal_graph
from framework.testbed.regal import SEEDS
from framework.testing.instances import random_layered_instance


def measure(
    instance: Instance, stages: int, methods: list[str], seconds: float, incumbent_seconds: float
) -> list[tuple[float, float]]:
    """Return dual bound / incumbent and seconds of each method."""
    problem = Problem(instance=instance, stages=stages)
    _, found = run_entry(registry.create("slice-graph"), problem, seconds=incumbent_seconds)
    _, found = run_entry(registry.create("annealing"), problem, seconds=incumbent_seconds, board=found)
    assert found.incumbent is not None
    results = []
    for method in methods:
        started = time.monotonic()
        board = Board(problem, clock=lambda started=started: time.monotonic() - started)  # type: ignore[misc]
        board.report_partition(found.incumbent.partition, source="incumbent")
        run_entry(registry.create(method), problem, name=method, seconds=seconds, board=board)
        taken = time.monotonic() - started
        assert not board.contradictions
        results.append(((board.interval.dual or 0) / found.incumbent.value, taken))
    return results


def main(
    graphs: Annotated[int, typer.Option(help="Number of graphs.")] = 16,
    seconds: Annotated[float, typer.Option(help="Time limit of each method.")] = 10.0,
    stages: Annotated[str, typer.Option(help="Numbers of stages.")] = "2,4,8,16,32",
    methods: Annotated[str, typer.Option(help="Entries.")] = "simple,lp,spreading-metric,counting",
    nodes: Annotated[int, typer.Option(help="Nodes of each graph.")] = 150,
    incumbent_seconds: Annotated[float, typer.Option(help="Time limit of slicing, and of annealing.")] = 5.0,
) -> None:
    load_plugins()
    names = methods.split(",")
    warm = Problem(instance=random_layered_instance(0, 24, width=8), stages=4)
    for name in names:
        run_entry(registry.create(name), warm, seconds=20.0)
    console = Console()
    table = Table(title=f"dual bound / incumbent (seconds), means of {graphs} graphs, at most {seconds:g} s each")
    for heading in ("k", *names):
        table.add_column(heading, justify="right")
    for k in map(int, stages.split(",")):
        rows = []
        for i, seed in enumerate(SEEDS[:graphs]):
            graph = regal_graph(tuple(FAMILIES)[i % len(FAMILIES)], nodes, seed)
            rows.append(measure(price(graph), k, names, seconds, incumbent_seconds))
            text = " ".join(f"{ratio:.3f}({taken:.1f})" for ratio, taken in rows[-1])
            console.print(f"k={k} {graph.name} {text}", highlight=False)
        ratios, times = np.moveaxis(np.array(rows), 2, 0)
        # A method without a bound counts as 1e-3, not as nothing.
        means = np.exp(np.log(np.maximum(ratios, 1e-3)).mean(axis=0))
        cells = [f"{mean:.3f} ({taken:.1f})" for mean, taken in zip(means, times.mean(axis=0), strict=True)]
        table.add_row(str(k), *cells)
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
