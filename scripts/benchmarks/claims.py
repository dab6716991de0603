"""Whole-process benchmarks: what a user waits for, and what is proved when it ends.

    scripts/bench dnn          dnn-partitioning inference inputs, k = 2..32: optimal? in how many seconds?
    scripts/bench pipedream    PipeDream profiles at 1e9 B/s, k = 2..32: within 1% in 20 s?
    scripts/bench testbed      nine bundled graphs on the reference device
    scripts/bench regal        16 random graphs of 150 nodes, wide: dual bound / incumbent for k = 2..64
    scripts/bench start        `pipebound --help`, and a 10 s budget on a 12,000-node graph
    scripts/bench slicing      one slicing pass and a full solve on 20,000 nodes
    scripts/bench anchored     anchored-cut on 12,000 nodes: time, memory, max-flow codes by ratio

The published inputs of the first two are expected in shared/data beside the checkout (or --data FOLDER).
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import geometric_mean, median
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
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

app = typer.Typer(add_completion=False, help=__doc__, rich_markup_mode=None)
console = Console(width=120)
DataOption = Annotated[Path, typer.Option("--data", help="Folder of the published inputs.")]
DEFAULT_DATA = ROOT.parent / "shared" / "data"


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


def print_pairs(title: str, runs: list[Run], *, optima: dict[tuple[str, int], float] | None = None) -> None:
    table = Table(title=title)
    table.add_column("graph")
    for k in STAGES:
        table.add_column(f"k = {k}", justify="right")
    for name in dict.fromkeys(run.name for run in runs):
        cells = []
        for run in (run for run in runs if run.name == name):
            gap = run.result["relative_gap"]
            mark = "optimal" if run.result["status"] == "optimal" else f"gap {100 * gap:.2g}%"
            expected = (optima or {}).get((name, run.stages))
            if expected is not None:
                same = abs(run.result["incumbent"] - expected) <= 1e-5 * expected
                mark += " =" if same else f" PUBLISHED {expected:g}"
            cells.append(f"{mark} {run.wall:.2f} s")
        table.add_row(name, *cells)
    console.print(table)
    walls = sorted(run.wall for run in runs)
    proven = sum(run.result["status"] == "optimal" for run in runs)
    close = sum((run.result["relative_gap"] or 0.0) <= 0.01 for run in runs)
    console.print(
        f"{proven} of {len(runs)} pairs proven optimal, {close} within 1%; wall clock with process start: "
        f"median {median(walls):.2f} s, largest {walls[-1]:.2f} s",
        highlight=False,
    )


@app.command()
def dnn(data: DataOption = DEFAULT_DATA, budget: float = 30.0) -> None:
    """dnn-partitioning inference inputs; `=` marks a published optimum that is matched."""
    cases: dict[str, list[str]] = {}
    for path in sorted((data / "dnn-partitioning").glob("*/*_inference.json")):
        name = path.stem.removesuffix("_inference")
        cases[f"{name} (layers)" if name == "resnet50" and path.parent.name == "LayerGraphs" else name] = [str(path)]
    print_pairs("dnn-partitioning, inference", list(pairs(cases, budget)), optima=OPTIMA)


@app.command()
def pipedream(data: DataOption = DEFAULT_DATA, budget: float = 20.0) -> None:
    """PipeDream profiles at 1e9 B/s."""
    paths = sorted((data / "pipedream").glob("*.graph.txt"))
    cases = {path.name.removesuffix(".graph.txt"): [str(path), "--bandwidth", "1e9"] for path in paths}
    print_pairs("PipeDream profiles, 1e9 B/s", list(pairs(cases, budget)))


@app.command()
def testbed(budget: float = 20.0) -> None:
    """The nine graphs from the onnx package on the reference device."""
    from framework.testbed.catalogue import bundled_graphs

    cases = {row.name: [f"testbed:{row.name}"] for row in bundled_graphs() if row.source.startswith("onnx ")}
    print_pairs("graphs from the onnx package, reference device", list(pairs(cases, budget)))


@app.command()
def regal(
    budget: float = 60.0, graphs: int = 16, stages: Annotated[list[int] | None, typer.Option("-k")] = None
) -> None:
    """REGAL-like graphs, four families in turn, seeds 100 and up; both sides of the ratio by `default` alone."""
    from framework.testbed.regal import regal_names

    counts = stages or [2, 4, 8, 16, 32, 64]
    names = regal_names()[:graphs]
    table = Table(
        title=f"REGAL-like, 150 nodes, {budget:g} s a pair: dual bound / incumbent (simple bound / incumbent)"
    )
    table.add_column("graph")
    for k in counts:
        table.add_column(f"k = {k}", justify="right")
    ratios: dict[int, list[tuple[float, float]]] = {k: [] for k in counts}
    work = [(name, k) for name in names for k in counts]
    for name, k in track(work, console=Console(stderr=True), transient=True):
        result = solve(name, [f"testbed:{name}"], k, budget).result
        simple = result["trajectory"][0][1] / result["incumbent"]
        ratios[k].append((result["ratio"], simple))
    for i, name in enumerate(names):
        table.add_row(name, *(f"{ratios[k][i][0]:.3f} ({ratios[k][i][1]:.3f})" for k in counts))
    means = [tuple(geometric_mean(column) for column in zip(*ratios[k], strict=True)) for k in counts]
    table.add_section()
    table.add_row("geometric mean", *(f"{mean[0]:.3f} ({mean[1]:.3f})" for mean in means), style="bold")
    console.print(table)


@app.command()
def start(nodes: int = 12_000, budget: float = 10.0) -> None:
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
    console.print(f"pipebound --help: median {median(times):.2f} s of {len(times)}", highlight=False)
    loads = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.graph.json"
        write_priced(Problem(instance=random_layered_instance(7, nodes), stages=2), path)
        for _ in range(7):
            began = time.monotonic()
            price(read_graph(str(path)))
            loads.append(time.monotonic() - began)
    console.print(f"reading and pricing {nodes:,} nodes: median {median(loads):.2f} s of {len(loads)}", highlight=False)
    table = Table(title=f"a budget of {budget:g} s on {nodes:,} nodes")
    for heading in ("graph", "k", "wall clock", "status", "gap", "peak memory of the command"):
        table.add_column(heading)
    with tempfile.TemporaryDirectory() as folder:
        for name, width in (("chain-like", 4), ("wide", 200)):
            path = Path(folder) / f"{name}.graph.json"
            write_priced(Problem(instance=random_layered_instance(7, nodes, width=width), stages=2), path)
            for k in (4, 16):
                run = solve(name, [str(path)], k, budget)
                peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
                gap = f"{100 * run.result['relative_gap']:.2f}%"
                table.add_row(name, str(k), f"{run.wall:.2f} s", run.result["status"], gap, f"{peak:.0f} MiB")
    console.print(table)


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


def _script(name: str) -> None:
    raise typer.Exit(
        subprocess.run([sys.executable, str(ROOT / "scripts" / "benchmarks" / name)], check=False).returncode
    )


@app.command()
def slicing() -> None:
    """Slicing passes and solves."""
    _script("methods/slicing.py")


@app.command()
def anchored() -> None:
    """The anchored-cut bound and its max-flow."""
    _script("methods/anchored_cut.py")


if __name__ == "__main__":
    app()
