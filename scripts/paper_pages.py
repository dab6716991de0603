"""The pages on the paper's experiment: one of a subset of graphs, and one of all graphs of the testbed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache

import numpy as np

from framework.model.problem import Problem
from framework.records.pair import STAGES
from framework.records.posing import pose
from framework.report.numbers import UNKNOWN, ratio
from framework.report.records.breakdown import by_area, by_size, by_stages, by_width, standing_table
from framework.report.records.hardest import hardest_table
from framework.report.records.rows import RecordRow, Standing
from framework.report.study.columns import factor, share
from framework.report.study.figures import figure_names
from framework.report.study.markdown import markdown_table, meanings
from framework.structure.primal.initial_interval import simple_bound
from framework.study.analysis.data import StudyData
from framework.study.analysis.profiles import gap_profiles, time_profiles
from framework.study.analysis.report import StudyReport
from framework.study.analysis.summary import Group, Summary, closing_factor, geometric_mean, ratios, summarise
from framework.wording import counted

PUBLISHED = {16: (0.4598, 0.9452, 9.855)}
"""Of the paper's abstract, at k = 16: simple bound / best, best bound / best, closing factor."""
GRAPHS = {
    "core": "the 60 real networks of the testbed's subset `core`",
    "regal-like": "64 random graphs of four families, 50 to 200 nodes, in the manner of REGAL (arXiv 1905.02494)",
    "full": "all real networks of the public testbed",
}
OURS, THEIRS, LONGER = "default", "paper", "paper, 300 s"
"""Labels of entries in studies/paper.toml and studies/paper-full.toml."""


def paper_page(report: StudyReport, figures: str, missing: list[str]) -> str:
    """Return the page on one collection in Markdown."""
    data = report.data
    (collection,) = data.collections
    planned, done = sum(data.plan_counts.values()), int(data.planned.sum())
    parts = [
        f"# The paper's experiment on public graphs: {collection}",
        *introduction("scripts/reproduce_paper", collection),
        *contradictions(report),
    ]
    if done < planned:
        parts.append(f"**Unfinished: {done} of {counted(planned, 'run')}.**")
    if missing:
        parts.append(f"**Not registered in this version, and left out: {', '.join(missing)}.**")
    groups = summarise(data, *stages_of(data))
    parts += ["## Beside the published figures", comparison([(collection, groups, THEIRS)])]
    parts += ["## All entries", markdown_table(groups)]
    parts += ["## Figures"]
    parts += [f"![{caption}]({figures}/{name}.svg)\n\n{caption}." for name, caption in figure_names(report).items()]
    parts += ["## What the columns mean", meanings(), "## Conditions", conditions(report)]
    return "\n\n".join(parts) + "\n"


def introduction(command: str, collection: str) -> list[str]:
    """Return the paragraphs that each page begins with."""
    return [
        "Terms are defined in the [glossary](glossary.md).",
        f"Made by `{command}`; do not edit.",
        'Archer, Fahrbach, Liu and Prabhu, "Practical Performance Guarantees for Pipelined DNN Inference" (ICML 2024, '
        "arXiv 2311.03703), bound the bottleneck of 369 graphs that are private. Nobody outside can repeat their "
        f"numbers: the figures below are from **other graphs**, {GRAPHS.get(collection, collection)}, and from other "
        "hardware. What can be compared is how far a bound lies below the best partition, and how much smaller that "
        "gap is than the simple bound's; the reference device is chosen so that the simple bound is about as weak on "
        "real graphs here as there.",
    ]


def contradictions(report: StudyReport) -> list[str]:
    """Return a section on bounds above partitions; nothing if there are none."""
    cases = [
        f"- {case.graph}, k = {case.stages}: {case.entry} ({case.source}, {case.soundness}) claims {case.bound}, "
        f"above {case.incumbent} of {case.witness}"
        for case in report.contradictions
    ]
    if not cases:
        return []
    heading = f"## {counted(len(cases), 'CONTRADICTION', 'CONTRADICTIONS')}"
    return [heading, "Believe nothing below.", "\n".join(cases)]


