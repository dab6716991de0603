"""`default` against the paper's method and plain solvers at equal time: bound / best incumbent, and time to 1%.

Every contestant runs alone, as a process of its own, with two workers or threads. Bounds of all are divided by the best
incumbent of any, and its own incumbent is compared with that one too.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import geometric_mean
from typing import Any

from claims import solve
from figures import Figures
from rich.console import Console
from rich.progress import track

CONTESTANTS = {
    "solvers": {
        "default": "default",
        "paper": "paper",
        "exact-mip, HiGHS": "exact-mip:solver=highs",
        "exact-mip, SCIP": "exact-mip",
        "cp-sat": "cp-sat",
    },
    "decompositions": {
        "simple": "simple",
        "lp": "lp",
        "lagrangian": "lagrangian",
        "lagrangian:over=stage-cover,update=multiplicative": "lagrangian:over=stage-cover,update=multiplicative",
        "column-generation": "column-generation",
        "bisection:over=spreading-metric": "bisection:over=spreading-metric",
        "bisection:over=stage-cover": "bisection:over=stage-cover",
        "benders": "benders",
        "benders-mip": "benders-mip",
    },
}


def contest(field: str, budget: float, stages: Sequence[int], graphs: int = 4) -> Sequence[Figures]:
    """Run all contestants of a field on the first REGAL-like graphs."""
    from framework.testbed.regal import regal_names

    contestants = CONTESTANTS[field]
    names = regal_names()[:graphs]
    work = [(name, k) for name in names for k in stages]
    results: dict[tuple[str, int, str], dict[str, Any]] = {}
    for name, k in track(work, console=Console(stderr=True), transient=True):
        for who, entry in contestants.items():
            results[name, k, who] = solve(name, [f"testbed:{name}", "--with", entry], k, budget).result
    best = {(name, k): min(results[name, k, who]["incumbent"] for who in contestants) for name, k in work}
    bounds, times = [], []
    for who in contestants:
        cells, closed = [], []
        for k in stages:
            of_k = [(name, results[name, k, who]) for name in names]
            bound = geometric_mean([max(1e-9, found["dual_bound"]) / best[name, k] for name, found in of_k])
            incumbent = geometric_mean([found["incumbent"] / best[name, k] for name, found in of_k])
            cells.append(f"{bound:.3f} ({incumbent:.3f})")
            reached = sorted(at for _, found in of_k if (at := seconds_to(found, 0.01)) is not None)
            closed.append(
                f"{len(reached)} of {len(of_k)}" + (f", {reached[len(reached) // 2]:.1f} s" if reached else "")
            )
        bounds.append((who, *cells))
        times.append((who, *closed))
    columns = ("contestant", *(f"k = {k}" for k in stages))
    title = f"bound / best incumbent (own incumbent / best), geometric means, {budget:g} s a run"
    return (
        Figures(name="bounds", title=title, columns=columns, rows=tuple(bounds)),
        Figures(
            name="times", title="pairs within 1% by itself, median seconds to it", columns=columns, rows=tuple(times)
        ),
    )


def seconds_to(result: dict[str, Any], gap: float) -> float | None:
    """Return when the interval of a run was first this narrow; None if it never was."""
    for seconds, dual, incumbent, _ in result["trajectory"]:
        if dual and incumbent and (incumbent - dual) <= gap * incumbent:
            return float(seconds)
    return None
