"""What proofs cost, and what damage does to them.

python scripts/benchmarks/methods/proofs.py damage --count 10000     damaged proofs by rule: none may prove too much
python scripts/benchmarks/methods/proofs.py graphs NAME[,NAME...] -k 4 -k 8 [--with ENTRY] [--budget 10s]

The second solves graphs of the testbed, writes the log of each result, and checks it.
"""

from __future__ import annotations

import argparse
import json
import lzma
import random
import time
from collections import defaultdict

from framework.formats import read_graph
from framework.model.device import load_device
from framework.model.graph import PhysicalCosts
from framework.portfolio.logs.write import proof_of
from framework.portfolio.settings import Settings
from framework.portfolio.solve import solve
from framework.proof.check import proven_by, replay
from framework.proof.log import BOUNDS, REDUCTIONS
from framework.proof.problem import RefusedError
from framework.report.console import open_console
from framework.report.layout import FactTable
from framework.testing.proofs import ProvenProblem, damaged, proven_problems
from framework.units import parse_seconds

A_PROOF = 40
"""Damaged copies of one proof."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    damage = commands.add_parser("damage")
    damage.add_argument("--count", type=int, default=10_000)
    damage.add_argument("--seed", type=int, default=0)
    graphs = commands.add_parser("graphs")
    graphs.add_argument("names")
    graphs.add_argument("-k", "--stages", type=int, action="append", required=True)
    graphs.add_argument("--with", dest="entry", default="default")
    graphs.add_argument("--budget", default="10s")
    given = parser.parse_args()
    if given.command == "damage":
        print_damage(given.count, given.seed)
    else:
        print_graphs(given.names.split(","), given.stages, given.entry, parse_seconds(given.budget))


def print_damage(count: int, seed: int) -> None:
    """Damage proofs until there are so many of them, and count by rule what becomes of them."""
    rng, done = random.Random(seed), 0
    rows: dict[str, list[int]] = defaultdict(lambda: [0] * 5)
    for first in range(1_000_000 + 100 * seed, 2_000_000, 10):
        if done >= count:
            break
        for case in proven_problems(range(first, first + 10)):
            rules = {step.rule for step in case.steps}
            for rule in rules:
                rows[rule][0] += 1
            for _ in range(A_PROOF):
                outcome = what_becomes(case, rng)
                done += 1
                for rule in rules:
                    rows[rule][outcome] += 1
    table = FactTable()
    table.texts("rule in the proof")
    table.numbers("proofs", "refused", "holds, at most as before", "holds, more", "proves more than the optimum")
    for rule in (*REDUCTIONS, *BOUNDS):
        table.row(rule, *map(str, rows[rule]))
    console = open_console()
    console.print(table)
    console.print(f"{done} damaged proofs")
    if any(row[4] for row in rows.values()):
        raise SystemExit(1)


def what_becomes(case: ProvenProblem, rng: random.Random) -> int:
    """Damage a proof: 1 if it is refused, 2 or 3 if it still proves at most as much or more, 4 if that is false."""
    steps = damaged(case.steps, rng)
    try:
        bound = proven_by(case.problem, steps)
    except RefusedError:
        return 1
    if bound > case.optimum:
        print(f"false: {case.problem} {steps} proves {bound}, the optimum is {case.optimum}")
        return 4
    return 2 if bound <= proven_by(case.problem, case.steps) else 3


def print_graphs(names: list[str], stages: list[int], entry: str, budget: float) -> None:
    """Solve, write and check; a row for each graph and number of stages."""
    table = FactTable()
    table.texts("graph", "rules", "verdict")
    table.numbers("k", "solve s", "write s", "check s", "bytes", "packed")
    for name in names:
        graph = read_graph(f"testbed:{name}")
        device = load_device("reference") if isinstance(graph.costs, PhysicalCosts) else None
        for k in stages:
            settings = Settings(entry=entry, budget=budget, workers=1, device=device)
            result = solve(graph, k, settings=settings)
            written = time.perf_counter()
            log = proof_of(result, graph)
            checked = time.perf_counter()
            found = replay(log, graph)
            ended = time.perf_counter()
            data = json.dumps(log.as_dict(), separators=(",", ":")).encode()
            full = log.bound == result.dual_ticks
            verdict = found.fault or ("optimal" if found.optimal else "holds" if full else "holds, weaker")
            rules = ", ".join(step.rule for step in log.steps)
            times = (result.seconds, checked - written, ended - checked)
            sizes = (len(data), len(lzma.compress(data)))
            table.row(name, rules, verdict, str(k), *(f"{t:.2f}" for t in times), *map(str, sizes))
    open_console().print(table)


if __name__ == "__main__":
    main()
