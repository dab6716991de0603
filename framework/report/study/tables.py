"""A study's results on the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console, Group, RenderableType

from framework.report.console import open_console, styled
from framework.report.layout import FactTable
from framework.report.numbers import percent
from framework.report.study.columns import BRIEF, COLUMNS, NARROW, Column, columns_for, is_best
from framework.study.analysis.crosscheck import Contradiction
from framework.study.analysis.report import StudyReport
from framework.study.analysis.summary import Group as Runs
from framework.wording import counted

SHOWN = 20
"""Contradictions, faults and families that the terminal lists; the page lists more."""


def print_report(report: StudyReport, *, everything: bool = False) -> None:
    """Print contradictions first, then the summaries.

    Parameters
    ----------
    everything
        Whether to add the breakdowns by family and size.
    """
    console = open_console()
    console.print(report_view(report, console, everything=everything))


def report_view(report: StudyReport, console: Console, *, everything: bool = False) -> RenderableType:
    """Return what `print_report` prints."""
    return Group(*_parts(report, console, everything))


def progress_words(report: StudyReport) -> str:
    """Say how complete a study is."""
    data = report.data
    planned, done = sum(data.plan_counts.values()), int(data.planned.sum())
    words = [f"{data.name}: {done} of {counted(planned, 'run')}"]
    if failed := int((data.planned & ~data.done).sum()):
        words.append(f"{failed} failed")
    if report.overhead is not None:
        words.append(f"study overhead {percent(report.overhead)} of solving")
    if outside := data.count - done:
        words.append(f"{outside} more in the store that this plan does not ask for")
    if len(data.codes) > 1:
        words.append(f"{counted(len(data.codes), 'version')} of the code")
    return ", ".join(words)


def _parts(report: StudyReport, console: Console, everything: bool) -> Iterator[RenderableType]:
    if report.contradictions:
        yield contradiction_table(report.contradictions)
    yield styled(progress_words(report))
    sections: list[tuple[str, list[Runs], tuple[Column, ...]]] = [
        ("by number of stages", report.stages, COLUMNS),
        ("all runs", report.overall, COLUMNS),
    ]
    if everything:
        sections += [("by size", report.sizes, BRIEF), ("by family", report.families, BRIEF)]
    for title, groups, widest in sections:
        choices = [chosen for chosen in (COLUMNS, BRIEF, NARROW) if len(chosen) <= len(widest)]
        tables = [summary_table(title, groups, chosen) for chosen in choices]
        fitting = [table for table in tables if table.natural_width() <= console.width]
        yield fitting[0] if fitting else tables[-1]
    if report.faults:
        yield styled(f"{counted(report.fault_count, 'fault')}:", "yellow")
        for fault in report.faults[:SHOWN]:
            words = f"  {fault.graph}, k = {fault.stages}, {fault.entry}: {fault.member}: {fault.detail}"
            yield styled(words, "yellow")
        if report.fault_count > SHOWN:
            yield styled(f"  and {report.fault_count - SHOWN} more; the page lists them", "yellow")


def contradiction_table(contradictions: Sequence[Contradiction]) -> FactTable:
    """Return the table of bounds above incumbents."""
    count = counted(len(contradictions), "CONTRADICTION", "CONTRADICTIONS")
    title = f"{count}: dual bounds above verified partitions. Each is a bug."
    table = FactTable(title, title_style="bold red")
    table.texts("graph")
    table.numbers("k")
    table.texts("entry", "bound by", "soundness")
    table.numbers("bound", "partition", "above")
    table.texts("partition by")
    for case in contradictions[:SHOWN]:
        table.row(
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


def summary_table(title: str, groups: Sequence[Runs], chosen: tuple[Column, ...]) -> FactTable:
    """Return one table with a section a group and a row an entry."""
    columns = columns_for([row for group in groups for row in group.summaries], chosen)
    table = FactTable(title)
    table.texts("runs of", "entry")
    table.numbers(*(column.heading for column in columns))
    for group in groups:
        for i, row in enumerate(group.summaries):
            cells = [
                styled(column.text(row), "bold") if is_best(row, group.summaries, column) else column.text(row)
                for column in columns
            ]
            last = i == len(group.summaries) - 1
            table.row(group.title if i == 0 else "", row.label, *cells, end_section=last)
    return table
