"""What `stage-cover` proves alone on wide random graphs, beside `simple` and `anchored-cut`.

    python scripts/benchmarks/methods/stage_cover.py --graphs 16 --seconds 10 --stages 8,16,32,64

The graphs are made as those of arXiv 1905.02494: Erdos-Renyi, Barabasi-Albert, Watts-Strogatz and stochastic block
models made acyclic by the order of their nodes, work and tensor costs normal with mean 50 and deviation 10. The
incumbent that bounds are divided by comes from `slice-graph` and `annealing`, and is where each method starts.
"""

from __future__ import annotations

import time
from typing import Annotated

import networkx as nx
import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from framework.model.instance import Instance, instance_from_lists
from framework.model.problem import Problem
from framework.portfolio.context.board import Board
from framework.portfolio.context.local import run_entry
from framework.registry import load_plugins, registry

METHODS = ("simple", "anchored-cut", "stage-cover")


def wide_graph(seed: int, n: int = 150) -> Instance:
    rng = np.random.default_rng(seed)
    made = [
        lambda: nx.gnp_random_graph(n, 0.05, seed=seed),
        lambda: nx.barabasi_albert_graph(n, 2, seed=seed),
        lambda: nx.watts_strogatz_graph(n, 4, 0.3, seed=seed),
        lambda: nx.stochastic_block_model(
            [n // 4] * 4, [[0.3 if i == j else 0.01 for j in range(4)] for i in range(4)], seed=seed
        ),
    ][seed % 4]()
    n = made.number_of_nodes()
    consumers: list[set[int]] = [set() for _ in range(n)]
    for u, v in made.edges():
        consumers[min(u, v)].add(max(u, v))
    work, cost = (np.maximum(1, rng.normal(50, 10, n)).round().astype(int).tolist() for _ in range(2))
    tensors = [(u, cost[u], sorted(row)) for u, row in enumerate(consumers) if row]
    return instance_from_lists(work, tensors, name=f"{('er', 'ba', 'ws', 'sbm')[seed % 4]}-{seed}")


def ratios(instance: Instance, stages: int, seconds: float, incumbent_seconds: float) -> list[float]:
    problem = Problem(instance=instance, stages=stages)
    _, found = run_entry(registry.create("slice-graph"), problem, seconds=incumbent_seconds)
    _, found = run_entry(registry.create("annealing"), problem, seconds=incumbent_seconds, board=found)
    assert found.incumbent is not None
    results = []
    for method in METHODS:
        started = time.monotonic()
        board = Board(problem, clock=lambda started=started: time.monotonic() - started)  # type: ignore[misc]
        board.report_partition(found.incumbent.partition, source="incumbent")
        run_entry(registry.create(method), problem, name=method, seconds=seconds, board=board)
        assert not board.contradictions
        results.append((board.interval.dual or 0) / found.incumbent.value)
    return results


def main(
    graphs: Annotated[int, typer.Option(help="Number of graphs, seeds 100 and on.")] = 16,
    seconds: Annotated[float, typer.Option(help="Time limit of each method.")] = 10.0,
    stages: Annotated[str, typer.Option(help="Numbers of stages.")] = "4,8,16,32,64",
    incumbent_seconds: Annotated[float, typer.Option(help="Time limit of slicing, and of annealing.")] = 8.0,
) -> None:
    load_plugins()
    warm = Problem(instance=wide_graph(0, 24), stages=4)
    for method in METHODS:
        run_entry(registry.create(method), warm, seconds=20.0)
    console = Console()
    table = Table(title=f"dual bound / incumbent, geometric mean of {graphs} graphs, {seconds:g} s each")
    for heading in ("k", *METHODS):
        table.add_column(heading, justify="right")
    for k in map(int, stages.split(",")):
        rows = []
        for seed in range(100, 100 + graphs):
            rows.append(ratios(wide_graph(seed), k, seconds, incumbent_seconds))
            console.print(f"k={k} seed={seed} " + " ".join(f"{value:.3f}" for value in rows[-1]), highlight=False)
        # A method without a bound counts as 1e-3, not as nothing.
        means = np.exp(np.log(np.maximum(rows, 1e-3)).mean(axis=0))
        table.add_row(str(k), *(f"{value:.3f}" for value in means))
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
