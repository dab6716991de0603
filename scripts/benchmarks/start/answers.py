"""From the start of the process to the end of the answer on small graphs, beside another version of this project.

    scripts/bench answers [--set before=CHECKOUT] [--set stages=2,8] [--set repeats=3] [--set graphs=20]

The graphs are spread evenly over the sizes of the testbed's graphs of at most 300 nodes. Each is solved to the end by
`pipebound solve` in a process of its own, by both versions in turn, with compiled kernels and compiled bytecode at
hand. Compare CPU seconds where other programs use the machine. A figure is the smallest of the repeats.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from figures import Figures
from start.checkouts import PIPEBOUND, Used, now_over_before, run_in, versions

from framework.testbed.catalogue import bundled_graphs

MOST_NODES = 300
BUDGET = "30s"

Row = tuple[str, int, Mapping[str, Used], str]
"""A graph, a number of stages, what each version took, and how the runs ended."""


def measure(graphs: int = 20, stages: tuple[int, ...] = (2,), repeats: int = 3, before: str = "") -> Sequence[Figures]:
    """Return medians by number of stages, and the figures of each graph."""
    checkouts = versions(before)
    rows = [_row(checkouts, name, k, repeats) for k in stages for name in small_graphs(graphs)]
    return _medians(rows, list(checkouts), graphs), _graphs(rows, list(checkouts))


def small_graphs(count: int) -> list[str]:
    """Return names of graphs, the smallest first."""
    known = sorted((row.nodes, row.name) for row in bundled_graphs() if row.nodes <= MOST_NODES)
    return [known[int((i + 0.5) * len(known) / count)][1] for i in range(count)]


def _row(checkouts: Mapping[str, Path], name: str, stages: int, repeats: int) -> Row:
    """Run the versions in turn, and keep the least of each; the first turn is not counted."""
    least: dict[str, Used] = {}
    states: dict[str, None] = {}
    for turn in range(repeats + 1):
        for version, path in checkouts.items():
            command = [*PIPEBOUND, "solve", f"testbed:{name}", "-k", str(stages), "--budget", BUDGET, "--json"]
            done, used = run_in(path, command)
            done.check_returncode()
            states[json.loads(done.stdout)["status"]] = None
            if turn and (version not in least or used.cpu < least[version].cpu):
                least[version] = used
    return name, stages, least, " ".join(states)


def _medians(rows: Sequence[Row], names: Sequence[str], graphs: int) -> Figures:
    cells = []
    for k in dict.fromkeys(row[1] for row in rows):
        for what in ("wall", "cpu"):
            figures = [tuple(getattr(used[name], what) for name in names) for _, other, used, _ in rows if other == k]
            middle = [f"{median(column):.2f}" for column in zip(*figures, strict=True)]
            cells.append((str(k), "CPU" if what == "cpu" else what, *middle, now_over_before(figures)))
    columns = ("k", "seconds", *names, "now / before")
    title = f"medians of {graphs} graphs of at most {MOST_NODES} nodes; geometric mean of now / before"
    return Figures(name="medians", title=title, columns=columns, rows=tuple(cells))


def _graphs(rows: Sequence[Row], names: Sequence[str]) -> Figures:
    cells = [
        (
            name,
            str(k),
            *(f"{used[version].wall:.2f}" for version in names),
            *(f"{used[version].cpu:.2f}" for version in names),
            state,
        )
        for name, k, used, state in rows
    ]
    columns = ("graph", "k", *(f"wall, {name}" for name in names), *(f"CPU, {name}" for name in names), "status")
    return Figures(name="graphs", title="seconds", columns=columns, rows=tuple(cells))
