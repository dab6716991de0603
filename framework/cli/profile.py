"""`pipebound profile`: measured seconds per operator."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from framework.cli import options as opt
from framework.errors import UserError
from framework.report.escape import terminal

if TYPE_CHECKING:
    from framework.deploy.torch.profile import TorchProfile


def command(
    model: Annotated[Path, typer.Argument(help="An .onnx or .pt2 file.", show_default=False)],
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
    clock: Annotated[
        str, typer.Option("--clock", help="Of torch programs: seconds of a core (cpu), or that passed (wall).")
    ] = "cpu",
    backward: Annotated[
        bool, typer.Option("--backward", help="Of torch programs: measure gradients too, for solve --training.")
    ] = False,
    seed: Annotated[int, typer.Option("--seed", help="Seed of inputs, and of weights where there are none.")] = 0,
    plugin: opt.PluginOption = None,
    json_output: opt.JsonOption = False,
) -> None:
    """Measure every operator on one thread, and write the graph with its seconds.

    ONNX models are measured with onnxruntime's profiler, torch programs call by call. The file says how fast tensors
    are handed over on this machine, and `solve` takes that unless --bandwidth or --device say otherwise. An ONNX model
    without weights gets random ones.
    """
    opt.load_plugins(plugin)
    from framework.formats.torch.export.files import is_program
    from framework.report.console import status_line
    from framework.report.deployment import print_profile
    from framework.signals import unwinding

    opt.check_outputs([output], [model])
    seconds = opt.parse_seconds(budget)
    chosen = opt.parse_optimization(optimization)
    opt.announce(f"Profiling {model}", seconds, quiet=json_output)
    from framework.deploy.measurement import write_profile
    from framework.deploy.tuning.profile import Profile, profile_model

    profile: Profile | TorchProfile
    with unwinding(), status_line("profiling", quiet=json_output) as say:
        if is_program(model):
            ours = {"--drop-unused": drop_unused, "--seed": seed, "--optimization": optimization != "all"}
            opt.refuse_for_programs(ours)
            from framework.deploy.torch.model import open_torch_model
            from framework.deploy.torch.profile import profile_program

            profile = profile_program(
                open_torch_model(model, opt.parse_dims(dim)),
                warm_up=warm_up,
                repetitions=repetitions,
                neighbours=neighbours,
                clock=clock,
                backward=backward,
                kv_tokens=opt.parse_tokens(kv_tokens),
                budget=seconds,
                say=say,
            )
        else:
            if backward or clock != "cpu":
                raise UserError("`--clock` and `--backward` are for torch programs", where=str(model), hint="drop them")
            from framework.deploy.onnx_model import open_model

            profile = profile_model(
                open_model(model),
                dims=opt.parse_dims(dim),
                warm_up=warm_up,
                repetitions=repetitions,
                neighbours=neighbours,
                optimization=chosen,
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
