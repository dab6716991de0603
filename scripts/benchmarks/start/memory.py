"""Memory of all processes of one `pipebound solve`, beside another version of this project.

    python scripts/benchmarks/start/memory.py [--before CHECKOUT] [GRAPH:K ...]

Twenty times a second the proportional set sizes of the command and of all its descendants are added up (a page that n
processes share counts as an n-th of it for each), as Linux reports them in smaps_rollup. `peak` is the largest sum,
`resident` the sum of resident sizes at that moment, in which shared pages count for each process, and `processes` how
many there were.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[3]
SECONDS = 0.05


@dataclass(frozen=True, slots=True, order=True)
class Sample:
    """Memory of a process tree at one moment, in MiB."""

    proportional: float
    resident: float
    processes: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("problems", nargs="*", default=["testbed:resnet50:4", "testbed:transformers-bert:8"])
    parser.add_argument("--before", type=Path, help="a checkout of another version to compare with")
    parser.add_argument("--budget", default="10s")
    arguments = parser.parse_args()
    table = Table()
    for heading in ("graph", "k", "version", "peak, MiB", "resident, MiB", "processes"):
        table.add_column(heading, justify="left" if heading in ("graph", "version") else "right")
    for problem in arguments.problems:
        graph, _, stages = problem.rpartition(":")
        for name, version in (("before", arguments.before), ("now", ROOT)):
            if version is not None:
                peak = measure(version.resolve(), ["solve", graph, "-k", stages, "--budget", arguments.budget])
                table.add_row(
                    graph, stages, name, f"{peak.proportional:.0f}", f"{peak.resident:.0f}", str(peak.processes)
                )
    Console(width=120).print(table)


def measure(version: Path, command: list[str]) -> Sample:
    """Run a command and return the moment at which its processes took most memory together."""
    environment = os.environ | {"PYTHONPATH": str(version)}
    process = subprocess.Popen(
        [sys.executable, "-m", "framework", *command],
        env=environment,
        cwd=tempfile.gettempdir(),
        stdout=subprocess.DEVNULL,
    )
    peak = Sample(0.0, 0.0, 0)
    while process.poll() is None:
        peak = max(peak, _sample(process.pid))
        time.sleep(SECONDS)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return peak


def _sample(root: int) -> Sample:
    found = [_sizes(pid) for pid in _tree(root)]
    sizes = [one for one in found if one is not None]
    return Sample(
        sum(one["Pss"] for one in sizes) / 1024, sum(one["Rss"] for one in sizes) / 1024, processes=len(sizes)
    )


def _tree(root: int) -> list[int]:
    """Return a process and all that descend from it."""
    tree = [root]
    for pid in tree:
        try:
            for task in Path(f"/proc/{pid}/task").iterdir():
                tree += map(int, (task / "children").read_text().split())
        except OSError:
            continue
    return tree


def _sizes(pid: int) -> dict[str, int] | None:
    """Return the sizes of a process in KiB; None if it has ended."""
    try:
        rows = [line.split() for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]]
    except OSError:
        return None
    return {row[0].rstrip(":"): int(row[1]) for row in rows} or None


if __name__ == "__main__":
    main()
