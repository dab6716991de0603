"""What fixing leaves of a graph right below the best partition, and what that is worth to CP-SAT, as ratios.

    scripts/bench fixing [--set seconds=20]

Each graph of the testbed is priced for the reference device and reduced; `default` finds a partition first, in
`seconds`. The threshold is so much below it. Columns: nodes before, nodes left, seconds that takes, and how CP-SAT
decides the threshold, in at most `seconds`: on the graph as it is, and on what is left with CP-SAT's own linear
program, none (0), and the fullest (2). Each of these on one core; what ran out of time has a `>`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from figures import Figures

from framework.contracts import Refuted, Satisfied
from framework.formats import read_graph
from framework.model.device import load_device
from framework.model.pricing import price
from framework.model.problem import Problem
from framework.portfolio.context.board import Board
from framework.portfolio.context.local import LocalContext
from framework.portfolio.settings import Settings
from framework.portfolio.solve import solve
from framework.registry import load_plugins, registry
from framework.structure.filtering.rounds import FixedProblems
from framework.structure.reduction.dominance import reduce_exact

PAIRS = (
    "published-gpt-oss-20b@2",
    "transformers-bart@4",
    "transformers-aria@4",
    "diffusers-controlnetmodel@4",
    "torchvision-raft_large@8",
    "transformers-dia@8",
    "torchvision-raft_large@16",
    "transformers-mask2former@16",
    "diffusers-flux2transformer2dmodel@32",
)


def measure(seconds: float, below: float = 1e-4, pairs: Sequence[str] = PAIRS) -> Sequence[Figures]:
    """Return one row for each pair of a graph and a number of stages."""
    load_plugins()
    rows = []
    for pair in pairs:
        name, stages = pair.rsplit("@", 1)
        rows.append((f"`{name}`", stages, *_cells(name, int(stages), below, seconds)))
    columns = ("graph", "k", "nodes", "left", "seconds", "as it is", "left, own", "left, 0", "left, 2")
    title = f"{below:g} below the best partition"
    return (Figures(name="decisions", title=title, columns=columns, rows=tuple(rows)),)


def _cells(name: str, stages: int, below: float, seconds: float) -> list[str]:
    """Return nodes, nodes left, the time of fixing, and the four decisions."""
    graph, device = read_graph(f"testbed:{name}"), load_device("reference")
    found = solve(graph, stages, settings=Settings(device=device, budget=seconds, workers=1))
    problem = Problem(instance=reduce_exact(price(graph, device)), stages=stages)
    threshold = int(found.incumbent_ticks * (1 - below))
    problems, started = FixedProblems(problem), time.perf_counter()
    problems.fix(threshold)
    took = time.perf_counter() - started
    left = problems.at(threshold)
    cells = [str(problem.instance.n), "0" if left is None else str(left.instance.n), f"{took:.1f}"]
    cells.append(_decide("cp-sat", problem, threshold, seconds))
    if left is None:
        return [*cells, "refuted", "", ""]
    levels = ("cp-sat", "cp-sat:linearization=0", "cp-sat:linearization=2")
    return [*cells, *(_decide(spec, left, threshold, seconds) for spec in levels)]


def _decide(spec: str, problem: Problem, threshold: int, seconds: float) -> str:
    context = LocalContext(Board(problem, clock=time.perf_counter), spec, seconds=seconds)
    started = time.perf_counter()
    answer = registry.create_decision(spec).decide(problem, threshold, context)
    took = time.perf_counter() - started
    word = {Refuted: "no", Satisfied: "yes"}.get(type(answer), ">")
    return f"{word} {took:.1f}"
