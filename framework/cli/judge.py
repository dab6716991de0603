"""`pipebound judge`: price splits, whoever made them, beside the proven bound."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Annotated

import typer

from framework.cli import options as opt
from framework.cli.graph_options import GraphOptions, StepOptions, choose_stages, named_devices
from framework.errors import UserError

if TYPE_CHECKING:
    from framework.layouts.judge import Judgement
    from framework.model.graph import ModelGraph
    from framework.signals import Interrupt


def command(
    graph: opt.GraphArgument,
    split: Annotated[
        list[str],
        typer.Option(
            "--split",
            help="A file (CSV, device map, modules of each stage, split spec, parts, a result), numbers of layers as "
            "4,8,4, or a name: operators, parameters, flops, even-layers, layer-parameters, layer-flops; repeatable.",
            show_default=False,
        ),
    ],
    stages: opt.StagesOption = None,
    layers: opt.LayersOption = None,
    budget: opt.BudgetOption = "30s",
    gap: opt.GapOption = 0.0,
    with_entry: opt.WithOption = None,
    portfolio: opt.PortfolioOption = None,
    output: opt.ResultOption = None,
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
    seed: opt.SeedOption = 0,
    workers: opt.WorkersOption = None,
    memory: opt.MemoryOption = None,
    same_stage: opt.SameStageOption = None,
    whole_modules: opt.WholeModulesOption = None,
    no_cut: opt.NoCutOption = None,
    pin: opt.PinOption = None,
    memory_limit: opt.MemoryLimitOption = None,
    plugin: opt.PluginOption = None,
    json_output: opt.JsonOption = False,
) -> None:
    """Say how far splits are from the best possible: of this program, of another tool, or made by hand.

    Every split is priced exactly. The run then proves a bound that no partition gets below, within --budget, so that a
    split costs at most its price over the bound times the optimum. Without -k the splits say how many stages there are.
    A split with an edge to an earlier stage is no pipeline, and refused. Exits with 130 if a signal ended the run.
    """
    started = time.monotonic()
    from framework.layouts.judge import judge
    from framework.layouts.read import read_split
    from framework.portfolio.settings import Session, Settings
    from framework.report.live import live_display
    from framework.report.splits.judgement import print_judgement
    from framework.signals import Interrupt

    seconds, plugins = opt.parse_seconds(budget), opt.plugin_paths(plugin, portfolio)
    opt.check_outputs([output], [graph, *split])
    step = StepOptions(training, microbatches, optimizer_states)
    named = named_devices(device)
    asked = GraphOptions(
        graph, named, bandwidth, link_latency, fast_memory, activations, format, dim, step, drop_unused, kv_tokens
    )
    model, source, priced_by = asked.read(plugins, started=started, budget=seconds)
    settings = Settings(
        device=priced_by,
        entry=opt.choose_entry(with_entry, portfolio, plugins),
        budget=seconds,
        gap=gap,
        seed=seed,
        workers=workers,
        memory_bytes=opt.memory_bytes(memory),
        plugin_files=plugins,
    )
    k = _stages(stages, named.number, split, model, layers)
    constraints = opt.read_constraints(
        graph, same_stage=same_stage, whole_modules=whole_modules, no_cut=no_cut, pins=pin, memory_limit=memory_limit
    )
    splits = [read_split(text, model, k, layers or ()) for text in split]
    with Interrupt().watch(from_begin=True) as interrupt, live_display(model.name, k, seconds, quiet=json_output) as on:
        judgement = judge(
            model,
            splits,
            settings=settings,
            constraints=constraints,
            session=Session(
                started=started,
                graph_input=source,
                on_change=on,
                on_compile=on.on_compile,
                interrupt=interrupt,
            ),
        )
    if output is not None:
        judgement.result.write(output)
    if json_output:
        typer.echo(json.dumps(judgement.as_dict(), indent=1))
    else:
        print_judgement(judgement)
    if code := _exit_code(judgement, interrupt):
        raise typer.Exit(code)


def _stages(
    stages: list[int] | None, devices: int | None, splits: list[str], model: ModelGraph, layers: list[str] | None
) -> int:
    """Return the number of stages: what -k or --devices says, or as many as the splits have."""
    from framework.layouts.read import most_stages

    if stages is None and devices is None:
        return most_stages(splits, model, layers or ())
    asked_for = choose_stages(stages, devices)
    if len(asked_for) > 1:
        raise UserError("a split has one number of stages", where="-k", hint="judge for one number at a time")
    return asked_for[0]


def _exit_code(judgement: Judgement, interrupt: Interrupt) -> int:
    if judgement.result.contradictions:
        return 1
    return 130 if interrupt.happened else 0
