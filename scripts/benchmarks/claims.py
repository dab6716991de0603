"""Whole-process benchmarks: what a user waits for, and what is proved when it ends."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import geometric_mean, median
from typing import Any

from figures import ROOT, Figures
from rich.console import Console
from rich.progress import track

PIPEBOUND = [sys.executable, "-m", "framework"]
STAGES = (2, 4, 8, 16, 32)
OPTIMA = {
    ("bert24", 2): 47.479,
    ("bert24", 8): 14.2039,
    ("gnmt", 2): 93.1943,
    ("gnmt", 8): 25.8496,
    ("resnet50 (layers)", 2): 101.281,
    ("resnet50 (layers)", 8): 26.7612,
    ("bert_l-3", 2): 33.2567,
    ("bert_l-3", 8): 27.1861,
    ("bert_l-6", 2): 46.2854,
    ("bert_l-6", 8): 27.1861,
    ("resnet50", 2): 165.882,
    ("resnet50", 8): 89.3106,
}

DATA = str(ROOT.parent / "shared" / "data")
"""Folder of the published inputs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One `pipebound solve` as a process of its own."""

    name: str
    stages: int
    wall: float
    result: dict[str, Any]


def solve(name: str, arguments: list[str], stages: int, budget: float) -> Run:
    command = [*PIPEBOUND, "solve", *arguments, "-k", str(stages), "--budget", f"{budget}s", "--json"]
    started = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return Run(name=name, stages=stages, wall=time.monotonic() - started, result=json.loads(done.stdout))


def pairs(cases: dict[str, list[str]], budget: float) -> Iterator[Run]:
    work = [(name, arguments, k) for name, arguments in cases.items() for k in STAGES]
    for name, arguments, k in track(work, console=Console(stderr=True), transient=True):
        yield solve(name, arguments, k, budget)


def pair_figures(
    title: str, runs: Sequence[Run], *, optima: dict[tuple[str, int], float] | None = None
) -> tuple[Figures, Figures]:
    """Return a row that sums the runs up, and a row for each graph."""
    rows = []
    for name in dict.fromkeys(run.name for run in runs):
        cells = []
        for run in (run for run in runs if run.name == name):
            gap = run.result["relative_gap"]
            mark = "optimal" if run.result["status"] == "optimal" else f"gap {100 * gap:.2g}%"
            expected = (optima or {}).get((name, run.stages))
            if expected is not None:
                mark += " =" if _equals(run, expected) else f" PUBLISHED {expected:g}"
            cells.append(f"{mark} {run.wall:.2f} s")
        rows.append((name, *cells))
    if not runs:
        raise SystemExit(f"{title}: the inputs are not there (see `scripts/bench --help`)")
    walls = sorted(run.wall for run in runs)
    proven = sum(run.result["status"] == "optimal" for run in runs)
    close = sum((run.result["relative_gap"] or 0.0) <= 0.01 for run in runs)
    known = [run for run in runs if (run.name, run.stages) in (optima or {})]
    equal = sum(_equals(run, optima[run.name, run.stages]) for run in known) if optima else 0
    cells = {
        "set": title,
        "pairs": str(len(runs)),
        "proven optimal": str(proven),
        "within 1%": str(close),
        "median": f"{median(walls):.2f} s",
        "largest": f"{walls[-1]:.2f} s",
    }
    if known:
        cells["published optima"] = f"{equal} of {len(known)} equal"
    summary = Figures(
        name="summary",
        title=f"{title}: wall clock with process start",
        columns=tuple(cells),
        rows=(tuple(cells.values()),),
    )
    columns = ("graph", *(f"k = {k}" for k in STAGES))
    return summary, Figures(name="pairs", title=title, columns=columns, rows=tuple(rows))


def _equals(run: Run, published: float) -> bool:
    """Whether the partition costs what was published, to the digits of the publication."""
    return bool(abs(run.result["incumbent"] - published) <= 1e-5 * published)


def dnn(budget: float, data: str = DATA) -> Sequence[Figures]:
    """dnn-partitioning inference inputs; `=` marks a published optimum that is matched."""
    cases: dict[str, list[str]] = {}
    for path in sorted((Path(data) / "dnn-partitioning").glob("*/*_inference.json")):
        name = path.stem.removesuffix("_inference")
        cases[f"{name} (layers)" if name == "resnet50" and path.parent.name == "LayerGraphs" else name] = [str(path)]
    return pair_figures("dnn-partitioning", list(pairs(cases, budget)), optima=OPTIMA)


def pipedream(budget: float, data: str = DATA) -> Sequence[Figures]:
    """PipeDream profiles at 1e9 B/s."""
    paths = sorted((Path(data) / "pipedream").glob("*.graph.txt"))
    cases = {path.name.removesuffix(".graph.txt"): [str(path), "--bandwidth", "1e9"] for path in paths}
    return pair_figures("PipeDream profiles, 1e9 B/s", list(pairs(cases, budget)))


def testbed(budget: float) -> Sequence[Figures]:
    """The nine graphs from the onnx package on the reference device."""
    from framework.testbed.catalogue import bundled_graphs

    cases = {row.name: [f"testbed:{row.name}"] for row in bundled_graphs() if row.source.startswith("onnx ")}
    return pair_figures("onnx package", list(pairs(cases, budget)))


def regal(budget: float, stages: Sequence[int], graphs: int = 16) -> Sequence[Figures]:
    """REGAL-like graphs, four families in turn, seeds 100 and up; both sides of the ratio by `default` alone."""
    from framework.testbed.regal import regal_names

    names = regal_names()[:graphs]
    ratios: dict[int, list[tuple[float, float]]] = {k: [] for k in stages}
    work = [(name, k) for name in names for k in stages]
    for name, k in track(work, console=Console(stderr=True), transient=True):
        result = solve(name, [f"testbed:{name}"], k, budget).result
        simple = result["trajectory"][0][1] / result["incumbent"]
        ratios[k].append((result["ratio"], simple))
    rows = [(name, *(_bound_and_simple(*ratios[k][i]) for k in stages)) for i, name in enumerate(names)]
    means = [_bound_and_simple(*map(geometric_mean, zip(*ratios[k], strict=True))) for k in stages]
    rows.append(("**geometric mean**", *(f"**{mean}**" for mean in means)))
    title = f"REGAL-like, 150 nodes, {budget:g} s a pair: dual bound / incumbent (simple bound / incumbent)"
    return (Figures(name="ratios", title=title, columns=("graph", *(f"k = {k}" for k in stages)), rows=tuple(rows)),)


def _bound_and_simple(bound: float, simple: float) -> str:
    return f"{bound:.3f} ({simple:.3f})"


def start(budget: float, nodes: int = 12_000) -> Sequence[Figures]:
    """Start-up time, and how well a budget holds on a large graph (chain-like and wide)."""
    from framework.formats import read_graph
    from framework.model.pricing import price
    from framework.model.problem import Problem
    from framework.testing.instances import random_layered_instance

    times = []
    for _ in range(7):
        began = time.monotonic()
        subprocess.run([*PIPEBOUND, "--help"], capture_output=True, check=True)
        times.append(time.monotonic() - began)
    loads = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.graph.json"
        write_priced(Problem(instance=random_layered_instance(7, nodes), stages=2), path)
        for _ in range(7):
            began = time.monotonic()
            price(read_graph(str(path)))
            loads.append(time.monotonic() - began)
    seconds = [
        ("`pipebound --help`", f"{median(times):.2f} s", str(len(times))),
        (f"reading and pricing {nodes:,} nodes", f"{median(loads):.2f} s", str(len(loads))),
    ]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, width in (("chain-like", 4), ("wide", 200)):
            path = Path(folder) / f"{name}.graph.json"
            write_priced(Problem(instance=random_layered_instance(7, nodes, width=width), stages=2), path)
            for k in (4, 16):
                run = solve(name, [str(path)], k, budget)
                peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
                gap = f"{100 * run.result['relative_gap']:.2f}%"
                rows.append((name, str(k), f"{run.wall:.2f} s", run.result["status"], gap, f"{peak:.0f} MiB"))
    title = f"a budget of {budget:g} s on {nodes:,} nodes"
    columns = ("graph", "k", "wall clock", "status", "gap", "peak memory of the command")
    return (
        Figures(name="seconds", title="start", columns=("what", "median", "runs"), rows=tuple(seconds)),
        Figures(name="budget", title=title, columns=columns, rows=tuple(rows)),
    )


def write_priced(problem: Any, path: Path) -> None:
    """Write an instance as a priced native graph."""
    instance, top = problem.instance, problem.instance.topology
    document = {
        "format": "pipebound-graph",
        "version": 1,
        "name": instance.name,
        "cost_unit": "ticks",
        "nodes": [
            {
                "name": f"v{v}",
                "op": "",
                "work": int(instance.work[v]),
                "parameter_cost": int(instance.parameter_cost[v]),
            }
            for v in range(instance.n)
        ],
        "tensors": [
            {
                "producer": int(top.producer[t]),
                "cost": int(instance.tensor_cost[t]),
                "consumers": top.consumers[top.consumer_ptr[t] : top.consumer_ptr[t + 1]].tolist(),
            }
            for t in range(instance.m)
        ],
    }
    path.write_text(json.dumps(document), encoding="utf-8")
