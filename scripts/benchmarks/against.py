"""`default` against the paper's method and plain solvers at equal time: bound / best incumbent, and time to 1%.

    python scripts/benchmarks/against.py               four REGAL-like graphs, k = 4, 8, 16, 10 s a run
    python scripts/benchmarks/against.py --set lab     the graphs from the onnx package, on the reference
    device .venv/bin/python scripts/benchmarks/against.py --of decompositions    the decompositions, beside `simple` and
    `lp`

Every contestant runs alone, as a process of its own, with two workers or threads. Bounds of all are divided by the best
incumbent of any, and its own incumbent is compared with that one too.
"""

from __future__ import annotations

from enum import StrEnum
from statistics import geometric_mean
from typing import Annotated, Any

import typer
from bench import console, solve
from rich.console import Console
from rich.progress import track
from rich.table import Table

CONTESTANTS = {
    "solvers": {
        "default": "default",
        "paper": "paper",
        "exact-mip, HiGHS": "exact-mip",
        "exact-mip, SCIP": "exact-mip:solver=scip",
        "cp-sat": "cp-sat",
    },
    "decompositions": {
        "simple": "simple",
        "lp": "lp",
        "lagrangian": "lagrangian",
        "lagrangian, stage-cover": "lagrangian:over=stage-cover,update=multiplicative",
        "column-generation": "column-generation",
        "bisection, spreading-metric": "bisection:over=spreading-metric",
        "bisection, stage-cover": "bisection:over=stage-cover",
        "benders": "benders",
        "benders-mip": "benders-mip",
    },
}


class Graphs(StrEnum):
    """Which graphs."""

    REGAL = "regal"
    LAB = "lab"


class Field(StrEnum):
    """Which contestants."""

    SOLVERS = "solvers"
    DECOMPOSITIONS = "decompositions"


def main(
    chosen: Annotated[Graphs, typer.Option("--set")] = Graphs.REGAL,
    field: Annotated[Field, typer.Option("--of")] = Field.SOLVERS,
    graphs: int = 4,
    budget: float = 10.0,
    stages: Annotated[list[int] | None, typer.Option("-k")] = None,
) -> None:
    """Run all contestants on all pairs and print two tables."""
    from framework.testbed.catalogue import bundled_graphs
    from framework.testbed.regal import regal_names

    counts = stages or [4, 8, 16]
    contestants = CONTESTANTS[field]
    onnx = [row.name for row in bundled_graphs() if row.source.startswith("onnx ")]
    names = list(regal_names()) if chosen is Graphs.REGAL else onnx
    work = [(name, k) for name in names[:graphs] for k in counts]
    results: dict[tuple[str, int, str], dict[str, Any]] = {}
    for name, k in track(work, console=Console(stderr=True), transient=True):
        for who, entry in contestants.items():
            results[name, k, who] = solve(name, [f"testbed:{name}", "--with", entry], k, budget).result
    best = {(name, k): min(results[name, k, who]["incumbent"] for who in contestants) for name, k in work}
    bounds = Table(title=f"bound / best incumbent (own incumbent / best), geometric means, {budget:g} s a run")
    times = Table(title="pairs within 1% by itself, and median seconds to get there")
    for table in (bounds, times):
        table.add_column("contestant")
        for k in counts:
            table.add_column(f"k = {k}", justify="right")
    for who in contestants:
        cells, closed = [], []
        for k in counts:
            of_k = [(name, results[name, k, who]) for name in names[:graphs]]
            bound = geometric_mean([max(1e-9, found["dual_bound"]) / best[name, k] for name, found in of_k])
            incumbent = geometric_mean([found["incumbent"] / best[name, k] for name, found in of_k])
            cells.append(f"{bound:.3f} ({incumbent:.3f})")
            reached = sorted(at for _, found in of_k if (at := seconds_to(found, 0.01)) is not None)
            closed.append(
                f"{len(reached)} of {len(of_k)}" + (f", {reached[len(reached) // 2]:.1f} s" if reached else "")
            )
        bounds.add_row(who, *cells)
        times.add_row(who, *closed)
    console.print(bounds)
    console.print(times)


def seconds_to(result: dict[str, Any], gap: float) -> float | None:
    """Return when the interval of a run was first this narrow; None if it never was."""
    for seconds, dual, incumbent, _ in result["trajectory"]:
        if dual and incumbent and (incumbent - dual) <= gap * incumbent:
            return float(seconds)
    return None


if __name__ == "__main__":
    typer.run(main)
