"""Benchmarks of studies.

scripts/bench_study report      a store with 100,000 made-up runs: how long does each report take?
scripts/bench_study overhead    real runs, one after the other and side by side: what does the study add to solving?
"""

from __future__ import annotations

import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Annotated

import typer

from framework.study.plan import Plan, PlannedRun
from framework.study.spec import RunSettings, StudySpec
from framework.study.store import Store
from framework.testing.studies import made_up_result, made_up_run

ROOT = Path(__file__).resolve().parents[2]
PIPEBOUND = [sys.executable, "-m", "framework"]
STAGES = (2, 4, 8, 16, 32, 64)
GRAPHS, POINTS = 500, 8

app = typer.Typer(add_completion=False, help=__doc__, rich_markup_mode=None)


@app.command()
def report(
    runs: Annotated[int, typer.Option(help="Number of runs.")] = 100_000,
    store: Annotated[Path | None, typer.Option(help="Keep the store here, and use it if it is there.")] = None,
) -> None:
    """Time the reports on a large store, each as a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = store or Path(folder) / "large.sqlite"
        if not path.exists():
            started = time.monotonic()
            fill(path, runs)
            typer.echo(f"{runs:,} runs written in {time.monotonic() - started:.0f} s, {path.stat().st_size >> 20} MiB")
        out = Path(folder)
        for title, arguments in {
            "tables": ["report", str(path)],
            "tables with all breakdowns, JSON": ["report", str(path), "--json"],
            "tables and HTML page": ["report", str(path), "--html", str(out / "page.html")],
            "tables, SVG and PDF figures": ["report", str(path), "--figures", str(out / "figures")],
            "status": ["status", str(path)],
            "export of runs as Parquet": ["export", str(path), str(out / "runs.parquet")],
            "export of trajectories as Parquet": ["export", str(path), str(out / "t.parquet"), "--table", "trajectory"],
            "export of runs as CSV": ["export", str(path), str(out / "runs.csv")],
        }.items():
            clock, work = [], []
            for _ in range(3):
                started, used = time.monotonic(), child_seconds()
                subprocess.run([*PIPEBOUND, "study", *arguments], capture_output=True, check=True)
                clock.append(time.monotonic() - started)
                work.append(child_seconds() - used)
            typer.echo(f"{title}: median {median(clock):.2f} s by the clock, {median(work):.2f} s of one core")


def child_seconds() -> float:
    """Processor time of all child processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def fill(path: Path, runs: int) -> None:
    """Write a study of 500 graphs, six numbers of stages and as many entries and seeds as it takes."""
    spec = StudySpec(
        path=path.with_suffix(".toml"),
        name="large",
        description="made-up runs",
        store=path,
        graphs=(),
        subsets=(),
        devices=(),
        stages=STAGES,
        entries=(),
        seeds=(0,),
        run=RunSettings(
            workers=1, gap=0.0, memory_bytes=None, attempts=3, more_stages_than_nodes=False, plugin_files=()
        ),
        slurm={},
        text="",
    )
    draw = random.Random(1)
    planned: list[PlannedRun] = []
    number = 0
    while len(planned) < runs:
        graph, rest = number % GRAPHS, number // GRAPHS
        k, rest = STAGES[rest % len(STAGES)], rest // len(STAGES)
        label, seed = f"entry-{rest % 10}", rest // 10
        nodes = 20 + 37 * graph % 9000
        planned.append(made_up_run(f"g{graph}", k, label, nodes=nodes, family=f"family {graph % 120}", seed=seed))
        number += 1
    store = Store(path, spec)
    # Durability is not what is measured here.
    store._connection.execute("PRAGMA synchronous = OFF")
    store.set_plan(Plan(runs=tuple(planned), settings=spec.run, code="v1", left_out=0), spec, any_code=False)
    for run in planned:
        best = 10**6 + 1000 * (hash_of(run) % 1000)
        dual, incumbent, steps = best // 2, 2 * best, []
        for step in range(POINTS):
            steps.append((0.01 * 2.5**step * draw.random() + 0.01 * step, dual, incumbent, f"member-{step % 4}"))
            dual = dual + int((best - dual) * draw.random())
            incumbent = incumbent - int((incumbent - best) * draw.random())
        steps.sort()
        result = made_up_result(run, simple=best // 2, trajectory=steps, seconds=10 * draw.random())
        store.record(run, result, code="v1", attempts=1)
    store.close()


def hash_of(run: PlannedRun) -> int:
    """A number that depends on the problem only, so that all its runs have the same best value."""
    return sum(ord(char) * (i + 1) for i, char in enumerate(f"{run.graph.name}/{run.stages}"))


@app.command()
def overhead(budget: Annotated[str, typer.Option(help="Of each run.")] = "10s") -> None:
    """Run bundled graphs with entries that take from 0.1 s to the whole budget, and compare clock and solving."""
    spec = f"""
        name = "overhead"
        graphs = ["testbed:squeezenet", "testbed:resnet50", "testbed:inception_v1", "testbed:densenet121"]
        stages = [2, 8]
        entries = ["slice-graph", "ideal-dp", "default"]
        budgets = ["{budget}"]
    """
    for jobs in (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "overhead.toml"
            path.write_text(spec)
            command = [*PIPEBOUND, "study", "run", str(path), "--jobs", str(jobs), "--json"]
            started = time.monotonic()
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            clock = time.monotonic() - started
            progress = json.loads(done.stdout)
            solving = progress["solving_seconds"]
            whole = (clock * jobs - solving) / solving
            typer.echo(
                f"{jobs} at a time: {progress['done']} runs, {solving:.1f} s of solving, overhead of runs "
                f"{100 * progress['overhead']:.2f}%, of the whole command with its start {100 * whole:.1f}% "
                f"({clock:.1f} s)"
            )


if __name__ == "__main__":
    app()
