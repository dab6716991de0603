"""Made-up but well-formed runs of a study, for tests and benchmarks that need many and no solving."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from framework.study.graphs import StudyGraph
from framework.study.plan import PlannedRun
from framework.study.spec import EntryChoice, GraphChoice
from framework.study.task import Finished

SCALE = 1e9


def made_up_run(
    graph: str,
    stages: int,
    label: str,
    *,
    nodes: int = 100,
    family: str = "",
    collection: str = "graphs",
    seed: int = 0,
    budget: float = 10.0,
) -> PlannedRun:
    """Return a planned run of a graph that does not exist."""
    key = hashlib.sha256(f"{graph}/{stages}/{label}/{seed}/{budget:g}".encode()).hexdigest()[:32]
    return PlannedRun(
        key=key,
        identity=f"identity of {key}",
        graph=StudyGraph(
            choice=GraphChoice(path=f"{graph}.graph.json", where="spec.toml: graphs[0]"),
            sha256=f"sha256 of {graph}",
            name=graph,
            collection=collection,
            family=family or graph,
            task="",
            nodes=nodes,
            tensors=nodes,
            priced=True,
        ),
        device=None,
        stages=stages,
        choice=EntryChoice(entry=label, label=label, where="spec.toml: entries[0]", budgets=(budget,), presolve=True),
        parameters=f'{{"name":"{label}"}}',
        seed=seed,
        budget=budget,
    )


def made_up_result(
    run: PlannedRun,
    *,
    simple: int,
    trajectory: Sequence[tuple[float, int | None, int | None, str]],
    seconds: float,
    soundness: str = "exact",
    faults: Sequence[tuple[str, str]] = (),
    contradictions: Sequence[dict[str, Any]] = (),
    wall: float | None = None,
) -> Finished:
    """Return a finished run with the given history.

    Parameters
    ----------
    simple
        The bound every run starts from, in ticks.
    trajectory
        (seconds, dual, incumbent, source), in ticks, as the board would have kept it.
    """
    trajectory = [(0.0, simple, None, "simple"), *trajectory]
    _, dual, incumbent, _ = trajectory[-1]
    bounds = {"simple": (simple, 0.0)}
    for at, value, _, source in trajectory:
        if value is not None and value > bounds.get(source, (-1, 0.0))[0] and source != "balanced":
            bounds[source] = (value, at)
    closed = dual is not None and dual == incumbent
    document = {
        "format": "pipebound-result",
        "version": 1,
        "graph": {"name": run.graph.name, "sha256": run.graph.sha256, "nodes": run.graph.nodes},
        "device": None,
        "stages": run.stages,
        "portfolio": run.choice.entry,
        "unit": "s",
        "ticks_per_unit": SCALE,
        "dual_bound": _units(dual),
        "dual_bound_ticks": dual,
        "incumbent": _units(incumbent),
        "incumbent_ticks": incumbent,
        "relative_gap": None,
        "status": "optimal" if closed else "time_limit",
        "termination": {
            "reason": "optimal" if closed else "limit",
            "limit": None if closed else "time",
            "detail": "",
        },
        "stage_of": [0] * run.graph.nodes,
        "stage_costs": [],
        "bounds": [
            {"source": source, "ticks": ticks, "soundness": soundness, "seconds": at, "certificate": None}
            for source, (ticks, at) in sorted(bounds.items(), key=lambda item: -item[1][0])
        ],
        "incumbent_source": "annealing",
        "trajectory": [[at, _units(low), _units(high), source] for at, low, high, source in trajectory],
        "faults": [{"member": member, "detail": detail} for member, detail in faults],
        "contradictions": list(contradictions),
        "seconds": seconds,
    }
    return Finished(
        key=run.key,
        document=document,
        instance=f"instance of {run.graph.name}",
        wall=seconds * 1.01 if wall is None else wall,
        host="here",
        environment={"pipebound": "test", "cpu": "none"},
    )


def made_up_folder(folder: Path, graphs: int = 3) -> list[str]:
    """Write small priced graphs into a folder and return their file names."""
    names = []
    for g in range(graphs):
        nodes = [{"name": f"v{v}", "op": "x", "work": 5 + (v * (7 + g)) % 11} for v in range(10 + g)]
        tensors = [
            {"producer": v, "cost": 1 + v % 4, "consumers": [u for u in (v + 1, v + 2) if u < len(nodes)]}
            for v in range(len(nodes) - 1)
        ]
        document = {
            "format": "pipebound-graph",
            "version": 1,
            "name": f"braid-{g}",
            "cost_unit": "ms",
            "nodes": [{**node, "parameter_cost": 0} for node in nodes],
            "tensors": tensors,
        }
        names.append(f"braid-{g}.graph.json")
        (folder / names[-1]).write_text(json.dumps(document))
    return names


def _units(ticks: int | None) -> float | None:
    return None if ticks is None else ticks / SCALE
