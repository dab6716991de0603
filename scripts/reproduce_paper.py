"""The experiment of Archer et al., ICML 2024, on public graphs: run it, and write a page with figures for each subset.

One command, resumable: what has finished is in studies/paper.sqlite and is not done again. The pages are
docs/paper-core.md and docs/paper-regal-like.md.

    scripts/reproduce_paper                    the testbed's core and regal-like sets
    scripts/reproduce_paper --subset core      one of them
    scripts/reproduce_paper --full             all graphs
    scripts/reproduce_paper --trial            a few small graphs and the entries there are, in minutes, into build/
    scripts/reproduce_paper --page             only write the pages from what the store holds
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from framework.report.numbers import ratio
from framework.report.study.columns import factor, share
from framework.report.study.figures import figure_names, write_figures
from framework.report.study.markdown import markdown_table, meanings
from framework.study.analysis.data import StudyData, read_study
from framework.study.analysis.report import StudyReport, make_report
from framework.study.analysis.summary import Group, Summary, summarise
from framework.study.spec import read_spec
from framework.wording import counted

ROOT = Path(__file__).resolve().parent.parent
PUBLISHED = {16: (0.4598, 0.9452, 9.855)}
"""Of the paper's abstract, at k = 16: simple bound / best, best bound / best, closing factor."""
GRAPHS = {
    "core": "the 60 real networks of the testbed's subset `core`",
    "regal-like": "64 random graphs of four families, 50 to 200 nodes, in the manner of REGAL (arXiv 1905.02494)",
    "full": "all real networks of the public testbed",
}
TRIAL = {
    "description": "A trial on four small graphs",
    "graphs": ["testbed:squeezenet", "testbed:vgg19", "testbed:resnet50", "testbed:inception_v1"],
    "stages": [2, 4, 8, 16],
    "budgets": ["2s"],
}

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(help=__doc__)
def main(
    full: Annotated[bool, typer.Option("--full", help="All graphs of the testbed.")] = False,
    trial: Annotated[bool, typer.Option("--trial", help="A few small graphs, into build/.")] = False,
    page: Annotated[bool, typer.Option("--page", help="Run nothing; write the pages.")] = False,
    subsets: Annotated[list[str] | None, typer.Option("--subset", help="Only this one; repeatable.")] = None,
    jobs: Annotated[int | None, typer.Option("--jobs", help="Runs at a time.")] = None,
    scheduler: Annotated[str | None, typer.Option("--scheduler", help="A dask scheduler.")] = None,
    any_code: Annotated[bool, typer.Option("--any-code", help="Runs of other versions of the code count.")] = False,
) -> None:
    missing: list[str] = []
    name = "paper-full" if full else "paper"
    path = ROOT / "studies" / f"{name}.toml"
    output = ROOT / "docs"
    if trial:
        output = ROOT / "build"
        output.mkdir(exist_ok=True)
        name = "paper-trial"
        path, missing = trial_spec(path, output / f"{name}.toml")
    if not page:
        command = [sys.executable, "-m", "framework", "study", "run", str(path)]
        command += [word for subset in subsets or [] for word in ("--subset", subset)]
        command += ["--jobs", str(jobs)] if jobs else []
        command += ["--scheduler", scheduler] if scheduler else []
        command += ["--any-code"] if any_code else []
        code = subprocess.run(command, check=False).returncode
        if code:
            raise typer.Exit(code)
    store = read_spec(path).store
    contradictions = 0
    for collection in subsets or read_study(store).collections:
        report = make_report(store, collection)
        contradictions = len(report.contradictions)
        own = f"{name}-{collection}"
        write_figures(report, output / "figures" / own, ["svg"])
        (output / f"{own}.md").write_text(paper_page(report, f"figures/{own}", missing), encoding="utf-8")
        typer.echo(f"{(output / own).relative_to(ROOT)}.md, {(output / 'figures' / own).relative_to(ROOT)}/*.svg")
    if contradictions:
        typer.echo(f"{counted(contradictions, 'CONTRADICTION', 'CONTRADICTIONS')}: see the pages", err=True)
        raise typer.Exit(1)


