"""What is left after fixing: what order and windows are worth to CP-SAT there, and what `weave` finds there, as ratios.

    scripts/bench left [--set seconds=10]

Each graph of the testbed is priced for the reference device and reduced. First columns: a threshold 1e-4 below the best
partition that `default` finds in `seconds` is decided by `cp-sat:linearization=0+2` on what fixing leaves: without
order and windows, with exchangeable branches in order, with windows as well; one core, at most `seconds` each, the
nodes left in brackets; `>` stands for no answer. Last columns: bottlenecks, over that best partition, of `weave` after
1 s, after 1 s more on the graph, and after 1 s more on what is left below the first one instead.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from unittest.mock import patch

from figures import Figures

from framework.contracts import Refuted, Satisfied
from framework.formats import read_graph
from framework.model.device import load_device
from framework.model.pricing import price
from framework.model.problem import Problem
from framework.portfolio.context.board import Board
from framework.portfolio.context.contracted_decisions import ContractedDecisions
from framework.portfolio.context.local import LocalContext, run_entry
from framework.portfolio.settings import Settings
from framework.portfolio.solve import solve
from framework.registry import load_plugins, registry
from framework.structure.filtering.rounds import FixedProblems
from framework.structure.filtering.tuning import DEFAULT
from framework.structure.reduction.dominance import reduce_exact

PAIRS = (
    "openclip-coca_vit-b-32@4",
    "diffusers-ovisimagetransformer2dmodel@4",
    "diffusers-dittransformer2dmodel@4",
    "transformers-jamba@8",
    "torchvision-raft_large@16",
    "transformers-dia@16",
    "published-whisper-large-v3@16",
)
BELOW, WOVEN_SECONDS = 1e-4, 1.0
LEVELS = "cp-sat:linearization=0+2"
WEAVE = "weave:patience=100000"


def measure(seconds: float, pairs: Sequence[str] = PAIRS) -> Sequence[Figures]:
    """Return one row for each pair of a graph and a number of stages."""
    load_plugins()
    rows = []
    for pair in pairs:
        name, stages = pair.rsplit("@", 1)
        graph, device = read_graph(f"testbed:{name}"), load_device("reference")
        settings = Settings(device=device, budget=seconds, workers=1)
        best = solve(graph, int(stages), settings=settings).incumbent_ticks or 1
        problem = Problem(instance=reduce_exact(price(graph, device)), stages=int(stages))
        decided = _decisions(problem, int(best * (1 - BELOW)), seconds)
        rows.append((f"`{name}`", stages, *decided, *(f"{value / best:.5f}" for value in _searches(problem))))
    columns = ("graph", "k", "neither", "order", "order, windows", "`weave`", "on the graph", "on what is left")
    title = f"{BELOW:g} below the best partition; bottleneck / best"
    return (Figures(name="decisions", title=title, columns=columns, rows=tuple(rows)),)


def _decisions(problem: Problem, threshold: int, seconds: float) -> list[str]:
    """Return how the threshold is decided on what is left without and with order, and with windows."""
    cells = []
    with patch("framework.structure.filtering.rounds.put_in_order", return_value=None):
        cells.append(_decide(_left(problem, threshold), threshold, seconds, windows=False))
    left = _left(problem, threshold)
    return [*cells, *(_decide(left, threshold, seconds, windows=windows) for windows in (False, True))]


def _left(problem: Problem, threshold: int) -> Problem | None:
    problems = FixedProblems(problem)
    problems.fix(threshold)
    return problems.at(threshold)


def _decide(left: Problem | None, threshold: int, seconds: float, *, windows: bool) -> str:
    if left is None:
        return "refuted"
    context = LocalContext(Board(left, clock=time.perf_counter), LEVELS, seconds=seconds)
    started = time.perf_counter()
    posed = left if windows else replace(left, windows=None)
    answer = registry.create_decision(LEVELS).decide(posed, threshold, context)
    word = {Refuted: "no", Satisfied: "yes"}.get(type(answer), ">")
    return f"{word} {time.perf_counter() - started:.1f} ({left.instance.n})"


def _searches(problem: Problem) -> list[int]:
    """Return the bottleneck of `weave` after a second, after another one, and after another one on what is left."""
    values = []
    for again in (None, "graph", "left"):
        board = Board(problem, clock=time.perf_counter)
        run_entry(registry.create("slice-graph"), problem, board=board)
        run_entry(registry.create(WEAVE), problem, board=board, seconds=WOVEN_SECONDS)
        first = board.interval.incumbent or 0
        if again == "graph":
            run_entry(registry.create(WEAVE), problem, board=board, seconds=WOVEN_SECONDS, seed=1)
        elif again == "left":
            decisions = ContractedDecisions(registry.create_decision("cp-sat"), problem, fix=DEFAULT)
            context = LocalContext(board, "left", seconds=60.0)
            decisions.fix(first - 1, 0, context)
            context = LocalContext(board, "left", seconds=WOVEN_SECONDS)
            decisions.improve([registry.create("slice-graph"), registry.create(WEAVE)], first - 1, context)
        values.append(board.interval.incumbent or first)
    return values
