"""`pipebound recommend`: how many stages, and whether to go on optimising."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Annotated

import typer

from framework.cli import options as opt
from framework.cli.graph_options import GraphOptions, StepOptions, named_devices
from framework.errors import UserError


def command(
    graph: opt.GraphArgument,
    stages: Annotated[str, typer.Option("-k", "--stages", help="Numbers of stages, as 1..8.")] = "1..8",
    budget: Annotated[str, typer.Option("--budget", help="Time for each number of stages.")] = "10s",
    with_entry: opt.WithOption = None,
    portfolio: opt.PortfolioOption = None,
    device: opt.DeviceOption = None,
    bandwidth: opt.BandwidthOption = None,
    link_latency: opt.LinkLatencyOption = None,
    fast_memory: opt.FastMemoryOption = None,
    activations: opt.ActivationsOption = False,
    format: opt.FormatOption = None,
    dim: opt.DimOption = None,
    training: opt.TrainingOption = False,
    microbatches: opt.MicrobatchesOption = None,
    optimizer_states: opt.OptimizerStatesOption = None,
    drop_unused: opt.DropUnusedOption = False,
    kv_tokens: opt.KvTokensOption = None,
    keep_fused: opt.KeepFusedOption = False,
    whole_modules: opt.WholeModulesOption = None,
    pin: opt.PinOption = None,
    memory_limit: opt.MemoryLimitOption = None,
    seed: opt.SeedOption = 0,
    workers: opt.WorkersOption = None,
    memory: opt.MemoryOption = None,
    plugin: opt.PluginOption = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Draw bottleneck and speed-up by number of stages (.svg, .png, .pdf).")
    ] = None,
    any_order: opt.AnyOrderOption = False,
    json_output: opt.JsonOption = False,
) -> None:
    """Show bottleneck, bound and speed-up by number of stages, the knee, and whether optimising further pays.

    GRAPH is a model or any other graph file, best a profile of the model. With --memory-limit or --pin, speed-ups are
    over one stage that is free of both. Numbers of stages without a partition, and those that have not the stage of a
    pin, are left out; it exits with 3 if no partition is left. Ctrl-C, SIGTERM and SIGHUP end it; it recommends from
    the numbers of stages solved by then, and exits with 130.

    With --devices, a number of stages stands for all ways to use so many of the devices, in the order given or, with
    --any-order, in any: the table says which are worth using.
    """
    started = time.monotonic()
    from framework.api.recommend import survey
    from framework.portfolio.settings import Session, Settings
    from framework.report.console import open_console
    from framework.report.deployment import print_recommendation
    from framework.report.live import live_display
    from framework.signals import Interrupt

    seconds, plugins = opt.parse_seconds(budget), opt.plugin_paths(plugin, portfolio)
    entry = opt.choose_entry(with_entry, portfolio, plugins)
    numbers = _parse_stages(stages)
    opt.check_plot(plot)
    opt.check_outputs([plot], [graph])
    named, step = named_devices(device), StepOptions(training, microbatches, optimizer_states)
    asked = GraphOptions(
        graph, named, bandwidth, link_latency, fast_memory, activations, format, dim, step, drop_unused, kv_tokens
    )
    model, source, priced_by = asked.read(plugins, started=started, budget=seconds)
    settings = Settings(
        device=priced_by,
        entry=entry,
        budget=seconds,
        seed=seed,
        workers=workers,
        memory_bytes=opt.memory_bytes(memory),
        plugin_files=plugins,
    )
    constraints = opt.read_constraints(
        graph, keep_fused=keep_fused, whole_modules=whole_modules, pins=pin, memory_limit=memory_limit
    )
    with Interrupt().watch(from_begin=True) as interrupt:
        found = survey(
            model,
            numbers,
            settings=settings,
            constraints=constraints,
            session=Session(graph_input=source, interrupt=interrupt),
            watch=lambda title, k: live_display(title, k, seconds, quiet=json_output),
            any_order=any_order,
        )
        if found.answer is None:
            for why in found.left_out.values() if not json_output else []:
                open_console().print(why)
        else:
            if json_output:
                typer.echo(json.dumps(found.answer.as_dict(), indent=1))
            else:
                print_recommendation(found.answer)
            if plot is not None:
                from framework.report.plots.recommendation import draw_recommendation

                draw_recommendation(found.answer, plot)
    if found.contradicted:
        raise typer.Exit(1)
    if interrupt.happened:
        raise typer.Exit(130)
    if found.answer is None:
        raise typer.Exit(3)


def _parse_stages(text: str) -> list[int]:
    from framework.model.instance import MAX_STAGES

    match = re.fullmatch(r"(\d{1,6})(?:\.\.(\d{1,6}))?", text.strip())
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not 1 <= first <= last:
        raise UserError(f"cannot read --stages {text!r}", hint="write a range such as 1..8")
    if last > MAX_STAGES:
        raise UserError(f"--stages {text} goes beyond {MAX_STAGES}", hint="write a range such as 1..8")
    return list(range(first, last + 1))
