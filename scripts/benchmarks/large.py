"""Solve graphs far larger than networks are, and say what the whole command takes of its budget.

    python scripts/benchmarks/large.py [--budget 20] [--stages 8] [--folder DIR] [star:100000 chain:1000000
    ...]

A graph is KIND:NODES: `chain`; `grid` (square; a node feeds its right and its lower neighbour); `layered` (layers of a
hundred, edges to the next); `star` (one tensor of the first node, read by all others); `dear-star` (one that costs a
fifth of all work); `spokes` (a tensor of the first node for each other); `fan` (all others feed the last). Costs are
random integers. Every graph is written as a native file and solved by the command line in a process of its own; `CPU`
counts the members and the fork server as well, `peak` is the largest process so far.
The command should take no more wall-clock time than 1.1 budgets and 2 s.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

LAYER = 100
SEED = 1
READ_AND_PRICE = """
import json, sys, time
from framework.formats import read_graph
from framework.model.pricing import price
import framework.formats.native
started = time.monotonic()
graph = read_graph(sys.argv[1])
read = time.monotonic()
price(graph)
print(json.dumps([read - started, time.monotonic() - read]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("graphs", nargs="*", default=["dear-star:100000", "chain:1000000", "grid:1000000"])
    parser.add_argument("--budget", type=float, default=20.0)
    parser.add_argument("--stages", type=int, default=8)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "pipebound-large")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    # Whoever outlives the command is reaped here, so that the CPU time of all counts.
    pr_set_child_subreaper = 36
    ctypes.CDLL(None).prctl(pr_set_child_subreaper, 1, 0, 0, 0)
    table = Table(title=f"Budget {arguments.budget:g} s, {arguments.stages} stages; seconds")
    headings = ("graph", "read", "price", "first bound", "first partition", "total", "overrun", "CPU", "peak", "gap")
    for heading in (*headings, "status"):
        table.add_column(heading, justify="left" if heading in ("graph", "status") else "right")
    for name in arguments.graphs:
        kind, _, nodes = name.partition(":")
        path = arguments.folder / f"{kind}-{nodes}.graph.json"
        if not path.exists():
            path.write_text(json.dumps(graph_document(kind, int(nodes))), encoding="utf-8")
        table.add_row(name, *_figures(path, arguments.stages, arguments.budget, arguments.folder))
    Console(width=160).print(table)


def graph_document(kind: str, n: int) -> dict[str, Any]:
    """Return a priced native graph."""
    rng = np.random.default_rng(SEED)
    work = rng.integers(1, 100, n).tolist()
    side = round(n**0.5)
    if kind == "chain":
        rows = [(v, [v + 1]) for v in range(n - 1)]
    elif kind == "grid":
        n = side * side
        rows = [
            (v, [u for u, inside in ((v + 1, (v + 1) % side), (v + side, v + side < n)) if inside]) for v in range(n)
        ]
        rows = [row for row in rows if row[1]]
    elif kind == "layered":
        reach = rng.integers(0, LAYER, (n, 2)).tolist()
        starts = [(v // LAYER + 1) * LAYER for v in range(n)]
        rows = [(v, sorted({min(starts[v] + r, n - 1) for r in reach[v]})) for v in range(n) if starts[v] < n]
    elif kind in ("star", "dear-star"):
        rows = [(0, list(range(1, n)))]
    elif kind == "spokes":
        rows = [(0, [v]) for v in range(1, n)]
    elif kind == "fan":
        rows = [(v, [n - 1]) for v in range(n - 1)]
    else:
        raise SystemExit(f"there is no kind {kind!r}")
    costs = rng.integers(1, 100, len(rows)).tolist()
    if kind == "dear-star":
        costs = [10 * n]
    return {
        "format": "pipebound-graph",
        "version": 1,
        "name": f"{kind}-{n}",
        "cost_unit": "ticks",
        "nodes": [{"work": w} for w in work[:n]],
        "tensors": [
            {"producer": p, "cost": cost, "consumers": consumers}
            for (p, consumers), cost in zip(rows, costs, strict=True)
        ],
    }


def _figures(path: Path, stages: int, budget: float, folder: Path) -> list[str]:
    words = [sys.executable, "-c", READ_AND_PRICE, str(path)]
    read, price = json.loads(subprocess.run(words, capture_output=True, check=True, text=True).stdout)
    output = folder / f"{path.name}.result"
    output.unlink(missing_ok=True)
    before, started = _cpu_seconds(), time.monotonic()
    command = ["solve", str(path), "-k", str(stages), "--budget", f"{budget}s", "-o", str(output)]
    ended = subprocess.run([sys.executable, "-m", "framework", *command], capture_output=True, check=False, text=True)
    total = time.monotonic() - started
    _reap()
    over = total - budget
    verdict = "" if total <= 1.1 * budget + 2 else " TOO LONG"
    rest = [f"{total:.2f}", f"{over:+.2f}{verdict}", f"{_cpu_seconds() - before:.1f}"]
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    if not output.exists():
        return [f"{read:.2f}", f"{price:.2f}", "", "", *rest, f"{peak:.2f} GiB", "", ended.stderr[-200:]]
    document = json.loads(output.read_text(encoding="utf-8"))
    for fault in document["faults"]:
        print(path.name, fault, file=sys.stderr)
    bound = next((row[0] for row in document["trajectory"] if row[1] is not None), float("nan"))
    partition = next((row[0] for row in document["trajectory"] if row[2] is not None), float("nan"))
    gap = document["relative_gap"]
    return [
        f"{read:.2f}",
        f"{price:.2f}",
        f"{bound:.2f}",
        f"{partition:.2f}",
        *rest,
        f"{peak:.2f} GiB",
        "" if gap is None else f"{gap:.3%}",
        document["status"],
    ]


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _reap() -> None:
    """Wait for all that the command left behind."""
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return


if __name__ == "__main__":
    main()
