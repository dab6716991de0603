"""`pipebound study`: run, watch, report and export comparative studies."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from framework.cli import options as opt
from framework.errors import UserError
from framework.wording import counted

if TYPE_CHECKING:
    from framework.study.executor import Executor
    from framework.study.spec import StudySpec

app = typer.Typer(no_args_is_help=True, help="Comparative studies: many graphs, entries and numbers of stages.")


class ExecutorName(StrEnum):
    """Who executes the runs."""

    LOCAL = "local"
    DASK = "dask"


class TableName(StrEnum):
    """What can be exported."""

    RUNS = "runs"
    BOUNDS = "bounds"
    TRAJECTORY = "trajectory"
    FAULTS = "faults"


SpecArgument = Annotated[Path, typer.Argument(metavar="SPEC", help="The study's TOML file.", show_default=False)]


@app.command()
def run(
    spec: SpecArgument,
    executor: Annotated[ExecutorName, typer.Option("--executor", help="This machine, or a dask cluster.")] = (
        ExecutorName.LOCAL
    ),
    jobs: Annotated[
        int | None, typer.Option("--jobs", min=1, help="Runs at a time on this machine; default: as many as fit.")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option("--scheduler", help="Address of a dask scheduler, tcp://host:port.")
    ] = None,
    slurm: Annotated[
        bool, typer.Option("--slurm", help="Start dask workers with Slurm, as the spec says under slurm.")
    ] = False,
    any_code: Annotated[
        bool, typer.Option("--any-code", help="Runs made with another version of the code count as done.")
    ] = False,
    subsets: Annotated[
        list[str] | None, typer.Option("--subset", metavar="NAME", help="Only these of the spec's subsets; repeatable.")
    ] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Do failed runs again.")] = False,
    warm: Annotated[bool, typer.Option("--warm/--no-warm", help="Compile all kernels first.")] = True,
    proofs: Annotated[
        Path | None, typer.Option("--proofs", metavar="DIR", help="Write the proof log of each run into this folder.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the spec, say what would run, and stop.")] = False,
    json_output: opt.JsonOption = False,
) -> None:
    """Run what is not yet in the store; start it again after any interruption.

    Ctrl-C, SIGTERM and SIGHUP end it at once with exit code 130; what had finished is saved, what was under way starts
    anew next time.
    """
    from framework.report.console import open_console, styled
    from framework.report.study.progress import progress_line, study_progress
    from framework.signals import Interrupt
    from framework.study.plan import make_plan
    from framework.study.spec import only_subsets, read_spec
    from framework.study.study import open_study, run_study

    if (scheduler or slurm or executor is ExecutorName.DASK) and jobs:
        raise UserError("--jobs is for this machine", hint="the workers of a cluster say themselves how many runs fit")
    if executor is ExecutorName.DASK and not (scheduler or slurm):
        raise UserError("--executor dask needs a cluster", hint="give --scheduler tcp://host:port, or --slurm")
    parsed = only_subsets(read_spec(spec), subsets) if subsets else read_spec(spec)
    console = open_console(stderr=True)
    status = console.status(styled("planning"))
    if dry_run:
        plan = make_plan(parsed)
        budget = sum(planned.budget for planned in plan.runs)
        facts = {"runs": len(plan.runs), "left_out": plan.left_out, "core_seconds": budget * parsed.run.workers}
        typer.echo(json.dumps(facts) if json_output else _dry_words(facts))
        return
    if proofs is not None:
        try:
            proofs.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"cannot make the folder: {error.strerror}", where=str(proofs)) from error
    with Interrupt().watch(from_begin=True) as interrupt:
        status.start()
        try:
            study_context = open_study(
                parsed,
                any_code=any_code,
                retry_failed=retry_failed,
                say=lambda words: status.update(styled(f"reading {words}")),
            )
            with study_context as study:
                status.stop()
                if not study.open_runs:
                    console.print(f"{parsed.name}: nothing is left of {counted(len(study.plan.runs), 'run')}.")
                    return
                chosen = _executor(parsed, jobs=jobs, scheduler=scheduler, slurm=slurm, warm=warm)
                try:
                    count = f"{len(study.open_runs)} of {counted(len(study.plan.runs), 'run')}"
                    console.print(f"{parsed.name}: {count} to do, {chosen.description}")
                    interrupt.begin()
                    with study_progress(parsed.name, quiet=json_output) as on_change:
                        progress = run_study(
                            parsed,
                            study,
                            chosen,
                            on_change=on_change,
                            interrupted=lambda: interrupt.happened,
                            proofs=proofs,
                        )
                finally:
                    chosen.close()
        finally:
            status.stop()
    if json_output:
        typer.echo(json.dumps(progress.as_dict(), indent=1))
    else:
        console.print(f"{parsed.name}: {progress_line(progress)}; results in {parsed.store}")
    if interrupt.happened:
        typer.echo("interrupted; the same command goes on from here", err=True)
        raise typer.Exit(130)


def _dry_words(facts: dict[str, float]) -> str:
    hours = facts["core_seconds"] / 3600
    return (
        f"{counted(int(facts['runs']), 'run')}, at most {hours:.2f} core hours; "
        f"{counted(int(facts['left_out']), 'pair')} of graph and stages left out for more stages than nodes"
    )


def _executor(spec: StudySpec, *, jobs: int | None, scheduler: str | None, slurm: bool, warm: bool) -> Executor:
    if scheduler or slurm:
        from framework.study.dask_executor import DaskExecutor

        return DaskExecutor(spec.run.workers, scheduler=scheduler, slurm=spec.slurm if slurm else None, warm=warm)
    from framework.study.local import LocalExecutor

    return LocalExecutor(spec.run.workers, jobs, warm=warm)


StoreArgument = Annotated[
    Path, typer.Argument(metavar="SPEC_OR_STORE", help="The study's TOML file, or its SQLite file.", show_default=False)
]


@app.command()
def status(store: StoreArgument, json_output: opt.JsonOption = False) -> None:
    """Say how far a study is, whether it runs now, and what failed."""
    from framework.report.study.status import print_status, study_status

    found = study_status(_store_of(store))
    if json_output:
        typer.echo(json.dumps(found.as_dict(), indent=1))
    else:
        print_status(found)


@app.command()
def report(
    store: StoreArgument,
    html: Annotated[Path | None, typer.Option("--html", help="Write a self-contained page.")] = None,
    figures: Annotated[Path | None, typer.Option("--figures", help="Write the figures into this folder.")] = None,
    formats: Annotated[str, typer.Option("--formats", help="Of the figures: svg, pdf, png.")] = "svg,pdf",
    latex: Annotated[Path | None, typer.Option("--latex", help="Write the table by stages (booktabs).")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Add the breakdowns by size and family.")] = False,
    subset: Annotated[
        str | None, typer.Option("--subset", metavar="NAME", help="Report on this subset's runs only.")
    ] = None,
    live: Annotated[bool, typer.Option("--live", help="Follow a running study.")] = False,
    every: Annotated[float, typer.Option("--every", min=0.2, help="Seconds between two looks of --live.")] = 2.0,
    json_output: opt.JsonOption = False,
) -> None:
    """Compare the entries of a study; contradictions come first, and make the exit code 1."""
    from framework.report.study.latex import write_latex
    from framework.report.study.summaries import report_document
    from framework.report.study.tables import print_report
    from framework.study.analysis.report import make_report

    path = _store_of(store)
    opt.check_outputs([html, latex], [store, path])
    if live:
        from framework.report.study.following import follow

        found = follow(path, every=every, everything=everything, subset=subset)
    else:
        found = make_report(path, subset)
        if json_output:
            typer.echo(json.dumps(report_document(found), indent=1))
        else:
            print_report(found, everything=everything)
    if html is not None:
        from framework.report.study.page import write_page

        write_page(found, html)
    if figures is not None:
        from framework.report.study.figures import write_figures

        write_figures(found, figures, [name.strip() for name in formats.split(",")])
    if latex is not None:
        write_latex(found, latex)
    if found.contradictions:
        raise typer.Exit(1)


@app.command()
def export(
    store: StoreArgument,
    output: Annotated[Path | None, typer.Argument(help="A .csv or .parquet file.", show_default=False)] = None,
    table: Annotated[TableName, typer.Option("--table", help="Which table.")] = TableName.RUNS,
    results: Annotated[
        Path | None, typer.Option("--results", help="Write every run's result file into this folder, for `verify`.")
    ] = None,
) -> None:
    """Write the runs of a study as CSV or Parquet, or as result files with partitions and certificates."""
    from framework.report.console import open_console
    from framework.report.study.export import export_results, export_table

    if output is None and results is None:
        raise UserError("nothing to write", hint="give a .csv or .parquet file, or --results FOLDER")
    path = _store_of(store)
    opt.check_outputs([output], [store, path])
    say = open_console(stderr=True).print
    if output is not None:
        say(f"{counted(export_table(path, table.value, output), 'row')} in {output}")
    if results is not None:
        say(f"{counted(export_results(path, results), 'result')} in {results}")


def _store_of(path: Path) -> Path:
    """Return the store that a spec names, or the store itself."""
    if path.suffix != ".toml":
        return path
    from framework.study.spec import read_spec

    return read_spec(path).store