def trial_spec(spec: Path, path: Path) -> tuple[Path, list[str]]:
    """Write the small spec, with those of the entries that are registered; return it and the others."""
    from framework.registry import Kind, load_plugins, registry

    load_plugins()
    known = {entry.name for kind in Kind for entry in registry.entries(kind)}
    wanted = read_spec(spec).entries
    missing = [choice.label for choice in wanted if choice.entry not in known]
    lines = [f"{key} = {json.dumps(value)}" for key, value in {"name": "paper-trial", **TRIAL}.items()]
    for choice in wanted:
        if choice.entry in known:
            presolve = "true" if choice.presolve else "false"
            lines.append(f'[[entries]]\nentry = "{choice.entry}"\nlabel = "{choice.label}"\npresolve = {presolve}')
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path, missing


def paper_page(report: StudyReport, figures: str, missing: list[str]) -> str:
    """Return the page on one collection in Markdown."""
    data = report.data
    (collection,) = data.collections
    planned, done = sum(data.plan_counts.values()), int(data.planned.sum())
    parts = [
        f"# The paper's experiment on public graphs: {collection}",
        "Terms are defined in the [glossary](glossary.md).",
        "Made by `scripts/reproduce_paper`; do not edit.",
        'Archer, Fahrbach, Liu and Prabhu, "Practical Performance Guarantees for Pipelined DNN Inference" (ICML 2024, '
        "arXiv 2311.03703), bound the bottleneck of 369 graphs that are private. Nobody outside can repeat their "
        f"numbers: the figures below are from **other graphs**, {GRAPHS.get(collection, collection)}, and from other "
        "hardware. What can be compared is how far a bound lies below the best partition, and how much smaller that "
        "gap is than the simple bound's; the reference device is chosen so that the simple bound is about as weak on "
        "real graphs here as there.",
    ]
    if report.contradictions:
        cases = [
            f"- {case.graph}, k = {case.stages}: {case.entry} ({case.source}, {case.soundness}) claims {case.bound}, "
            f"above {case.incumbent} of {case.witness}"
            for case in report.contradictions
        ]
        heading = f"## {counted(len(cases), 'CONTRADICTION', 'CONTRADICTIONS')}"
        parts += [heading, "Believe nothing below.", "\n".join(cases)]
    if done < planned:
        parts.append(f"**Unfinished: {done} of {counted(planned, 'run')}.**")
    if missing:
        parts.append(f"**Not registered in this version, and left out: {', '.join(missing)}.**")
    groups = summarise(data, *stages_of(data))
    parts += ["## Beside the published figures", comparison(collection, groups)]
    parts += ["## All entries", markdown_table(groups)]
    parts += ["## Figures"]
    parts += [f"![{caption}]({figures}/{name}.svg)\n\n{caption}." for name, caption in figure_names(report).items()]
    parts += ["## What the columns mean", meanings(), "## Conditions", conditions(report)]
    return "\n\n".join(parts) + "\n"


def stages_of(data: StudyData) -> tuple[np.ndarray, list[str]]:
    """Group the runs of the plan by number of stages, whatever their device."""
    stages = np.unique(data.stages[data.planned])
    return np.where(data.planned, np.searchsorted(stages, data.stages), -1), [f"k = {k}" for k in stages]


def comparison(collection: str, groups: list[Group]) -> str:
    """Return ours beside theirs: simple bound, the paper's methods as built here, and this project's portfolio."""
    lines = [
        "| graphs | k | simple | `paper` | closing | `default` | closing | `default` proven |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for k, (simple, best, closing) in PUBLISHED.items():
        lines.append(f"| *published: 369 private graphs* | {k} | {simple} | {best} | {closing} | | | |")
    for group in groups:
        rows = {row.label: row for row in group.summaries}
        paper, default = rows.get("paper"), rows.get("default")
        first = group.summaries[0]
        cells = [*cells_of(paper), *cells_of(default), share(default.proven) if default else "-"]
        number = group.title.removeprefix("k = ")
        lines.append(f"| {collection} | {number} | {ratio(first.simple_ratio)} | {' | '.join(cells)} |")
    note = (
        "The published row is the paper's abstract: the simple bound and its best bounds as geometric means of lower "
        "bound / best partition at k = 16, and the factor by which the gap closed. The column `paper` holds the "
        "paper's methods as this project built them, under this study's budget, which is far below the paper's."
    )
    return "\n".join(lines) + "\n\n" + note


def cells_of(row: Summary | None) -> list[str]:
    return ["-", "-"] if row is None else [ratio(row.ratio), factor(row.closing)]


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


if __name__ == "__main__":
    app()
