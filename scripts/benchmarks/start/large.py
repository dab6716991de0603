"""Solve graphs far larger than networks are, and say what the whole command takes of its budget.

    scripts/bench large [--set graphs=star:100000,chain:1000000] [--set before=CHECKOUT] [--set folder=DIR]

A graph is KIND:NODES: `chain`; `grid` (square; a node feeds its right and its lower neighbour); `layered` (layers of a
hundred, edges to the next); `star` (one tensor of the first node, read by all others); `dear-star` (one that costs a
fifth of all work); `spokes` (a tensor of the first node for each other); `fan` (all others feed the last). Costs are
random integers. Every graph is written as a native file, 45 to 90 MB for a million nodes, and solved by the command
line in a process of its own. `read` and `price` are CPU seconds of a process that does no more; `first bound` and
`first partition` are on the clock of the run, which begins when its process does; `CPU` and `peak` are those of all
processes of the command. It should take no more wall-clock time than 1.1 budgets and 2 s.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from figures import Figures
from start.checkouts import PIPEBOUND, now_over_before, run_in, versions

LAYER = 100
SEED = 1
GRAPHS = tuple(
    f"{kind}:{nodes}" for nodes in (12_000, 100_000, 1_000_000) for kind in ("chain", "layered", "grid", "star")
)
FOLDER = str(Path(tempfile.gettempdir()) / "pipebound-large")
READ_AND_PRICE = """
import json, sys, time
from framework.formats import read_graph
from framework.model.pricing import price
import framework.formats.native
started = time.process_time()
graph = read_graph(sys.argv[1])
read = time.process_time()
price(graph)
print(json.dumps([read - started, time.process_time() - read]))
"""


def measure(
    graphs: tuple[str, ...] = GRAPHS, stages: int = 8, budget: float = 20.0, folder: str = FOLDER, before: str = ""
) -> Sequence[Figures]:
    """Return a row for each graph and version, and what this one takes of the time of the one before."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    rows: list[tuple[str, ...]] = []
    spent: dict[str, list[tuple[float, ...]]] = {"read": [], "price": [], "CPU": [], "peak": []}
    for name in graphs:
        kind, _, nodes = name.partition(":")
        path = Path(folder) / f"{kind}-{nodes}.graph.json"
        if not path.exists():
            path.write_text(json.dumps(graph_document(kind, int(nodes))), encoding="utf-8")
        found = {version: _solve(checkout, path, stages, budget) for version, checkout in versions(before).items()}
        rows += [(name, version, *cells) for version, (_, cells) in found.items()]
        for i, figures in enumerate(spent.values()):
            figures.append(tuple(measured[i] for measured, _ in found.values()))
    headings = ("read", "price", "first bound", "first partition", "wall", "CPU", "peak, MiB", "gap", "status")
    title = f"budget {budget:g} s, {stages} stages; seconds"
    table = Figures(name="large", title=title, columns=("graph", "version", *headings), rows=tuple(rows))
    if not before:
        return (table,)
    ratios = tuple((what, now_over_before(figures)) for what, figures in spent.items())
    return table, Figures(name="ratios", title="geometric means", columns=("what", "now / before"), rows=ratios)


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


def _solve(checkout: Path, path: Path, stages: int, budget: float) -> tuple[tuple[float, ...], tuple[str, ...]]:
    """Return seconds of reading and pricing, CPU seconds and peak memory of the solve; and the cells of its row."""
    done, _ = run_in(checkout, ["-c", READ_AND_PRICE, str(path)])
    done.check_returncode()
    read, price = json.loads(done.stdout)
    output = path.with_suffix(".result")
    output.unlink(missing_ok=True)
    command = ["solve", str(path), "-k", str(stages), "--budget", f"{budget}s", "-o", str(output)]
    done, used = run_in(checkout, [*PIPEBOUND, *command], sample=True)
    if not output.exists():
        raise SystemExit(f"{path.name}: no result: {done.stderr[-500:]}")
    document = json.loads(output.read_text(encoding="utf-8"))
    for fault in document["faults"]:
        print(path.name, fault, file=sys.stderr)
    bound, partition = (
        next((row[0] for row in document["trajectory"] if row[side] is not None), math.nan) for side in (1, 2)
    )
    gap = document["relative_gap"]
    cells = (
        f"{read:.2f}",
        f"{price:.2f}",
        f"{bound:.2f}",
        f"{partition:.2f}",
        f"{used.wall:.1f}" + ("" if used.wall <= 1.1 * budget + 2 else " TOO LONG"),
        f"{used.cpu:.1f}",
        f"{used.peak:.0f}",
        "" if gap is None else f"{gap:.3%}",
        document["status"],
    )
    return (read, price, used.cpu, used.peak), cells
