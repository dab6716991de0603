"""`pipebound recommend`: how many stages, and whether to go on optimising."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from framework.cli import options as opt
from framework.errors import UserError
from framework.wording import counted

BASE = 0
"""Key of the run that speed-ups are over, below all numbers of stages."""


def command(
    graph: opt.GraphArgument,
    stages: Annotated[str, typer.Option("-k", "--stages", help="Numbers of stages, as 1..8.")] = "1..8",
    budget: Annotated[str, typer.Option("--budget", help="Time for each number of stages.")] = "10s",
    with_entry: opt.WithOption = None,
    portfolio: opt.PortfolioOption = None,
    device: opt.DeviceOption = None,
    bandwidth: opt.BandwidthOption = None,
    fast_memory: opt.FastMemoryOption = None,
    format: opt.FormatOption = None,
    dim: opt.DimOption = None,
    training: opt.TrainingOption = False,
    drop_unused: opt.DropUnusedOption = False,
    keep_fused: opt.KeepFusedOption = False,
    pin: opt.PinOption = None,
    memory_limit: opt.MemoryLimitOption = None,
    seed: opt.SeedOption = 0,
    workers: opt.WorkersOption = None,
    memory: opt.MemoryOption = None,
    plugin: opt.PluginOption = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Draw bottleneck and speed-up by number of stages (.svg, .png, .pdf).")
    ] = None,
    json_output: opt.JsonOption = False,
) -> None:
    """Show bottleneck, bound and speed-up by number of stages, the knee, and whether optimising further pays.

    GRAPH is a model or any other graph file, best a profile of the model. With --memory-limit or --pin, speed-ups are
    over one stage that is free of both. Numbers of stages without a partition, and those that have not the stage of a
    pin, are left out; it exits with 3 if no partition is left. Ctrl-C, SIGTERM and SIGHUP end it; it recommends from
    the numbers of stages solved by then, and exits with 130.
    """
    started = time.monotonic()
    from framework.deploy.tuning.recommend import recommend
    from framework.portfolio.settings import Session, Settings
    from framework.portfolio.solve import Run, check_runs, solve
    from framework.report.console import open_console
    from framework.report.deployment import print_recommendation
    from framework.report.live import live_display
    from framework.report.tables import verdict
    from framework.signals import Interrupt

    seconds, plugins = opt.parse_seconds(budget), opt.plugin_paths(plugin, portfolio)
    entry = opt.choose_entry(with_entry, portfolio, plugins)
    numbers = _parse_stages(stages)
    opt.check_plot(plot)
    opt.check_outputs([plot], [graph])
    model, source = opt.read_input(
        graph, format=format, dims=dim, training=training, drop_unused=drop_unused, started=started, budget=seconds
    )
    priced_by = opt.choose_device(model, graph, device=device, bandwidth=bandwidth, fast_memory=fast_memory)
    free = opt.read_constraints(graph, keep_fused=keep_fused)
    limited = opt.read_constraints(graph, keep_fused=keep_fused, pins=pin, memory_limit=memory_limit)
    numbers, left_out = _without_pinned_stage(numbers, limited.pins)
    # What speed-ups are over; nothing is open about one stage.
    runs = {BASE: Run(stages=1, entry="simple", constraints=free)} if limited.pins or memory_limit is not None else {}
    runs |= {k: Run(stages=k, entry=entry, constraints=limited) for k in (numbers if runs else {1, *numbers})}
    settings = Settings(
        device=priced_by,
        budget=seconds,
        seed=seed,
        workers=workers,
        memory_bytes=opt.memory_bytes(memory),
        plugin_files=plugins,
    )
    priced = check_runs(model, runs.values(), settings=settings)
    results = {}
    with Interrupt().watch(from_begin=True) as interrupt:
        for key in sorted(runs):
            run = runs[key]
            with live_display(model.name, run.stages, seconds, quiet=json_output) as display:
                session = Session(
                    graph_input=source,
                    priced=priced,
                    on_change=display,
                    on_compile=display.on_compile,
                    interrupt=interrupt,
                )
                results[key] = solve(
                    model,
                    run.stages,
                    settings=replace(settings, entry=run.entry),
                    constraints=run.constraints,
                    session=session,
                )
            if interrupt.happened:
                break
        solved = [results[k] for k in numbers if k in results]
        wanted = [result for result in solved if result.incumbent_ticks is not None]
        left_out |= {result.stages: verdict(result) for result in solved if result.incumbent_ticks is None}
        for why in left_out.values() if not json_output else []:
            open_console().print(why)
        if wanted:
            answer = recommend(wanted, results[min(results)])
            if json_output:
                rows = [{"stages": k, "why": why} for k, why in sorted(left_out.items())]
                typer.echo(json.dumps(answer.as_dict() | {"left_out": rows}, indent=1))
            else:
                print_recommendation(model, answer, wanted)
            if plot is not None:
                from framework.report.plots.recommendation import draw_recommendation

                draw_recommendation(model.name, answer, plot)
    if any(result.contradictions for result in results.values()):
        raise typer.Exit(1)
    if interrupt.happened:
        raise typer.Exit(130)
    if not wanted:
        raise typer.Exit(3)


def _without_pinned_stage(numbers: list[int], pins: tuple[tuple[str, int], ...]) -> tuple[list[int], dict[int, str]]:
    """Return the numbers of stages that have the stage of every pin, and why the others are left out."""
    name, last = max(pins, key=lambda pair: pair[1], default=("", 0))
    able = [k for k in numbers if k > last]
    if not able:
        raise UserError(
            f"node {name!r} is pinned to stage {last}, and --stages ends at {numbers[-1]}",
            mend=f"stages are counted from 0: give at least {counted(last + 1, 'stage')}",
        )
    return able, {k: f"Left out k = {k}: node {name!r} is pinned to stage {last}." for k in numbers if k <= last}


def _parse_stages(text: str) -> list[int]:
    from framework.model.instance import MAX_STAGES

    match = re.fullmatch(r"(\d{1,6})(?:\.\.(\d{1,6}))?", text.strip())
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not 1 <= first <= last:
        raise UserError(f"cannot read --stages {text!r}", mend="write a range such as 1..8")
    if last > MAX_STAGES:
        raise UserError(f"--stages {text} goes beyond {MAX_STAGES}", mend="write a range such as 1..8")
    return list(range(first, last + 1))
