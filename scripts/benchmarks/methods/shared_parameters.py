"""What counting parameters once per stage changes: optima before and after, a row a graph and number of stages.

    python scripts/benchmarks/methods/shared_parameters.py [--subset core] [-k 4 -k 16 -k 64] [--jobs 2] [GRAPH]

Before, every user of a parameter held a copy of it: the same graph, with the shared parameters charged to each of their
users. Each run has one worker. Only graphs with shared parameters are run; CSV goes to standard output, values in
seconds of the reference device.
"""

from __future__ import annotations

import argparse
import csv
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import product
from multiprocessing import get_context

import numpy as np

from framework.formats import read_graph
from framework.model.device import DEFAULT_DEVICE, load_device
from framework.model.graph import ModelGraph, PhysicalCosts
from framework.model.shared import SharedParameters
from framework.portfolio.result import Result
from framework.portfolio.settings import Settings
from framework.portfolio.solve import solve
from framework.registry import load_plugins
from framework.testbed.catalogue import subset_names


def per_user(graph: ModelGraph) -> ModelGraph:
    """Return the graph in which every user of a shared parameter holds one of its own."""
    costs = graph.costs
    assert isinstance(costs, PhysicalCosts)
    parameters = costs.parameter_bytes.copy()
    np.add.at(parameters, graph.shared.users, costs.shared_bytes[graph.shared.pins])
    return replace(
        graph,
        costs=replace(costs, parameter_bytes=parameters, shared_bytes=np.zeros(0)),
        shared=SharedParameters(),
        shared_names=(),
    )


def pair(task: tuple[str, int], budget: float) -> tuple[Result, Result]:
    """Return the results for a graph of the testbed and a number of stages, before and now."""
    name, stages = task
    load_plugins()
    graph = read_graph(f"testbed:{name}")
    settings = Settings(device=load_device(DEFAULT_DEVICE), budget=budget, workers=1)
    before, now = (solve(item, stages, settings=settings) for item in (per_user(graph), graph))
    return before, now


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("graphs", nargs="*")
    parser.add_argument("--subset", default="core")
    parser.add_argument("-k", "--stages", type=int, action="append")
    parser.add_argument("--budget", type=float, default=10.0)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    names = options.graphs or subset_names(options.subset)
    sharing = [name for name in names if len(read_graph(f"testbed:{name}").shared)]
    tasks = list(product(sharing, options.stages or (4, 16, 64)))
    out = csv.writer(sys.stdout)
    out.writerow(("graph", "k", "bound_before", "best_before", "bound_now", "best_now", "change"))
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        results = pool.map(partial(pair, budget=options.budget), tasks)
        for (name, k), (before, now) in zip(tasks, results, strict=True):
            change = (now.incumbent or 0.0) / (before.incumbent or 1.0) - 1
            values = (before.dual_bound, before.incumbent, now.dual_bound, now.incumbent)
            out.writerow((name, k, *values, f"{change:+.4f}"))
            sys.stdout.flush()


if __name__ == "__main__":
    main()
