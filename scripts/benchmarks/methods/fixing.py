"""What fixing leaves of a graph right below the best partition, and what that is worth to CP-SAT, as ratios.

    python scripts/benchmarks/methods/fixing.py [--below 1e-4] [--seconds 20] [GRAPH@STAGES ...]

Each graph of the testbed is priced for the reference device and reduced; `default` finds a partition first, in
`--seconds`. The threshold is so much below it. Columns: nodes before, nodes left, seconds that takes, and how CP-SAT
decides the threshold, in at most `--seconds`: on the graph as it is, and on what is left with CP-SAT's own linear
program, none (0), and the fullest (2). Each of these on one core; what ran out of time has a `>`.
"""

from __future__ import annotations

import argparse
import time

from rich.console import Console
from rich.table import Table

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


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--below", type=float, default=1e-4)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("pairs", nargs="*", default=PAIRS)
    arguments = parser.parse_args()
    load_plugins()
    table = Table(title=f"{arguments.below:g} below the best partition")
    for heading in ("graph", "k", "nodes", "left", "seconds", "as it is", "left, own", "left, 0", "left, 2"):
        table.add_column(heading, justify="left" if heading == "graph" else "right")
    for pair in arguments.pairs:
        name, stages = pair.rsplit("@", 1)
        table.add_row(name, stages, *_cells(name, int(stages), arguments.below, arguments.seconds))
    Console(width=130).print(table)


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


if __name__ == "__main__":
    main()
