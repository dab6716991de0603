"""From the start of the process to the end of the answer on 20 small graphs, beside another version of this project.

    python scripts/benchmarks/start/answers.py [--before CHECKOUT] [--stages 2,8] [--repeats 3] [--graphs 20]

The graphs are spread evenly over the sizes of the testbed's graphs of at most 300 nodes. Each is solved to the end by
`pipebound solve` in a process of its own, by both versions in turn, with compiled kernels and compiled bytecode at
hand, as after an installation. `wall` is what a user waits, `CPU` what all processes of the command used, those that
outlive it included; compare CPU seconds where other programs use the machine. A row is a graph and a number of stages:
the smallest of the repeats.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from framework.testbed.catalogue import bundled_graphs

ROOT = Path(__file__).resolve().parents[3]
MOST_NODES = 300
BUDGET = "30s"
_SUBREAPER = 36


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a command took, in seconds, and what it proved."""

    wall: float
    cpu: float
    status: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, help="a checkout of another version to compare with")
    parser.add_argument("--stages", default="2")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--graphs", type=int, default=20)
    arguments = parser.parse_args()
    # Whoever outlives the command is reaped here, so that the CPU time of all counts.
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    versions = [ROOT] if arguments.before is None else [arguments.before.resolve(), ROOT]
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            (name, k, _alternate(versions, name, k, arguments.repeats, Path(folder)))
            for k in map(int, arguments.stages.split(","))
            for name in small_graphs(arguments.graphs)
        ]
    _print(rows, with_before=len(versions) > 1)


def small_graphs(count: int) -> list[str]:
    """Return names of graphs, the smallest first."""
    known = sorted((row.nodes, row.name) for row in bundled_graphs() if row.nodes <= MOST_NODES)
    return [known[int((i + 0.5) * len(known) / count)][1] for i in range(count)]


def _alternate(versions: list[Path], name: str, stages: int, repeats: int, folder: Path) -> list[Run]:
    """Run the versions in turn; return the quickest run of each. The first turn is not counted."""
    runs: list[list[Run]] = [[] for _ in versions]
    for turn in range(repeats + 1):
        for version, done in zip(versions, runs, strict=True):
            run = _solve(version, name, stages, folder)
            if turn:
                done.append(run)
    return [
        Run(wall=min(run.wall for run in done), cpu=min(run.cpu for run in done), status=done[0].status)
        for done in runs
    ]


def _solve(version: Path, name: str, stages: int, folder: Path) -> Run:
    environment = os.environ | {"PYTHONPATH": str(version), "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = ["solve", f"testbed:{name}", "-k", str(stages), "--budget", BUDGET, "--json"]
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "framework", *command],
        env=environment,
        cwd=folder,
        capture_output=True,
        check=True,
        text=True,
    )
    wall = time.monotonic() - started
    while True:
        try:
            os.wait()
        except ChildProcessError:
            break
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Run(wall=wall, cpu=cpu, status=json.loads(done.stdout)["status"])


def _print(rows: list[tuple[str, int, list[Run]]], *, with_before: bool) -> None:
    table = Table()
    names = ("before", "now") if with_before else ("now",)
    for heading in ("graph", "k", *(f"{what}, {name}" for what in ("wall s", "CPU s") for name in names), "status"):
        table.add_column(heading, justify="left" if heading in ("graph", "status") else "right")
    for name, k, runs in rows:
        cells = [f"{run.wall:.2f}" for run in runs] + [f"{run.cpu:.2f}" for run in runs]
        table.add_row(name, str(k), *cells, " ".join(dict.fromkeys(run.status for run in runs)))
    console = Console(width=140)
    console.print(table)
    for k in dict.fromkeys(k for _, k, _ in rows):
        chosen = [runs for _, other, runs in rows if other == k]
        for what in ("wall", "cpu"):
            columns = [[getattr(runs[i], what) for runs in chosen] for i in range(len(names))]
            words = f"k = {k}, {what}: median " + ", ".join(
                f"{statistics.median(column):.2f} s {name}" for name, column in zip(names, columns, strict=True)
            )
            if with_before:
                shares = [now / old for old, now in zip(*columns, strict=True)]
                words += f"; now / before, geometric mean {statistics.geometric_mean(shares):.3f}"
            console.print(words, highlight=False)


if __name__ == "__main__":
    main()
