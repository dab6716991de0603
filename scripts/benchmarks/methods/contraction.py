"""What threshold contraction leaves of graphs, what it costs, and what it does for the methods that decide thresholds.

    python scripts/benchmarks/methods/contraction.py [GRAPH[@BANDWIDTH] ...] [--stages 4,8,16,32] [--seconds
    10]

A graph is a name of the testbed on the reference device, with another link bandwidth (bytes a second) after `@`. Each
is reduced first, as presolve does. The incumbent comes from `slice-graph` and two seconds of `annealing`. The first
table has nodes before and after, and the milliseconds of the contraction, at incumbent - 1 and .97 of it. Where
something is contracted (and not refuted), the second has for each method its dual bound / incumbent in the time given,
without and with contraction; for `cp-sat` the seconds of its decision at .97 of the incumbent.
"""

from __future__ import annotations

import time
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from framework.contracts import Undecided
from framework.formats import read_graph
from framework.model.device import load_device
from framework.model.instance import Instance
from framework.model.pricing import price
from framework.model.problem import Problem
from framework.portfolio.context.board import Board
from framework.portfolio.context.contracted_decisions import ContractedDecisions
from framework.portfolio.context.local import LocalContext, run_entry
from framework.registry import load_plugins, registry
from framework.structure.reduction.dominance import reduce_exact
from framework.structure.reduction.threshold_contraction import contract_at_threshold
from framework.testing.instances import random_layered_instance

GRAPHS = (
    "regal-er-150-100",
    "regal-ba-150-101",
    "regal-ws-150-102",
    "regal-sbm-150-103",
    "pyg-attentivefp",
    "inception_v2",
    "diffusers-prxtransformer2dmodel",
    "transformers-detr",
    "timm-tnt_s_legacy_patch16_224",
    "inception_v2@1e8",
    "transformers-detr@1e8",
    "timm-tnt_s_legacy_patch16_224@1e8",
)
METHODS = "stage-cover,counting,window-propagation,sweep"
SHARES = (1.0, 0.97)
console = Console(width=140)


def read(text: str) -> Instance:
    name, _, bandwidth = text.partition("@")
    device = load_device("reference")
    if bandwidth:
        device = device.override(link_bandwidth=float(bandwidth))
    graph = read_graph(f"testbed:{name}")
    return reduce_exact(price(graph, None if name.startswith("regal") else device))


def incumbent(problem: Problem) -> Board:
    _, board = run_entry(registry.create("slice-graph"), problem, seconds=2)
    run_entry(registry.create("annealing"), problem, seconds=2, board=board)
    return board


def threshold_at(share: float, value: int) -> int:
    return value - 1 if share == 1.0 else int(share * value)


def contraction(instance: Instance, threshold: int) -> tuple[int | None, float]:
    """Return the nodes left, None if the threshold is refuted, and the milliseconds it took."""
    started = time.perf_counter()
    reduced = contract_at_threshold(instance, threshold)
    return None if reduced is None else reduced.n, 1e3 * (time.perf_counter() - started)


def dual_ratio(spec: str, problem: Problem, start: Board, seconds: float) -> float:
    began = time.monotonic()
    board = Board(problem, clock=lambda: time.monotonic() - began)
    assert start.incumbent is not None
    board.report_partition(start.incumbent.partition, source="start")
    run_entry(registry.create(spec), problem, seconds=seconds, board=board)
    assert not board.contradictions
    return (board.interval.dual or 0) / start.incumbent.value


def decision_seconds(problem: Problem, threshold: int, contract: bool, seconds: float) -> str:
    board = Board(problem, clock=lambda: 0.0)
    decisions = ContractedDecisions(registry.create_decision("cp-sat"), problem, contract=contract)
    started = time.perf_counter()
    answer = decisions.decide(threshold, LocalContext(board, "bench", seconds=seconds))
    return "open" if isinstance(answer, Undecided) else f"{time.perf_counter() - started:.2f}"


def main(
    graphs: Annotated[list[str] | None, typer.Argument(help="Graphs, NAME or NAME@BANDWIDTH.")] = None,
    stages: Annotated[str, typer.Option(help="Numbers of stages.")] = "4,8,16,32",
    seconds: Annotated[float, typer.Option(help="Time limit of each run.")] = 10.0,
    methods: Annotated[str, typer.Option(help="Entries with a parameter `contract`.")] = METHODS,
) -> None:
    load_plugins()
    warm = Problem(instance=random_layered_instance(0, 24, width=8), stages=4)
    names = methods.split(",")
    for name in ("slice-graph", "annealing", "bisection", *names):
        run_entry(registry.create(name), warm, seconds=5.0)
    sizes = Table(title="nodes left (ms)")
    for heading in ("graph", "nodes", *(f"k = {k}" for k in stages.split(","))):
        sizes.add_column(heading)
    effect = Table(title=f"without / with contraction, {seconds:g} s each")
    for heading in ("graph", "k", "cp-sat", *names):
        effect.add_column(heading)
    for name in graphs or GRAPHS:
        instance = read(name)
        cells = []
        for k in map(int, stages.split(",")):
            problem = Problem(instance=instance, stages=k)
            board = incumbent(problem)
            assert board.incumbent is not None
            thresholds = [threshold_at(share, board.incumbent.value) for share in SHARES]
            found = [contraction(instance, threshold) for threshold in thresholds]
            cells.append(" ".join(f"{'refuted' if left is None else left} ({ms:.0f})" for left, ms in found))
            if all(left is None or left == instance.n for left, _ in found):
                continue
            times = [decision_seconds(problem, thresholds[1], contract, seconds) for contract in (False, True)]
            row = [" / ".join(times)]
            for method in names:
                pair = [dual_ratio(f"{method}:contract={way}", problem, board, seconds) for way in ("false", "true")]
                row.append(f"{pair[0]:.3f} / {pair[1]:.3f}")
            effect.add_row(name, str(k), *row)
            console.print(name, k, *row, highlight=False)
        sizes.add_row(name, str(instance.n), *cells)
    console.print(sizes)
    console.print(effect)


if __name__ == "__main__":
    typer.run(main)
