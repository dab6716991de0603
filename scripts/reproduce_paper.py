"""The experiment of Archer et al., ICML 2024, on public graphs: run it, and write a page with figures for each subset.

One command, resumable: what has finished is in a store beside the spec and is not done again. The pages are
docs/paper-core.md and docs/paper-regal-like.md, and docs/paper-full.md of all graphs.

    scripts/reproduce_paper                    the testbed's core and regal-like sets (studies/paper.toml)
    scripts/reproduce_paper --subset core      one of them
    scripts/reproduce_paper --full             all graphs, the paper's methods on 200 of them (studies/paper-full.toml)
    scripts/reproduce_paper --trial            a few small graphs and the entries there are, in minutes, into build/
    scripts/reproduce_paper --full --trial     two small graphs, in a minute, into build/
    scripts/reproduce_paper --page             only write the pages from what the store holds
    scripts/reproduce_paper --full --page --records    the same, with the records of the testbed as runs of `default`
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from paper_pages import LONGER, full_page, paper_page

from framework.report.records.rows import record_rows
from framework.report.study.figures import write_figures
from framework.study.analysis.data import read_study
from framework.study.analysis.report import make_report
from framework.study.spec import read_spec
from framework.wording import counted

ROOT = Path(__file__).resolve().parent.parent
TRIAL: dict[str, Any] = {
    "description": "A trial on four small graphs",
    "graphs": ["testbed:squeezenet", "testbed:vgg19", "testbed:resnet50", "testbed:inception_v1"],
    "stages": [2, 4, 8, 16],
    "budgets": ["2s"],
}
FULL_TRIAL: dict[str, Any] = {
    "description": "A trial on two small graphs",
    "graphs": ["testbed:squeezenet", "testbed:bvlc_alexnet"],
    "stages": [2, 4],
    "budgets": ["1s"],
}
"""Of --full --trial: entries that run on a sample only run on both, and what has longer runs on one."""

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(help=__doc__)
def main(
    full: Annotated[bool, typer.Option("--full", help="All graphs of the testbed.")] = False,
    trial: Annotated[bool, typer.Option("--trial", help="A few small graphs, into build/.")] = False,
    page: Annotated[bool, typer.Option("--page", help="Run nothing; write the pages.")] = False,
    records: Annotated[bool, typer.Option("--records", help="With --full: take `default` from the records.")] = False,
    subsets: Annotated[list[str] | None, typer.Option("--subset", help="Only this one; repeatable.")] = None,
    jobs: Annotated[int | None, typer.Option("--jobs", help="Runs at a time.")] = None,
    scheduler: Annotated[str | None, typer.Option("--scheduler", help="A dask scheduler.")] = None,
    any_code: Annotated[bool, typer.Option("--any-code", help="Runs of other versions of the code count.")] = False,
) -> None:
    if full and subsets:
        raise typer.BadParameter("--full is all graphs: leave --subset out")
    if records and not full:
        raise typer.BadParameter("--records belongs to --full")
    missing: list[str] = []
    name = "paper-full" if full else "paper"
    path = ROOT / "studies" / f"{name}.toml"
    output = ROOT / "docs"
    if trial:
        output = ROOT / "build"
        output.mkdir(exist_ok=True)
        name += "-trial"
        path, missing = trial_spec(path, output / f"{name}.toml", FULL_TRIAL if full else TRIAL)
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
    if full:
        found = write_full(store, name, output, records=records)
    else:
        found = write_pages(store, name, output, subsets, missing)
    if found:
        typer.echo(f"{counted(found, 'CONTRADICTION', 'CONTRADICTIONS')}: see the pages", err=True)
        raise typer.Exit(1)


def trial_spec(spec: Path, path: Path, trial: dict[str, Any]) -> tuple[Path, list[str]]:
    """Write the small spec, with those of the entries that are registered; return it and the others."""
    from framework.registry import Kind, load_plugins, registry

    load_plugins()
    known = {entry.name for kind in Kind for entry in registry.entries(kind)}
    wanted = read_spec(spec).entries
    missing = [choice.label for choice in wanted if choice.entry not in known]
    lines = [f"{key} = {json.dumps(value)}" for key, value in {"name": path.stem, **trial}.items()]
    for choice in wanted:
        if choice.entry in known:
            presolve = "true" if choice.presolve else "false"
            lines.append(f'[[entries]]\nentry = "{choice.entry}"\nlabel = "{choice.label}"\npresolve = {presolve}')
            lines += ['most_graphs = 1\nbudgets = ["2s"]'] if choice.label == LONGER else []
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path, missing


def write_pages(store: Path, name: str, output: Path, subsets: list[str] | None, missing: list[str]) -> int:
    """Write a page of each subset of a store; return the number of contradictions."""
    contradictions = 0
    for collection in subsets or read_study(store).collections:
        report = make_report(store, collection)
        contradictions = len(report.contradictions)
        own = f"{name}-{collection}"
        write_figures(report, output / "figures" / own, ["svg"])
        (output / f"{own}.md").write_text(paper_page(report, f"figures/{own}", missing), encoding="utf-8")
        typer.echo(f"{(output / own).relative_to(ROOT)}.md, {(output / 'figures' / own).relative_to(ROOT)}/*.svg")
    return contradictions


def write_full(store: Path, name: str, output: Path, *, records: bool) -> int:
    """Write the page of all graphs from a store, which need not exist; return the number of contradictions."""
    report = make_report(store) if store.is_file() else None
    text, shown = full_page(report, record_rows() if records else [], f"figures/{name}")
    if shown is not None:
        write_figures(shown, output / "figures" / name, ["svg"])
    (output / f"{name}.md").write_text(text, encoding="utf-8")
    typer.echo(f"{(output / name).relative_to(ROOT)}.md")
    return 0 if report is None else len(report.contradictions)


if __name__ == "__main__":
    app()
