"""`pipebound refine`: measure a split, correct its costs, solve again, keep what runs fastest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from framework.cli import options as opt


def command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="What `split -o` wrote.", show_default=False)],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the winner.", show_default=False)],
    model: Annotated[Path | None, typer.Option("--model", help="The unsplit model; by default where it was.")] = None,
    rounds: Annotated[int, typer.Option("--rounds", min=0, help="How often to solve with corrected costs.")] = 4,
    race: Annotated[int, typer.Option("--race", min=5, help="Batches of each split in the last race.")] = 16,
    items: Annotated[
        int | None, typer.Option("--items", min=1, help="Inferences in a batch; by default half a second's worth.")
    ] = None,
    budget: Annotated[str, typer.Option("--budget", help="Time for everything: 90s, 5m.")] = "2m",
    affinity: Annotated[
        bool,
        typer.Option("--affinity/--no-affinity", help="Keep each stage on a core of its own, if there are enough."),
    ] = True,
    optimization: opt.OptimizationOption = "all",
    seed: Annotated[int, typer.Option("--seed", help="Seed of the inputs and of the solver.")] = 0,
    workers: opt.WorkersOption = None,
    force: opt.ForceOption = False,
    plugin: opt.PluginOption = None,
    json_output: opt.JsonOption = False,
) -> None:
    """Measure a split and the naive ones, correct the costs by what stages took, solve again, and so on.

    A last race decides; the winner, which may be a naive split, is written to the folder, with the graph of corrected
    costs beside it. Constraints of the result are kept. Ctrl-C keeps the best split so far, and exits with 130.
    """
    opt.load_plugins(plugin)
    from framework.deploy.split.manifest import read_manifest
    from framework.deploy.tuning.refine import refine_split
    from framework.report.console import status_line
    from framework.report.deployment import print_refinement
    from framework.signals import Interrupt

    seconds = opt.parse_seconds(budget)
    manifest = read_manifest(folder)
    interrupt = Interrupt()
    opt.announce(f"Refining {folder}", seconds, quiet=json_output)
    with status_line("refining", quiet=json_output) as say:
        refinement = refine_split(
            manifest,
            output,
            model_path=model,
            rounds=rounds,
            race_rounds=race,
            items=items,
            budget=seconds,
            optimization=opt.parse_optimization(optimization),
            affinity=affinity,
            seed=seed,
            workers=workers,
            force=force,
            say=say,
            interrupt=interrupt,
        )
    if json_output:
        typer.echo(json.dumps(refinement.as_dict(), indent=1))
    else:
        print_refinement(refinement)
    if interrupt.happened:
        raise typer.Exit(130)
