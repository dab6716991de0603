"""Time the anchored-cut bound on large graphs, and its maximum flow against OR-Tools on the same cuts.

    scripts/bench anchored [--set cuts=200]

The first table runs `anchored-cut` in a process of its own; peak memory is that process's. Tensors are made expensive
and stages many, so that no easier bound ends the search at once and cheapest sets are large. The second table solves
the same anchored cuts with both codes; OR-Tools needs a new graph for every cut, as its capacities cannot be reset,
and building it is not counted.
"""

from __future__ import annotations

import multiprocessing
import resource
import time
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing.connection import Connection

import numpy as np
from figures import Figures

from framework.model.instance import Instance
from framework.model.problem import Problem
from framework.portfolio.context.local import run_entry
from framework.registry import load_plugins, registry
from framework.structure.flow.convex_cuts import NodeCuts
from framework.testing.instances import random_layered_instance


def dear_transfers(nodes: int, width: int, factor: int) -> Instance:
    instance = random_layered_instance(7, nodes, width=width)
    return replace(instance, tensor_cost=factor * instance.tensor_cost)


def _run_bound(nodes: int, width: int, factor: int, seconds: float, pipe: Connection) -> None:
    load_plugins()
    small = Problem(instance=random_layered_instance(1, 60, width=9), stages=60)
    run_entry(registry.create("anchored-cut"), small)
    problem = Problem(instance=dear_transfers(nodes, width, factor), stages=nodes)
    started = time.monotonic()
    outcome, board = run_entry(registry.create("anchored-cut"), problem, seconds=seconds)
    taken = time.monotonic() - started
    first = min((bound.seconds for bound in board.bounds), default=float("nan"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    dual = None if board.dual is None else board.dual.value
    pipe.send((taken, first, dual, outcome.details, str(outcome.termination.reason), peak))


def whole_bound(nodes: int, seconds: float) -> Figures:
    """Return a row for each graph and factor on the cost of its tensors."""
    rows = []
    for name, width in (("chain-like", 4), ("wide", 200)):
        for factor in (1, 10, 100):
            here, there = multiprocessing.Pipe()
            process = multiprocessing.get_context("spawn").Process(
                target=_run_bound, args=(nodes, width, factor, seconds, there)
            )
            process.start()
            taken, first, dual, details, ended, peak = here.recv()
            process.join()
            reached = "-" if dual is None else f"{first:.1f} s"
            counts = str(details.get("anchors")), str(details.get("cuts"))
            rows.append((name, str(factor), f"{taken:.1f} s", reached, *counts, ended, f"{peak:.0f} MiB"))
    columns = ("graph", "tensor costs times", "time", "bound by", "anchors", "cuts", "ended", "peak memory")
    title = f"anchored-cut on {nodes:,} nodes, at most {seconds:g} s"
    return Figures(name="bound", title=title, columns=columns, rows=tuple(rows))


def ortools_seconds(cuts: NodeCuts, capacities: np.ndarray, expected: int) -> float:
    from ortools.graph.python.max_flow import SimpleMaxFlow

    network = cuts.network
    tails, heads = network.ends()
    flow = SimpleMaxFlow()
    flow.add_arcs_with_capacity(
        np.concatenate((tails, heads)),
        np.concatenate((heads, tails)),
        np.concatenate((capacities[network.forward], capacities[network.backward])),
    )
    started = time.perf_counter()
    flow.solve(network.source, network.sink)
    taken = time.perf_counter() - started
    assert flow.optimal_flow() == expected
    return taken


def codes(cuts_wanted: int) -> Figures:
    """Return a row for each graph with the seconds of both codes."""
    rows = []
    for name, nodes, width in (("chain-like", 2000, 4), ("wide", 2000, 100), ("wide", 12_000, 200)):
        instance = dear_transfers(nodes, width, 10)
        cuts = NodeCuts(instance)
        anchors = np.random.default_rng(1).choice(nodes, cuts_wanted, replace=False).tolist()
        cuts.minimise(instance.work, inside=[0], anchors=[0])
        ours = theirs = 0.0
        for v in anchors:
            started = time.perf_counter()
            found = cuts.minimise(instance.work, inside=[v], anchors=[v])
            ours += time.perf_counter() - started
            theirs += ortools_seconds(cuts, cuts.capacities(), found.value)
        rows.append((name, f"{nodes:,}", f"{ours:.2f} s", f"{theirs:.2f} s", f"{theirs / ours:.1f}"))
    columns = ("graph", "nodes", "this project", "OR-Tools", "ratio")
    return Figures(name="codes", title=f"the same {cuts_wanted} anchored cuts", columns=columns, rows=tuple(rows))


def measure(nodes: int, seconds: float, cuts: int) -> Sequence[Figures]:
    """Return the time and memory of the whole bound, and the times of its cuts by both codes."""
    return whole_bound(nodes, seconds), codes(cuts)
