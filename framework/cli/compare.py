"""`pipebound compare`: entries side by side on one graph."""

from __future__ import annotations

import json
import time
from typing import Annotated

import typer

from framework.cli import options as opt
from framework.cli.graph_options import GraphOptions, StepOptions, choose_stages, named_devices


def command(
    graph: opt.GraphArgument,
    entries: Annotated[
        list[str],
        typer.Argument(
            help="Formulations, strategies, portfolios: name:param=value; several with commas run side by side, as one."
        ),
    ],
    stages: opt.StagesOption = None,
    budget: Annotated[str, typer.Option("--budget", help="Time for each entry and number of stages.")] = "10s",
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
    presolve: opt.PresolveOption = True,
    plugin: opt.PluginOption = None,
    portfolio: opt.PortfolioOption = None,
    json_output: opt.JsonOption = False,
) -> None:
    """Run each entry on its own for each number of stages, and compare bounds, times and soundness.

    Ratios are taken over the best partition that any entry found for that number of stages. A dual bound
    above it is a bug: it is shown and the command exits with 1. Ctrl-C, SIGTERM and SIGHUP end the run under way and
    leave out those that have not begun; the command shows what there is and exits with 130.
    """
    started = time.monotonic()
    from framework.portfolio.comparison import run_comparison
    from framework.portfolio.settings import Settings
    from framework.portfolio.solve import check_entries
    from framework.report.comparison import comparison_document, print_comparison
    from framework.report.live import live_display
    from framework.signals import Interrupt

    seconds = opt.parse_seconds(budget)
    plugins = opt.plugin_paths(plugin, portfolio)
    named = named_devices(device)
    stages = choose_stages(stages, named.number)
    check_entries(entries, stages, plugins)
    step = StepOptions(training, microbatches, optimizer_states)
    asked = GraphOptions(
        graph, named, bandwidth, link_latency, fast_memory, activations, format, dim, step, drop_unused, kv_tokens
    )
    model, source, priced_by = asked.read(plugins, started=started, budget=seconds)
    settings = Settings(
        device=priced_by,
        budget=seconds,
        seed=seed,
        workers=workers,
        memory_bytes=opt.memory_bytes(memory),
        presolve=presolve,
        plugin_files=plugins,
    )
    with Interrupt().watch(from_begin=True) as interrupt:
        comparison = run_comparison(
            model,
            entries,
            stages,
            settings=settings,
            graph_input=source,
            interrupt=interrupt,
            watch=lambda title, k: live_display(title, k, seconds, quiet=json_output),
        )
        if json_output:
            typer.echo(json.dumps(comparison_document(comparison), indent=1))
        else:
            print_comparison(comparison)
    if comparison.contradicted:
        raise typer.Exit(1)
    if interrupt.happened:
        raise typer.Exit(130)
