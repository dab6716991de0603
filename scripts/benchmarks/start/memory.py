"""Memory of all processes of one `pipebound solve`, beside another version of this project.

    scripts/bench memory [--set before=CHECKOUT] [--set graphs=resnet50:4,transformers-bert:8]

`peak` is the largest sum of proportional sizes (checkouts.py says which), `resident` the sum of resident sizes at that
moment, and `processes` how many there were.
"""

from __future__ import annotations

from collections.abc import Sequence

from figures import Figures
from start.checkouts import PIPEBOUND, run_in, versions


def measure(
    graphs: tuple[str, ...] = ("resnet50:4", "transformers-bert:8"), budget: float = 10.0, before: str = ""
) -> Sequence[Figures]:
    """Return a row for each GRAPH:K and version."""
    rows = []
    for problem in graphs:
        graph, _, stages = problem.partition(":")
        for version, path in versions(before).items():
            command = [*PIPEBOUND, "solve", f"testbed:{graph}", "-k", stages, "--budget", f"{budget}s"]
            done, used = run_in(path, command, sample=True)
            done.check_returncode()
            rows.append((graph, stages, version, f"{used.peak:.0f}", f"{used.resident:.0f}", str(used.processes)))
    columns = ("graph", "k", "version", "peak, MiB", "resident, MiB", "processes")
    return (Figures(name="memory", title=f"budget {budget:g} s", columns=columns, rows=tuple(rows)),)
