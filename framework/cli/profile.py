"""`pipebound profile`: measured seconds per operator."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from framework.cli import options as opt
from framework.report.escape import terminal


def command(
    model: Annotated[Path, typer.Argument(help="An .onnx file.", show_default=False)],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The graph file to write (.json or .json.gz).", show_default=False)
    ],
    dim: opt.DimOption = None,
    drop_unused: opt.DropUnusedOption = False,
    kv_tokens: opt.KvTokensOption = None,
    repetitions: Annotated[int, typer.Option("--repetitions", min=3, help="Measured runs.")] = 20,
    warm_up: Annotated[int, typer.Option("--warm-up", min=0, help="Runs before them.")] = 3,
    neighbours: Annotated[
        int, typer.Option("--neighbours", min=0, help="Processes that run the model meanwhile, as other stages will.")
    ] = 0,
    budget: Annotated[
        str, typer.Option("--budget", help="Time for everything; fewer repetitions where it is short, 3 at least.")
    ] = "2m",
    optimization: opt.OptimizationOption = "all",
    seed: Annotated[int, typer.Option("--seed", help="Seed of inputs, and of weights where there are none.")] = 0,
    json_output: opt.JsonOption = False,
) -> None:
    """Measure every operator with onnxruntime's profiler, on one thread, and write the graph with its seconds.

    The file says how fast tensors are handed over on this machine, and `solve` takes that unless --bandwidth or
    --device say otherwise. A model without weights gets random ones.
    """
    from framework.deploy.onnx_model import open_model
    from framework.deploy.tuning.profile import profile_model, write_profile
    from framework.report.console import status_line
    from framework.report.deployment import print_profile
    from framework.signals import unwinding

    opt.check_outputs([output], [model])
    seconds = opt.parse_seconds(budget)
    opt.announce(f"Profiling {model}", seconds, quiet=json_output)
    with unwinding(), status_line("profiling", quiet=json_output) as say:
        profile = profile_model(
            open_model(model),
            dims=opt.parse_dims(dim),
            warm_up=warm_up,
            repetitions=repetitions,
            neighbours=neighbours,
            optimization=opt.parse_optimization(optimization),
            seed=seed,
            budget=seconds,
            drop_unused=drop_unused,
            kv_tokens=opt.parse_tokens(kv_tokens),
            say=say,
        )
    write_profile(profile, output)
    if json_output:
        typer.echo(json.dumps(profile.note(), indent=1))
        return
    print_profile(profile, output)
    for warning in profile.warnings:
        typer.echo(terminal(f"pipebound: warning: {warning}"), err=True)
