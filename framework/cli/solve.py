"""`pipebound solve`: bound and partition one graph or several, for one or several numbers of stages."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import typer

from framework.cli import options as opt
from framework.cli.graph_options import GraphOptions, StepOptions, choose_stages, named_devices
from framework.errors import UserError
from framework.output_files import is_special
from framework.report.escape import terminal

if TYPE_CHECKING:
    from framework.layouts.explain import Explanation
    from framework.model.graph import ModelGraph
    from framework.portfolio.constraints import Constraints
    from framework.portfolio.reading import HoldsPartition
    from framework.portfolio.records import GraphInput
    from framework.portfolio.result import Result
    from framework.portfolio.settings import Settings
    from framework.signals import Interrupt


def command(
    graphs: opt.GraphsArgument,
    stages: opt.StagesOption = None,
    budget: opt.BudgetOption = "30s",
    gap: opt.GapOption = 0.0,
    with_entry: opt.WithOption = None,
    portfolio: opt.PortfolioOption = None,
    output: opt.ResultOption = None,
    plot: opt.ResultPlotOption = None,
    proof: opt.ProofOption = None,
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
    same_stage: opt.SameStageOption = None,
    whole_modules: opt.WholeModulesOption = None,
    no_cut: opt.NoCutOption = None,
    pin: opt.PinOption = None,
    memory_limit: opt.MemoryLimitOption = None,
    keep_fused: opt.KeepFusedOption = False,
    start: opt.StartOption = None,
    any_order: opt.AnyOrderOption = False,
    plugin: opt.PluginOption = None,
    nodes: opt.NodesOption = False,
    all_nodes: opt.AllNodesOption = False,
    explain: opt.ExplainOption = False,
    json_output: opt.JsonOption = False,
) -> None:
    """Prove a dual bound, find a partition, and say how good it is.

    Several graphs are solved one after the other, with a line for each run; --json prints a document a line, -o writes
    to a folder. One that cannot be read or solved is named, and the exit code is then 2.

    Ctrl-C, SIGTERM and SIGHUP end the run, keep what was proved so far (and write it with -o), and exit with 130.
    Where it is proved that no partition obeys the pins and the memory limit, it exits with 3.
    """
    started = time.monotonic()
    from framework.portfolio.settings import Settings

    plugins = opt.plugin_paths(plugin, portfolio)
    settings = Settings(
        entry=opt.choose_entry(with_entry, portfolio, plugins),
        budget=opt.parse_seconds(budget),
        gap=gap,
        seed=seed,
        workers=workers,
        memory_bytes=opt.memory_bytes(memory),
        presolve=presolve,
        plugin_files=plugins,
    )
    named = named_devices(device)
    stages = choose_stages(stages, named.number)
    opt.check_plot(plot)
    first, step = graphs[0], StepOptions(training, microbatches, optimizer_states)
    asked = _Asked(
        graph=GraphOptions(
            first, named, bandwidth, link_latency, fast_memory, activations, format, dim, step, drop_unused, kv_tokens
        ),
        constraints=partial(
            opt.read_constraints,
            same_stage=same_stage,
            whole_modules=whole_modules,
            no_cut=no_cut,
            keep_fused=keep_fused,
            pins=pin,
            memory_limit=memory_limit,
        ),
        settings=settings,
    )
    if len(graphs) > 1:
        single = {"--start": start, "--plot": plot, "--proof": proof, "--explain": explain, "--any-order": any_order}
        _solve_several(asked, graphs, stages, started, output, single, json_output=json_output)
        return
    files = [_numbered(file, k, len(stages)) for file in (output, plot, proof) if file for k in stages]
    opt.check_outputs(files, [first, start])
    task = asked.task(first, stages, started, start)
    if any_order:
        _refuse({"--explain": explain, "--proof": proof}, "one order of the devices", "drop --any-order")
        _solve_any_order(task, started, json_output=json_output, output=output, plot=plot)
        return
    shown = {"nodes": nodes or all_nodes, "everything": all_nodes}
    _solve_one(task, stages, started, _Files(output, plot, proof), shown, explain=explain, json_output=json_output)


def _solve_one(
    task: _Task,
    stages: Sequence[int],
    started: float,
    files: _Files,
    shown: Mapping[str, bool],
    *,
    explain: bool,
    json_output: bool,
) -> None:
    """Solve one graph for each number of stages, and print it as `shown` says."""
    from framework.signals import Interrupt

    with Interrupt().watch(from_begin=True) as interrupt:
        results = list(_solve_and_write(task, stages, started, interrupt, files, json_output))
        explained = [_explain(task, result, interrupt, quiet=json_output) for result in results if explain]
        if json_output:
            _print_json(results, len(stages), explained)
        else:
            _print(results, explained, task.model, **shown)
    if code := exit_code(results, interrupted=interrupt.happened):
        raise typer.Exit(code)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What the options say of every graph."""

    graph: GraphOptions
    constraints: Callable[[str], Constraints]
    settings: Settings

    def task(self, path: str, stages: Sequence[int], started: float, start: Path | None = None) -> _Task:
        """Read a graph, what is fixed of its partitions, and what its runs start from."""
        settings = self.settings
        model, source, priced_by = self.graph._replace(path=path).read(
            settings.plugin_files, started=started, budget=settings.budget
        )
        return _Task(
            model=model,
            source=source,
            settings=replace(settings, device=priced_by),
            constraints=self.constraints(path),
            starts={} if start is None else _starts(start, model, stages),
        )


