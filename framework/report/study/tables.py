"""A study's results on the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console, Group, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from framework.report.numbers import percent
from framework.report.study.columns import BRIEF, COLUMNS, NARROW, Column, columns_for, is_best
from framework.study.analysis.crosscheck import Contradiction
from framework.study.analysis.report import StudyReport
from framework.study.analysis.summary import Group as Runs

SHOWN = 20
"""Contradictions, faults and families that the terminal lists; the page lists more."""


def print_report(report: StudyReport, *, everything: bool = False) -> None:
    """Print contradictions first, then the summaries.

    Parameters
    ----------
    everything
        Whether to add the breakdowns by family and size.
    """
    console = Console()
    # In a pipe nobody has a width: tables as wide as they are beat tables folded at 80.
    if not console.is_terminal:
        console = Console(width=220)
    console.print(report_view(report, console, everything=everything))


def report_view(report: StudyReport, console: Console, *, everything: bool = False) -> RenderableType:
    """Return what `print_report` prints."""
    return Group(*_parts(report, console, everything))


def progress_words(report: StudyReport) -> str:
    """Say how complete a study is."""
    data = report.data
    planned, done = sum(data.plan_counts.values()), int(data.planned.sum())
    words = [f"{data.name}: {done} of {planned} runs"]
    if failed := int((data.planned & ~data.done).sum()):
        words.append(f"{failed} failed")
    if report.overhead is not None:
        words.append(f"study overhead {percent(report.overhead)} of solving")
    if outside := data.count - done:
        words.append(f"{outside} more in the store that this plan does not ask for")
    if len(data.codes) > 1:
        words.append(f"{len(data.codes)} versions of the code")
    return ", ".join(words)


def _parts(report: StudyReport, console: Console, everything: bool) -> Iterator[RenderableType]:
    if report.contradictions:
        yield contradiction_table(report.contradictions)
    yield Text(progress_words(report))
    sections: list[tuple[str, list[Runs], tuple[Column, ...]]] = [
        ("by number of stages", report.stages, COLUMNS),
        ("all runs", report.overall, COLUMNS),
    ]
    if everything:
        sections += [("by size", report.sizes, BRIEF), ("by family", report.families, BRIEF)]
    for title, groups, widest in sections:
        choices = [chosen for chosen in (COLUMNS, BRIEF, NARROW) if len(chosen) <= len(widest)]
        tables = [summary_table(title, groups, chosen) for chosen in choices]
        fitting = [table for table in tables if _natural_width(table, console) <= console.width]
        yield fitting[0] if fitting else tables[-1]
    if report.faults:
        yield Text(f"{report.fault_count} faults:", style="yellow")
        for fault in report.faults[:SHOWN]:
            words = f"  {fault.graph}, k = {fault.stages}, {fault.entry}: {fault.member}: {fault.detail}"
            yield Text(words, style="yellow")
        if report.fault_count > SHOWN:
            yield Text(f"  and {report.fault_count - SHOWN} more; the page lists them", style="yellow")


def _natural_width(table: Table, console: Console) -> int:
    """Return the width a table takes when nothing is folded."""
    return Measurement.get(console, console.options.update(width=10_000), table).maximum


def contradiction_table(contradictions: Sequence[Contradiction]) -> Table:
    """Return the table of bounds above incumbents."""
    title = f"{len(contradictions)} CONTRADICTIONS: dual bounds above verified partitions. Each is a bug."
    table = Table(title=title, title_justify="left", title_style="bold red", border_style="red")
    for heading in ("graph", "k", "entry", "bound by", "soundness", "bound", "partition", "above", "partition by"):
        table.add_column(heading)
    for case in contradictions[:SHOWN]:
        table.add_row(
            case.graph,
            str(case.stages),
            case.entry,
            case.source,
            case.soundness,
            str(case.bound),
            str(case.incumbent),
            percent(case.excess),
            case.witness,
        )
    return table


def summary_table(title: str, groups: Sequence[Runs], chosen: tuple[Column, ...]) -> Table:
    """Return one table with a section a group and a row an entry."""
    columns = columns_for([row for group in groups for row in group.summaries], chosen)
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("runs of", no_wrap=True)
    table.add_column("entry", overflow="fold")
    for column in columns:
        table.add_column(column.heading, justify="right", no_wrap=True)
    for group in groups:
        for i, row in enumerate(group.summaries):
            cells = [
                f"[bold]{column.text(row)}[/]" if is_best(row, group.summaries, column) else column.text(row)
                for column in columns
            ]
            last = i == len(group.summaries) - 1
            table.add_row(group.title if i == 0 else "", row.label.replace("[", "\\["), *cells, end_section=last)
    return table