def full_page(report: StudyReport | None, records: Sequence[RecordRow], figures: str) -> tuple[str, StudyReport | None]:
    """Return the page on all graphs in Markdown, and the report that its figures show.

    Parameters
    ----------
    report
        Of the study; None before its first run.
    records
        The records of the testbed, whose bounds and partitions stand for the runs of `default`; none: those of the
        study do.
    """
    parts = ["# The paper's experiment on all graphs", *introduction("scripts/reproduce_paper --full", "full")]
    parts += [] if report is None else contradictions(report)
    parts += ["## What has been run", what_ran(report, records)]
    if records:
        rows, ours = list(records), record_groups(records)
    elif report is None:
        return "\n\n".join(parts) + "\n", None
    else:
        rows, data = study_rows(report.data), only_common(report.data, [OURS])
        ours = summarise(data, *stages_of(data))
    blocks = [(f"all {len({row.graph for row in rows if row.state != 'missing'})} graphs", ours, THEIRS)]
    shown = None
    if report is not None:
        sample = only_common(report.data, [label for label in report.data.plan_counts if label != LONGER])
        longer = only_common(report.data, [label for label in (OURS, THEIRS, LONGER) if label in report.data.labels])
        theirs = summarise(sample, *stages_of(sample))
        blocks.append((f"{graph_count(sample)} of them", theirs, THEIRS))
        if LONGER in report.data.labels:
            groups = summarise(longer, *stages_of(longer))
            blocks.append((f"{graph_count(longer)} of them, `paper` with 300 s", groups, LONGER))
        shown = of_data(report, sample)
    parts += ["## Beside the published figures", comparison(blocks)]
    if shown is not None and shown.data.planned.any():
        parts += [f"## All entries on {counted(graph_count(shown.data), 'graph')}", markdown_table(theirs)]
        names = figure_names(shown).items()
        parts += [f"![{caption}]({figures}/{name}.svg)\n\n{caption}." for name, caption in names]
        parts += ["### What the columns mean", meanings()]
    parts += ["## `default` by task area, width and size", standing_table("task area", by_area(rows))]
    parts += ["The width is the largest number of nodes no two of which depend on each other."]
    parts += [standing_table("width", by_width(rows)), standing_table("nodes", by_size(rows))]
    parts += ["## The hardest pairs", hardest_table(rows)]
    if report is not None:
        parts += ["## Conditions of the study", conditions(report)]
    return "\n\n".join(parts) + "\n", shown


def what_ran(report: StudyReport | None, records: Sequence[RecordRow]) -> str:
    """Say what the figures rest on, and what is missing."""
    lines = []
    if records:
        standing, longest = Standing.of(records), [row.longest for row in records if row.longest]
        pairs = f"{standing.pairs - standing.missing:,} of {standing.pairs:,} pairs, from the [records](records.md)"
        lines.append(f"- `default`: {pairs}. Runs were on one core, a few of a member of `default` alone.")
        if longest:
            lines[-1] += f" The longest run of a pair took {np.median(longest):.3g} s in the median, at most"
            lines[-1] += f" {max(longest):.4g} s."
    if report is None:
        lines.append("- The study itself has not been started: `scripts/reproduce_paper --full` runs it.")
    else:
        data = report.data
        for i, label in enumerate(data.labels):
            done, planned = int((data.planned & (data.label == i)).sum()), data.plan_counts.get(label, 0)
            lines.append(f"- `{label}`: {done:,} of {counted(planned, 'run')} of the study.")
    return "\n".join(lines)


def record_groups(records: Sequence[RecordRow]) -> list[Group]:
    """Return the records as summaries of `default`, by number of stages."""
    groups = []
    for title, rows in by_stages(records):
        known = [row for row in rows if row.ratio is not None]
        if not known:
            continue
        simple = [simple_ticks(row.graph)[row.stages] / (row.bottleneck_ticks or 1) for row in known]
        found, start = Standing.of(known), geometric_mean(np.minimum(np.array(simple), 1.0))
        summary = Summary(
            label=OURS,
            runs=len(known),
            failed=0,
            ratio=found.mean_ratio,
            simple_ratio=start,
            own=None,
            closing=closing_factor(start, found.mean_ratio),
            quality=None,
            proven=found.nearly / len(known),
            median_seconds=None,
            mean_seconds=None,
            largest_seconds=None,
            wins=0,
            losses=0,
        )
        groups.append(Group(title=f"k = {title}", summaries=(summary,)))
    return groups


@cache
def simple_ticks(graph: str) -> dict[int, int]:
    """Return the simple bounds of a graph of the testbed on the device of the records, in ticks."""
    instance = pose(graph).instance
    return {k: simple_bound(Problem(instance=instance, stages=k)) for k in STAGES}