def _refuse(options: Mapping[str, object], what_for: str, hint: str) -> None:
    """Refuse the first of some options that is given."""
    for option, given in options.items():
        if given:
            raise UserError(f"this is for {what_for}", where=option, hint=hint)


def _solve_several(
    asked: _Asked,
    graphs: Sequence[str],
    stages: Sequence[int],
    started: float,
    folder: Path | None,
    single: Mapping[str, object],
    *,
    json_output: bool,
) -> None:
    """Solve one graph after the other; `single` are options that are for one graph."""
    from framework.cli.batch import Batch
    from framework.portfolio.solve import check_entries

    _refuse(single, "one graph", "solve one graph at a time")
    check_entries([asked.settings.entry], stages, asked.settings.plugin_files)

    def solve_one(graph: str, began: float, interrupt: Interrupt) -> Iterator[Result]:
        return _solve_each(asked.task(graph, stages, began), stages, began, interrupt, quiet=json_output)

    batch = Batch(graphs=graphs, stages=stages, solve=solve_one, folder=folder, json_output=json_output)
    if code := batch.run(started):
        raise typer.Exit(code)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """What is solved for each number of stages."""

    model: ModelGraph
    source: GraphInput
    settings: Settings
    constraints: Constraints
    starts: Mapping[int, HoldsPartition]


class _Files(NamedTuple):
    """The files that were asked for, as they were named."""

    output: Path | None
    plot: Path | None
    proof: Path | None


def _starts(start: Path, model: ModelGraph, stages: Sequence[int]) -> Mapping[int, HoldsPartition]:
    """Return what the runs for each number of stages start from: one result, or the records of the graph."""
    from framework.portfolio.reading import read_result
    from framework.records.start import TESTBED_RECORD, recorded_partition

    if str(start) == TESTBED_RECORD:
        return {k: recorded_partition(model, k) for k in stages}
    return dict.fromkeys(stages, read_result(start))


def _solve_and_write(
    task: _Task, stages: Sequence[int], started: float, interrupt: Interrupt, files: _Files, quiet: bool
) -> Iterator[Result]:
    """Yield the result for each number of stages, once its files are written."""
    for result in _solve_each(task, stages, started, interrupt, quiet=quiet):
        _write(result, files.output, files.plot, len(stages))
        if files.proof is not None:
            _write_proof(result, task.model, _numbered(files.proof, result.stages, len(stages)), quiet=quiet)
        yield result


def _solve_each(
    task: _Task, stages: Sequence[int], started: float, interrupt: Interrupt, *, quiet: bool
) -> Iterator[Result]:
    """Yield the result for each number of stages, until a signal ends the runs; `started` is when the command began."""
    from framework.portfolio.settings import Session
    from framework.portfolio.solve import Run, check_runs, solve
    from framework.report.live import live_display

    settings, constraints, priced = task.settings, task.constraints, None
    if len(stages) > 1:
        runs = (Run(stages=k, entry=settings.entry, constraints=constraints, start=task.starts.get(k)) for k in stages)
        priced = check_runs(task.model, runs, settings=settings)
    for i, k in enumerate(stages):
        with live_display(task.model.name, k, settings.budget, quiet=quiet) as display:
            session = Session(
                # The first run pays for reading the graph; each has the whole budget otherwise.
                started=started if i == 0 else time.monotonic(),
                graph_input=task.source,
                priced=priced,
                on_change=display,
                on_compile=display.on_compile,
                interrupt=interrupt,
            )
            start = task.starts.get(k)
            result = solve(task.model, k, settings=settings, constraints=constraints, start=start, session=session)
        yield result
        if interrupt.happened:
            break


