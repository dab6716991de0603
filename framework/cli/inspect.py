"""`pipebound inspect`: what can be said of a graph before anything is solved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from framework.cli import options as opt
from framework.cli.graph_options import GraphOptions, StepOptions, named_devices


def command(
    graph: opt.GraphArgument,
    max_ideals: Annotated[int, typer.Option("--max-ideals", min=1, help="Stop counting ideals here.")] = 300_000,
    budget: Annotated[str, typer.Option("--budget", help="Time for each count of ideals.")] = "10s",
    plot: Annotated[Path | None, typer.Option("--plot", help="Draw the graph (.svg, .png, .pdf).")] = None,
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
    plugin: opt.PluginOption = None,
    json_output: opt.JsonOption = False,
) -> None:
    """Show size, width, ideals, what exact reductions achieve, and which nodes may become the bottleneck."""
    from framework.model.pricing import price
    from framework.report.console import status_line
    from framework.report.inspection import inspect_graph, print_inspection

    opt.check_plot(plot)
    opt.check_outputs([plot], [graph])
    step = StepOptions(training, microbatches, optimizer_states)
    named = named_devices(device)
    asked = GraphOptions(
        graph, named, bandwidth, link_latency, fast_memory, activations, format, dim, step, drop_unused, kv_tokens
    )
    model, _, priced_by = asked.read(opt.plugin_paths(plugin))
    instance = price(model, priced_by)
    with status_line("inspecting", quiet=json_output) as say:
        seconds = opt.parse_seconds(budget)
        facts = inspect_graph(model, instance, priced_by, max_ideals=max_ideals, seconds=seconds, say=say)
    if json_output:
        typer.echo(json.dumps(facts, indent=1))
    else:
        print_inspection(facts)
    if plot is not None:
        from framework.report.plots.graph import draw_graph, node_names

        draw_graph(instance, plot, title=model.name, names=node_names(instance, model.node_names))
