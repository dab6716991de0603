"""Time and strength of `nested-cuts` and `lagrangian` on the REGAL-like graphs.

    python scripts/benchmarks/methods/nested_cuts.py two [--graphs 16] [--nodes 150] [--seconds 60]
    python scripts/benchmarks/methods/nested_cuts.py many [--graphs 16] [--stages 4 8] [--seconds 60]

*two*: two stages to proven optimality; the incumbent comes from slicing and a few seconds of annealing first. *many*:
dual bound / best incumbent after a sixth of the time and after all of it, beside `simple`, `anchored-cut`, the
multiplier search alone, and two groups lifted by `merged`. Kernels are compiled before anything is timed. CPU
seconds are the process's own: on a busy machine they say more than the clock.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from framework.model.pricing import price
from framework.model.problem import Problem
from framework.portfolio.context.board import Board
from framework.portfolio.context.local import run_entry
from framework.registry import load_plugins, registry
from framework.structure.primal.initial_interval import simple_bound
from framework.testbed.random_graphs import FAMILIES, regal_graph

FIRST_SEED = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("two", "many"))
    parser.add_argument("--graphs", type=int, default=16)
    parser.add_argument("--nodes", type=int, default=150)
    parser.add_argument("--stages", type=int, nargs="+", default=[4, 8])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--annealing", type=float, default=10.0, help="seconds for the incumbent")
    arguments = parser.parse_args()
    load_plugins()
    console = Console(width=150)
    for stages in [2] if arguments.part == "two" else arguments.stages:
        _compile(stages)
        if arguments.part == "two":
            _two(console, arguments)
        else:
            _many(console, arguments, stages)


def _two(console: Console, arguments: argparse.Namespace) -> None:
    table = Table(title=f"nested-cuts, 2 stages, {arguments.nodes} nodes, at most {arguments.seconds:g} s a graph")
    for heading in ("graph", "annealing", "optimum", "ratio", "CPU s", "clock s", "nodes", "cuts"):
        table.add_column(heading, justify="right")
    for name, problem in _problems(arguments, 2):
        board = _incumbent(problem, arguments.annealing)
        before = board.interval.incumbent
        cpu, clock = time.process_time(), time.monotonic()
        outcome, board = run_entry(registry.create("nested-cuts"), problem, seconds=arguments.seconds, board=board)
        cpu, clock = time.process_time() - cpu, time.monotonic() - clock
        (tree,) = outcome.details["trees"]
        ratio = board.interval.ratio or 0.0
        row = (name, str(before), str(board.interval.incumbent), f"{ratio:.4f}", f"{cpu:.2f}", f"{clock:.2f}")
        table.add_row(*row, str(tree["nodes"]), str(tree["cuts"]))
        print(*row, tree, flush=True)
    console.print(table)


def _many(console: Console, arguments: argparse.Namespace, stages: int) -> None:
    others = {
        "anchored-cut": "anchored-cut",
        "lagrangian": "lagrangian",
        "two groups": "nested-cuts:groups=2",
        "merged": "merged:into=2",
    }
    early = arguments.seconds / 6
    headings = ["simple", *others, f"nested-cuts {early:g} s", f"{arguments.seconds:g} s"]
    table = Table(title=f"dual bound / best incumbent, {stages} stages, {arguments.nodes} nodes")
    table.add_column("graph")
    for heading in headings:
        table.add_column(heading, justify="right")
    logs = [0.0] * len(headings)
    count = 0
    for name, problem in _problems(arguments, stages):
        incumbents = [_incumbent(problem, arguments.annealing)]
        duals: list[int] = [simple_bound(problem)]
        for spec in others.values():
            board = _copy(incumbents[0])
            run_entry(registry.create(spec), problem, seconds=early, board=board)
            incumbents.append(board)
            duals.append(max(board.interval.dual or 0, duals[0]))
        board = _copy(incumbents[0])
        cpu = time.process_time()
        outcome, board = run_entry(registry.create("nested-cuts"), problem, seconds=arguments.seconds, board=board)
        cpu = time.process_time() - cpu
        incumbents.append(board)
        start = board.trajectory[0].seconds
        duals.append(max([p.dual or 0 for p in board.trajectory if p.seconds <= start + early] + [duals[0]]))
        duals.append(max(board.interval.dual or 0, duals[0]))
        best = min(board.interval.incumbent or 0 for board in incumbents)
        ratios = [dual / best for dual in duals]
        count += 1
        logs = [total + math.log(ratio) for total, ratio in zip(logs, ratios, strict=True)]
        table.add_row(name, *(f"{ratio:.3f}" for ratio in ratios))
        print(name, best, [f"{r:.3f}" for r in ratios], f"CPU {cpu:.1f} s", outcome.details["trees"], flush=True)
    table.add_section()
    table.add_row("geometric mean", *(f"{math.exp(total / count):.4f}" for total in logs))
    console.print(table)


def _problems(arguments: argparse.Namespace, stages: int) -> Iterator[tuple[str, Problem]]:
    families = tuple(FAMILIES)
    for i in range(arguments.graphs):
        family = families[i % len(families)]
        instance = price(regal_graph(family, arguments.nodes, FIRST_SEED + i))
        yield f"{family} {FIRST_SEED + i}", Problem(instance=instance, stages=stages)


def _incumbent(problem: Problem, seconds: float) -> Board:
    """Return a board with what slicing and annealing find, and no dual bound."""
    started = time.monotonic()
    board = Board(problem, clock=lambda: time.monotonic() - started)
    for entry in ("slice-graph", "annealing"):
        run_entry(registry.create(entry), problem, seconds=seconds, board=board)
    return _copy(board)


def _copy(board: Board) -> Board:
    """Return a new board that knows the incumbent only, its clock at 0."""
    started = time.monotonic()
    fresh = Board(board.problem, clock=lambda: time.monotonic() - started)
    if board.incumbent is not None:
        fresh.report_partition(board.incumbent.partition, source=board.incumbent.source)
    return fresh


def _compile(stages: int) -> None:
    instance = price(regal_graph(next(iter(FAMILIES)), 30, 1))
    problem = Problem(instance=instance, stages=stages)
    for spec in ("slice-graph", "annealing", "anchored-cut", "nested-cuts", "lagrangian", "merged"):
        run_entry(registry.create(spec), problem, seconds=5.0)


if __name__ == "__main__":
    main()
