"""`pipebound solve`: bound and partition one graph, for one or several numbers of stages."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from framework.cli import options as opt
from framework.output_files import is_special

if TYPE_CHECKING:
    from framework.portfolio.result import Result


def command(
    graph: opt.GraphArgument,
    stages: opt.StagesOption,
    budget: opt.BudgetOption = "30s",
    gap: Annotated[float, typer.Option("--gap", min=0.0, help="Stop at this relative gap.")] = 0.0,
    with_entry: opt.WithOption = None,
    portfolio: opt.PortfolioOption = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write the result to this JSON file.")] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Draw the stages and the gap over time (.svg, .png, .pdf).")
    ] = None,
    device: opt.DeviceOption = None,
    bandwidth: opt.BandwidthOption = None,
    fast_memory: opt.FastMemoryOption = None,
    format: opt.FormatOption = None,
    dim: opt.DimOption = None,
    training: opt.TrainingOption = False,
    drop_unused: opt.DropUnusedOption = False,
    seed: opt.SeedOption = 0,
    workers: opt.WorkersOption = None,
    memory: opt.MemoryOption = None,
    presolve: opt.PresolveOption = True,
    same_stage: opt.SameStageOption = None,
    no_cut: opt.NoCutOption = None,
    pin: opt.PinOption = None,
    memory_limit: opt.MemoryLimitOption = None,
    keep_fused: opt.KeepFusedOption = False,
    start: opt.StartOption = None,
    plugin: opt.PluginOption = None,
    nodes: opt.NodesOption = False,
    all_nodes: opt.AllNodesOption = False,
    json_output: opt.JsonOption = False,
) -> None:
    """Prove a dual bound, find a partition, and say how good it is.

    Ctrl-C, SIGTERM and SIGHUP end the run, keep what was proved so far (and write it with -o), and exit with 130.
    Where it is proved that no partition obeys the pins and the memory limit, it exits with 3.
    """
    started = time.monotonic()
    from framework.portfolio.reading import read_result
    from framework.portfolio.settings import Session, Settings
    from framework.portfolio.solve import Run, check_runs, solve
    from framework.report.live import live_display
    from framework.report.tables import print_results
    from framework.signals import Interrupt

    seconds, plugins = opt.parse_seconds(budget), opt.plugin_paths(plugin, portfolio)
    entry = opt.choose_entry(with_entry, portfolio, plugins)
    settings = Settings(
        entry=entry,
        budget=seconds,
        gap=gap,
        seed=seed,
        workers=workers,
        memory_bytes=opt.memory_bytes(memory),
        presolve=presolve,
        plugin_files=plugins,
    )
    opt.check_plot(plot)
    opt.check_outputs(
        [_numbered(file, k, len(stages)) for file in (output, plot) if file for k in stages], [graph, start]
    )
    model, source = opt.read_input(
        graph,
        format=format,
        dims=dim,
        training=training,
        drop_unused=drop_unused,
        plugin_files=plugins,
        started=started,
        budget=seconds,
    )
    chosen = opt.choose_device(model, graph, device=device, bandwidth=bandwidth, fast_memory=fast_memory)
    settings = replace(settings, device=chosen)
    constraints = opt.read_constraints(
        graph, same_stage=same_stage, no_cut=no_cut, keep_fused=keep_fused, pins=pin, memory_limit=memory_limit
    )
    first = None if start is None else read_result(start)
    priced = None
    if len(stages) > 1:
        runs = (Run(stages=k, entry=entry, constraints=constraints) for k in stages)
        priced = check_runs(model, runs, settings=settings, start=first)
    results = []
    with Interrupt().watch(from_begin=True) as interrupt:
        for i, k in enumerate(stages):
            with live_display(model.name, k, seconds, quiet=json_output) as display:
                session = Session(
                    # The first run pays for reading the graph; each has the whole budget otherwise.
                    started=started if i == 0 else time.monotonic(),
                    graph_input=source,
                    priced=priced,
                    on_change=display,
                    on_compile=display.on_compile,
                    interrupt=interrupt,
                )
                result = solve(model, k, settings=settings, constraints=constraints, start=first, session=session)
            results.append(result)
            _write(result, output, plot, len(stages))
            if interrupt.happened:
                break
        if json_output:
            _print_json(results, len(stages))
        else:
            print_results(results, names=model.node_names if nodes or all_nodes else (), everything=all_nodes)
    if code := _exit_code(results, interrupted=interrupt.happened):
        raise typer.Exit(code)


def _exit_code(results: Sequence[Result], *, interrupted: bool) -> int:
    if any(result.contradictions for result in results):
        return 1
    if interrupted:
        return 130
    return 3 if any(result.status == "infeasible" for result in results) else 0


def _print_json(results: Sequence[Result], runs: int) -> None:
    if runs == 1:
        typer.echo(results[0].to_json())
    else:
        typer.echo(json.dumps([result.as_dict() for result in results], indent=1))


def _write(result: Result, output: Path | None, plot: Path | None, runs: int) -> None:
    """Write the file and the figure that were asked for."""
    if output is not None:
        result.write(_numbered(output, result.stages, runs))
    if plot is not None:
        from framework.report.plots.result import draw_result

        draw_result(result, _numbered(plot, result.stages, runs))


def _numbered(path: Path, k: int, runs: int) -> Path:
    """Give each of several runs a file of its own: out.json becomes out-k8.json; a device takes all of them."""
    return path if runs == 1 or is_special(path) else path.with_name(f"{path.stem}-k{k}{path.suffix}")
