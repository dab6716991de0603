"""`pipebound pipeline`: run the stages of a split, and compare."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from framework.cli import options as opt


def command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="What `split -o` wrote.", show_default=False)],
    model: Annotated[Path | None, typer.Option("--model", help="The unsplit model; by default where it was.")] = None,
    items: Annotated[
        int | None, typer.Option("--items", min=1, help="Inferences in a batch; by default half a second's worth.")
    ] = None,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Batches of each split, in turns.")] = 9,
    naive: Annotated[bool, typer.Option("--naive/--no-naive", help="Compare with naive splits.")] = True,
    budget: Annotated[
        str, typer.Option("--budget", help="Time for everything; fewer rounds where it is short, one at least.")
    ] = "2m",
    affinity: Annotated[
        bool,
        typer.Option("--affinity/--no-affinity", help="Keep each stage on a core of its own, if there are enough."),
    ] = True,
    backend: Annotated[
        str,
        typer.Option("--backend", help="For torch: gloo on cores, nccl on GPUs; auto has nccl if there are enough."),
    ] = "auto",
    optimization: opt.OptimizationOption = "all",
    seed: Annotated[int, typer.Option("--seed", help="Seed of the inputs.")] = 0,
    plugin: opt.PluginOption = None,
    json_output: opt.JsonOption = False,
) -> None:
    """Run the stages as a pipeline of processes, one thread each.

    ONNX stages hand tensors over in shared memory, those of exported torch programs with torch.distributed: gloo
    between cores, or nccl where torch has a GPU for each stage.
    Results are compared with the unsplit model's; throughput with that of the unsplit model on one thread, and of the
    splits with equal operator counts, layers, parameters and FLOPs. Exits with 1 if a result differs by more than its
    type allows (1e-4 in single precision).
    """
    opt.load_plugins(plugin)
    from framework.deploy.split.manifest import read_manifest
    from framework.deploy.tuning.subjects import open_subject
    from framework.deploy.tuning.trial import run_trial
    from framework.report.console import status_line
    from framework.report.deployment import print_trial
    from framework.signals import unwinding

    manifest = read_manifest(folder)
    seconds = opt.parse_seconds(budget)
    opt.announce(f"Running {folder}", seconds, quiet=json_output)
    with unwinding(), status_line("pipeline", quiet=json_output) as say:
        chosen = opt.parse_optimization(optimization)
        opened = open_subject(
            manifest, model_path=model, optimization=chosen, affinity=affinity, backend=backend, seed=seed
        )
        with opened as subject:
            trial = run_trial(manifest, subject, items=items, rounds=rounds, naive=naive, budget=seconds, say=say)
    if json_output:
        typer.echo(json.dumps(trial.as_dict(), indent=1))
    else:
        print_trial(trial)
    if not trial.equal:
        raise typer.Exit(1)
