"""Real models from file to running stages: measured throughput against naive splits, predicted against measured.

    python scripts/benchmarks/deploy.py [--stages 2] [MODEL.onnx ...]

Without models, the nine light models of the onnx package run, with generated weights. Each is profiled beside busy
neighbours, solved with its measured seconds and the bandwidth that the profile suggests, split, refined by what its
stages take, and run in turns with the naive splits: a new trial, after the choice. One line a model, in Markdown;
--no-refine for the split as it was solved, --json FILE keeps everything.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import onnx

from framework.deploy.measurement import write_profile
from framework.deploy.onnx_model import open_model
from framework.deploy.split.assignment import assign, fused_groups
from framework.deploy.split.split import split_model
from framework.deploy.tuning.profile import profile_model
from framework.deploy.tuning.refine import refine_split
from framework.deploy.tuning.subjects import open_subject
from framework.deploy.tuning.trial import run_trial
from framework.formats import read_graph
from framework.model.device import Device
from framework.portfolio.constraints import Constraints
from framework.portfolio.records import GraphInput
from framework.portfolio.settings import Session, Settings
from framework.portfolio.solve import solve

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"


def measure(path: Path, folder: Path, stages: int, budget: float, rounds: int, *, refine: bool) -> dict[str, Any]:
    """Take one model through all steps; `refine` is the one before the last."""
    model = open_model(path)
    profile = profile_model(model, neighbours=stages - 1)
    graph_file = folder / f"{path.stem}.graph.json"
    write_profile(profile, graph_file)
    result = solve(
        read_graph(graph_file),
        stages,
        settings=Settings(
            device=Device(name="measured", link_bandwidth=profile.link_bandwidth, link_latency=profile.link_latency),
            budget=budget,
        ),
        constraints=Constraints(same_stage=fused_groups(str(graph_file))),
        session=Session(graph_input=GraphInput(path=str(graph_file))),
    )
    assignment = assign(model, result)
    manifest = split_model(
        model, assignment.stage_of, folder / path.stem, dims=assignment.dims, predicted=assignment.predicted
    )
    refinement = refine_split(manifest, folder / "refined") if refine else None
    if refinement is not None:
        assert refinement.manifest is not None
        manifest = refinement.manifest
    with open_subject(manifest) as subject:
        trial = run_trial(manifest, subject, rounds=rounds)
    return {
        "name": path.stem.removeprefix("light_"),
        "nodes": profile.graph.topology.n,
        "latency": profile.latency[1],
        "spread": profile.spread,
        "link_bandwidth": profile.link_bandwidth,
        "status": result.status,
        "gap": result.relative_gap,
        "refinement": None if refinement is None else refinement.as_dict(),
        "trial": trial.as_dict(),
    }


def markdown(row: dict[str, Any]) -> str:
    trial = row["trial"]
    rows = {entry["name"]: entry for entry in trial["rows"]}
    ours, unsplit = rows["this split"], rows["unsplit"]
    equal = [entry for entry in trial["rows"] if entry["name"].startswith("equal")]
    naive = min(equal, key=lambda entry: float(entry["period"]))
    winner = "-" if row["refinement"] is None else row["refinement"]["winner"]
    quartiles = "-".join(f"{1e3 * value:.2f}" for value in ours["period_quartiles"])
    return (
        f"| {row['name']} | {row['nodes']} | {row['status']} | {winner} | {1e3 * unsplit['period']:.2f} "
        f"| {1e3 * ours['period']:.2f} ({quartiles}) | {unsplit['period'] / ours['period']:.2f} "
        f"| {1e3 * naive['period']:.2f} ({naive['name']}{', the same' if naive['same_as'] else ''}) "
        f"| {trial['throughput_over_best_naive']:.3f} | {trial['fastest_over_best_naive']:.3f} "
        f"| {1e3 * ours['predicted']:.2f} | {trial['predicted_over_measured']:.2f} "
        f"| {ours['predicted'] / ours['fastest_period']:.2f} | {trial['difference']:.0e} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="From model files to measured pipelines.")
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--stages", type=int, default=2)
    parser.add_argument("--budget", type=float, default=10.0, help="seconds to solve each model")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--no-refine", action="store_true", help="run the split as it was solved")
    parser.add_argument("--json", type=Path, default=None)
    arguments = parser.parse_args()
    print(f"k = {arguments.stages}, load {os.getloadavg()[0]:.1f}; milliseconds an item")
    print(
        "| model | nodes | solved | refined to | unsplit | this split (quartiles) | speed-up | best naive "
        "| throughput over it | in the fastest rounds | predicted | over measured | over fastest | difference |"
    )
    print("|" + "---|" * 14, flush=True)
    rows = []
    for path in arguments.models or sorted(LIGHT.glob("*.onnx")):
        with tempfile.TemporaryDirectory(prefix="pipebound-") as folder:
            rows.append(
                measure(
                    path,
                    Path(folder),
                    arguments.stages,
                    arguments.budget,
                    arguments.rounds,
                    refine=not arguments.no_refine,
                )
            )
        print(markdown(rows[-1]), flush=True)
        if arguments.json is not None:
            arguments.json.write_text(json.dumps(rows, indent=1) + "\n")
    print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