def study_rows(data: StudyData) -> list[RecordRow]:
    """Return the runs of `default` in the form of records: own bound, and the best partition of any run."""
    rows = []
    quotient = ratios(data.dual, data.best)
    for i in np.flatnonzero(data.answered & (data.label == data.labels.index(OURS))).tolist():
        graph, found = data.graphs[data.graph[i]], float(quotient[i])
        known = not np.isnan(found)
        rows.append(
            RecordRow(
                graph=graph.name,
                family=graph.family,
                task=graph.task,
                nodes=graph.nodes,
                stages=int(data.stages[i]),
                state="optimal" if known and found >= 1.0 else "open",
                ratio=found if known else None,
                bottleneck_ticks=int(data.best[i]) if known else None,
            )
        )
    return rows


def only_common(data: StudyData, labels: Sequence[str]) -> StudyData:
    """Return the data with a plan of these entries only, on the pairs that all of them have run on."""
    of_label = [data.answered & (data.label == data.labels.index(label)) for label in labels]
    pairs = [set(data.pair[chosen].tolist()) for chosen in of_label]
    common = np.isin(data.pair, list(set.intersection(*pairs)))
    return replace(data, planned=np.logical_or.reduce(of_label) & common)


def graph_count(data: StudyData) -> int:
    """Return how many graphs the plan has runs on."""
    return len(np.unique(data.graph[data.planned]))


def of_data(report: StudyReport, data: StudyData) -> StudyReport:
    """Return the report with the figures of a part of its runs, without those over time."""
    stages = summarise(data, *stages_of(data))
    profiles = gap_profiles(data), time_profiles(data)
    return replace(report, data=data, stages=stages, gap_profiles=profiles[0], time_profiles=profiles[1], curves=[])


def stages_of(data: StudyData) -> tuple[np.ndarray, list[str]]:
    """Group the runs of the plan by number of stages, whatever their device."""
    stages = np.unique(data.stages[data.planned])
    return np.where(data.planned, np.searchsorted(stages, data.stages), -1), [f"k = {k}" for k in stages]


def comparison(blocks: Iterable[tuple[str, Sequence[Group], str]]) -> str:
    """Return ours beside theirs: simple bound, the paper's methods as built here, and this project's portfolio.

    Parameters
    ----------
    blocks
        What the graphs are called, their groups by number of stages, and the label of the column `paper`.
    """
    lines = [
        "| graphs | k | simple | `paper` | closing | `default` | closing | `default` proven |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for k, (simple, best, closing) in PUBLISHED.items():
        lines.append(f"| *published: 369 private graphs* | {k} | {simple} | {best} | {closing} | | | |")
    for title, groups, theirs in blocks:
        for group in groups:
            rows = {row.label: row for row in group.summaries}
            default = rows.get(OURS)
            first = group.summaries[0]
            cells = [*cells_of(rows.get(theirs)), *cells_of(default), share(default.proven) if default else UNKNOWN]
            number = group.title.removeprefix("k = ")
            lines.append(f"| {title} | {number} | {ratio(first.simple_ratio)} | {' | '.join(cells)} |")
    note = (
        "The published row is the paper's abstract: the simple bound and its best bounds as geometric means of lower "
        "bound / best partition at k = 16, and the factor by which the gap closed. The column `paper` holds the "
        "paper's methods as this project built them, under this study's budget, which is far below the paper's."
    )
    return "\n".join(lines) + "\n\n" + note


def cells_of(row: Summary | None) -> list[str]:
    return [UNKNOWN, UNKNOWN] if row is None else [ratio(row.ratio), factor(row.closing)]


def conditions(report: StudyReport) -> str:
    data = report.data
    chosen = data.planned
    pairs = len(np.unique(np.stack((data.graph[chosen], data.stages[chosen])), axis=1).T)
    graphs, stages = len(np.unique(data.graph[chosen])), len(np.unique(data.stages[chosen]))
    seconds = sorted(set(data.budget[data.planned].tolist()))
    lines = [
        f"- {counted(int(data.answered.sum()), 'run')} with a result, {counted(report.fault_count, 'fault')}.",
        f"- {graphs} graphs, {pairs} pairs of a graph and a number of stages; {graphs * stages - pairs} more are left "
        "out because they have more stages than nodes.",
        f"- Budget a run: {', '.join(f'{value:g} s' for value in seconds)}; the study itself added "
        f"{100 * (report.overhead or 0):.1f}% to solving.",
        f"- Code {', '.join(data.codes)}.",
    ]
    lines += [
        f"- Device {name}: {json.dumps(figures) if figures else 'the graphs carry their own prices'}."
        for name, figures in zip(data.devices, data.device_figures, strict=True)
    ]
    lines += [
        "- " + ", ".join(f"{item} {value}" for item, value in environment.items()) + "."
        for environment in data.environments
    ]
    return "\n".join(lines)
