"""Torch modules from export to running stages: predicted against measured seconds of a core, and splits of others.

    python scripts/benchmarks/torch_models/run.py [MODEL ...] [--stages 2 3]

Each model is exported with random weights, profiled beside busy neighbours, solved with its measured seconds, split,
and run in turns with the naive splits by processes that talk through gloo. It needs the environment that
`scripts/test --torch` makes. --list says which models there are; --json FILE keeps everything.

Two tables, a line a model. The first: the predicted bottleneck beside what the busiest stage took, in milliseconds of
a core, hand-over included; their ratio; the ratio of their shares of the whole program, which was measured while
profiling and in turns with the stages, so that a load that changed in between matters less; the busiest stages of the
naive splits over that of ours; the largest difference of results. The second: the cost of today's splits over that of
the best partition, by the measured costs, beside the proven bound.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from builders import DEFAULT, MODELS, Built

from framework.deploy.measurement import write_profile
from framework.deploy.split.assignment import assign
from framework.deploy.torch.model import open_torch_model
from framework.deploy.torch.profile import profile_program
from framework.deploy.torch.split import split_program
from framework.deploy.tuning.subjects import open_subject
from framework.deploy.tuning.trial import run_trial
from framework.errors import UserError
from framework.formats import read_graph
from framework.formats.torch.export.files import export
from framework.layouts.judge import judge
from framework.layouts.read import Split, read_split
from framework.model.graph import ModelGraph
from framework.portfolio.constraints import Constraints
from framework.portfolio.records import GraphInput
from framework.portfolio.settings import Session, Settings

BY_NAME = ("even-layers", "layer-parameters", "layer-flops", "operators", "parameters", "flops")
ACCELERATE = "accelerate"
NAIVE = ("equal layers", "equal operator count", "equal parameters", "equal FLOPs")


def export_to(path: Path, build: Callable[[], Built]) -> Built:
    """Write the program of a module to a file."""
    torch.manual_seed(0)
    built = build()
    torch.export.save(export(built.module, built.args, built.kwargs), path)
    return built


def measure(
    path: Path,
    built: Built,
    *,
    stages: int,
    neighbours: int,
    budget: float,
    rounds: int,
    repetitions: int,
) -> dict[str, Any]:
    """Take an exported module through all further steps, and return what was found."""
    name, folder = path.stem, path.parent
    graph_file = folder / f"{name}-{stages}.graph.json"
    model = open_torch_model(path)
    profile = profile_program(model, repetitions=repetitions, neighbours=neighbours)
    write_profile(profile, graph_file)
    graph = read_graph(graph_file)
    settings = Settings(device=profile.device, budget=budget)
    session = Session(graph_input=GraphInput(path=str(graph_file)))
    others = splits_of_others(graph, built, stages)
    judged = judge(graph, others, settings=settings, constraints=Constraints(), session=session)
    result = judged.result
    assignment = assign(model, result)
    manifest = split_program(model, assignment.stage_of, folder / f"{name}-{stages}", predicted=assignment.predicted)
    with open_subject(manifest) as subject:
        trial = run_trial(manifest, subject, rounds=rounds)
    best = min(result.incumbent, *(split.bottleneck for split in judged.splits))
    return {
        "name": name,
        "stages": stages,
        "nodes": graph.topology.n,
        "whole": profile.latency[1],
        "spread": profile.spread,
        "link": [profile.link.latency, profile.link.bandwidth],
        "status": result.status,
        "bound_over_best": result.dual_bound / best,
        "others": {split.name: split.bottleneck / best for split in judged.splits},
        "predicted": [row.total for row in result.stage_costs],
        "trial": trial.as_dict(),
    }


def splits_of_others(graph: ModelGraph, built: Built, stages: int) -> list[Split]:
    """Return the splits that tools make today, as far as the model has layers enough for them."""
    found = []
    for name, given in {**{name: name for name in BY_NAME}, ACCELERATE: device_map(built, stages)}.items():
        try:
            split = replace(read_split(given, graph, stages, ()), name=name)
        except UserError as error:
            print(f"    {name}: {error}")
            continue
        top = graph.topology
        producers = np.repeat(top.producer, np.diff(top.consumer_ptr))
        if (split.stage_of[producers] > split.stage_of[top.consumers]).any():
            print(f"    {name}: no pipeline, since it sends a tensor back to an earlier stage")
        else:
            found.append(split)
    return found


def device_map(built: Built, stages: int) -> dict[str, int]:
    """Return accelerate's device map for so many devices with equal shares of the weights, layers whole."""
    from accelerate import infer_auto_device_map

    total = sum(parameter.nbytes for parameter in built.module.parameters())
    most = {b: total // stages if b < stages - 1 else total for b in range(stages)}
    with torch.device("meta"):
        return dict(infer_auto_device_map(built.module, max_memory=most, no_split_module_classes=[built.layer]))


def first_table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return predictions beside measurements, and the naive splits beside ours, in Markdown."""
    lines = [
        f"| model | nodes | k | solved | whole | predicted | measured | ratio | of shares | {' | '.join(NAIVE)} "
        "| difference |",
        "|" + "---|" * (10 + len(NAIVE)),
    ]
    for row in rows:
        measured = {entry["name"]: max(entry["busy"]) for entry in row["trial"]["rows"]}
        ours = measured["this split"]
        shares = max(row["predicted"]) / row["whole"] / (ours / measured["unsplit"])
        naive = [f"{measured[name] / ours:.2f}" if name in measured else "-" for name in NAIVE]
        lines.append(
            f"| {row['name']} | {row['nodes']} | {row['stages']} | {row['status']} | {1e3 * row['whole']:.1f} "
            f"| {1e3 * max(row['predicted']):.1f} | {1e3 * ours:.1f} | {row['trial']['predicted_over_busy']:.2f} "
            f"| {shares:.2f} | {' | '.join(naive)} | {row['trial']['difference']:.0e} |"
        )
    return lines


def second_table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return what today's splits cost over the best partition, and the proven bound, in Markdown."""
    names = list(dict.fromkeys(name for row in rows for name in row["others"]))
    lines = [f"| model | k | bound / best | {' | '.join(names)} |", "|" + "---|" * (3 + len(names))]
    for row in rows:
        costs = [f"{row['others'][name]:.2f}" if name in row["others"] else "-" for name in names]
        lines.append(f"| {row['name']} | {row['stages']} | {row['bound_over_best']:.3f} | {' | '.join(costs)} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description="Torch modules from export to running stages.")
    parser.add_argument("models", nargs="*", metavar="MODEL")
    parser.add_argument("--stages", type=int, nargs="+", default=[2])
    parser.add_argument(
        "--neighbours", type=int, default=None, help="busy processes while profiling; default stages - 1"
    )
    parser.add_argument("--budget", type=float, default=20.0, help="seconds to solve each model")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--repetitions", type=int, default=15)
    parser.add_argument("--list", action="store_true", help="list the models, and end")
    parser.add_argument("--json", type=Path, default=None)
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(MODELS))
        return
    print(f"load {os.getloadavg()[0]:.1f} on {len(os.sched_getaffinity(0))} cores; times in ms of a core")
    rows: list[dict[str, Any]] = []
    for name in arguments.models or DEFAULT:
        if name not in MODELS:
            raise SystemExit(f"no model {name}; there are {', '.join(MODELS)}")
        with tempfile.TemporaryDirectory(prefix="pipebound-") as folder:
            path = Path(folder) / f"{name}.pt2"
            built = export_to(path, MODELS[name])
            for stages in arguments.stages:
                row = measure(
                    path,
                    built,
                    stages=stages,
                    neighbours=stages - 1 if arguments.neighbours is None else arguments.neighbours,
                    budget=arguments.budget,
                    rounds=arguments.rounds,
                    repetitions=arguments.repetitions,
                )
                rows.append(row)
                lines = first_table(rows)
                print("\n".join(lines if len(rows) == 1 else lines[-1:]), flush=True)
                if arguments.json is not None:
                    arguments.json.write_text(json.dumps(rows, indent=1) + "\n")
    print("", *second_table(rows), f"load {os.getloadavg()[0]:.1f}", sep="\n")


if __name__ == "__main__":
    main()