def _solve_any_order(task: _Task, started: float, *, json_output: bool, output: Path | None, plot: Path | None) -> None:
    """Solve a graph on its devices in every order, within one budget."""
    from framework.deploy.tuning.arrangements import orders_of, search
    from framework.model.device_chain import DeviceChain
    from framework.portfolio.settings import Session
    from framework.report.deployment import arrangements_document, print_arrangements
    from framework.report.live import live_display
    from framework.report.tables import print_results
    from framework.signals import Interrupt

    chain, settings = task.settings.device, task.settings
    if not isinstance(chain, DeviceChain):
        raise UserError("all stages run on the same device", where="--any-order", hint="name different --devices")
    if task.starts:
        raise UserError("a partition to start from is of one order", where="--any-order", hint="drop --start")
    with Interrupt().watch(from_begin=True) as interrupt:
        found = search(
            task.model,
            orders_of(chain.devices),
            settings=settings,
            constraints=task.constraints,
            session=Session(started=started, graph_input=task.source, interrupt=interrupt),
            watch=lambda title, k: live_display(title, k, settings.budget, quiet=json_output),
        )
    results = [] if found.best is None else [found.best]
    for result in results:
        _write(result, output, plot, 1)
    if json_output:
        typer.echo(json.dumps(arrangements_document(found), indent=1))
    else:
        print_arrangements(found)
        if results:
            print_results(results)
    if found.contradicted or interrupt.happened:
        raise typer.Exit(1 if found.contradicted else 130)
    if not results:
        raise typer.Exit(3)


def exit_code(results: Sequence[Result], *, interrupted: bool) -> int:
    """Return the exit code of runs that have ended."""
    if any(result.contradictions for result in results):
        return 1
    if interrupted:
        return 130
    return 3 if any(result.status == "infeasible" for result in results) else 0


def _explain(task: _Task, result: Result, interrupt: Interrupt, *, quiet: bool) -> Explanation | None:
    """Explain a result, and solve the problems next to it, until a signal ends that; None without a partition."""
    if result.stage_of is None:
        return None
    from framework.layouts.explain import explain
    from framework.layouts.what_if import Change, what_if
    from framework.portfolio.settings import Session
    from framework.portfolio.solve import solve
    from framework.report.live import live_display

    def run(change: Change) -> Result:
        title = f"{task.model.name}, {change.name}"
        with live_display(title, change.stages, task.settings.budget, quiet=quiet) as display:
            session = Session(on_change=display, on_compile=display.on_compile, interrupt=interrupt)
            return solve(
                change.graph,
                change.stages,
                settings=change.settings,
                constraints=change.constraints,
                start=change.start,
                session=session,
            )

    explanation = explain(result, task.model)
    rows = what_if(result, task.model, task.settings, run, lambda: interrupt.happened)
    return replace(explanation, what_if=rows)


def _print(
    results: Sequence[Result],
    explained: Sequence[Explanation | None],
    model: ModelGraph,
    *,
    nodes: bool,
    everything: bool,
) -> None:
    from framework.report.tables import print_results

    print_results(results, names=model.node_names if nodes else (), everything=everything)
    for explanation in explained:
        if explanation is not None:
            from framework.report.splits.explanation import print_explanation

            print_explanation(explanation)


def _print_json(results: Sequence[Result], runs: int, explained: Sequence[Explanation | None]) -> None:
    if explained:
        pairs = [
            {"result": result.as_dict(), "explanation": None if explanation is None else explanation.as_dict()}
            for result, explanation in zip(results, explained, strict=True)
        ]
        typer.echo(json.dumps(pairs[0] if runs == 1 else pairs, indent=1))
    elif runs == 1:
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


def _write_proof(result: Result, model: ModelGraph, path: Path, *, quiet: bool) -> None:
    """Write the proof log of a result; say so where it proves less than the result claims."""
    from framework.portfolio.logs.write import proof_of
    from framework.proof.log import write_log

    log = proof_of(result, model)
    write_log(log, path)
    if log.bound < (result.dual_ticks or 0) and not quiet:
        less = f"the log proves {log.bound} ticks, less than the {result.dual_ticks} of the result"
        typer.echo(terminal(f"{path}: {less}, which no rule of logs covers yet"), err=True)


def _numbered(path: Path, k: int, runs: int) -> Path:
    """Give each of several runs a file of its own: out.json becomes out-k8.json; a device takes all of them."""
    return path if runs == 1 or is_special(path) else path.with_name(f"{path.stem}-k{k}{path.suffix}")
