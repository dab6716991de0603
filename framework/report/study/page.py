"""A study's results as one HTML page: nothing to load, figures inline, and a script that filters and sorts the runs.

What the script shows is JSON in the page, in which no tag can end; names reach the page as text only.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from importlib.resources import files
from pathlib import Path

from framework.output_files import write_text
from framework.report.escape import html
from framework.report.numbers import percent
from framework.report.study.columns import BRIEF, COLUMNS, INTEGRALS, Column, columns_for, is_best
from framework.report.study.figures import figure_names, svg
from framework.report.study.runs import runs_html, runs_json
from framework.report.study.tables import progress_words
from framework.study.analysis.report import StudyReport
from framework.study.analysis.summary import Group
from framework.wording import counted

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
LISTED = 500
"""Contradictions the page lists; more are counted."""


def write_page(report: StudyReport, path: Path) -> None:
    """Write the page, so that a reader sees the old file or the whole new one.

    Raises
    ------
    UserError
        If it cannot be written.
    """
    write_text(path, page(report), "cannot write the page")


def page(report: StudyReport) -> str:
    """Return the whole page."""
    name = html(report.data.name)
    css, script = (
        files("framework.report.study").joinpath(f"page.{kind}").read_text("utf-8") for kind in ("css", "js")
    )
    head = f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    head += f'<meta name="viewport" content="width=device-width"><title>{name}</title>'
    body = "\n".join(_sections(report))
    if report.data.answered.any():
        body += f'\n<script type="application/json" id="runs-data">{runs_json(report.data)}</script>'
        body += f"\n<script>\n{script}</script>"
    head += f"\n<style>\n{css}</style>"
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def _sections(report: StudyReport) -> Iterator[str]:
    data = report.data
    yield f"<h1>{html(data.name)}</h1>"
    if data.description and data.description != data.name:
        yield f"<p>{html(' '.join(data.description.split()))}</p>"
    if report.contradictions:
        yield _contradictions(report)
    yield f"<p>{html(progress_words(report))}.</p>"
    sections: list[tuple[str, str, Callable[[], str]]] = [
        ("runs", "Bound / best", lambda: runs_html(report.data)),
        ("stages", "By number of stages", lambda: summary_html(report.stages, COLUMNS)),
        ("all", "All runs", lambda: summary_html(report.overall, COLUMNS)),
        ("figures", "Figures", lambda: _figures(report)),
        ("sizes", "By size", lambda: summary_html(report.sizes, BRIEF)),
        ("families", "By family", lambda: summary_html(report.families, BRIEF)),
        ("faults", "Faults", lambda: _faults(report)),
        ("conditions", "Conditions", lambda: _conditions(report)),
    ]
    yield "<nav>" + "".join(f'<a href="#{key}">{title}</a>' for key, title, _ in sections) + "</nav>"
    for key, title, make in sections:
        yield f'<section id="{key}"><h2>{title}</h2>\n{make()}\n</section>'


def summary_html(groups: Sequence[Group], chosen: tuple[Column, ...]) -> str:
    """Return a summary table; headings explain themselves, the best of a group is bold."""
    if not groups:
        return "<p>Nothing yet.</p>"
    columns = columns_for([row for group in groups for row in group.summaries], chosen)
    heads = "".join(f'<th title="{html(column.explanation)}">{html(column.heading)}</th>' for column in columns)
    lines = [f'<div class="wide"><table><thead><tr><th class="name">runs of</th><th class="name">entry</th>{heads}']
    lines.append("</tr></thead>")
    for group in groups:
        lines.append("<tbody>")
        for i, row in enumerate(group.summaries):
            title = html(group.title) if i == 0 else ""
            cells = [f'<td class="name">{title}</td><td class="name">{html(row.label)}</td>']
            for column in columns:
                style = ' class="best"' if is_best(row, group.summaries, column) else ""
                cells.append(f"<td{style}>{html(column.text(row))}</td>")
            lines.append(f"<tr>{''.join(cells)}</tr>")
        lines.append("</tbody>")
    lines.append("</table></div>")
    return "\n".join(lines)


def _contradictions(report: StudyReport) -> str:
    cases = report.contradictions
    rows = [
        (
            case.graph,
            case.stages,
            case.entry,
            case.source,
            case.soundness,
            case.bound,
            case.incumbent,
            percent(case.excess),
            case.witness,
        )
        for case in cases[:LISTED]
    ]
    count = counted(len(cases), "contradiction")
    headings = ("graph", "k", "entry", "bound by", "soundness", "bound", "partition", "above", "partition by")
    return (
        f'<section class="alarm" id="contradictions"><h2>{count}</h2>'
        "<p>Dual bounds above verified partitions of the same problem. Each is a bug; believe no figure below "
        f"until it is understood.</p>{_plain_table(headings, rows)}</section>"
    )


def _figures(report: StudyReport) -> str:
    figures = [
        f'<figure id="figure-{name}">{svg(report, name)}<figcaption>{html(caption)}</figcaption></figure>'
        for name, caption in figure_names(report).items()
    ]
    return f'<div class="figures">{"".join(figures)}</div>' if figures else "<p>Nothing yet.</p>"


def _faults(report: StudyReport) -> str:
    if not report.faults:
        return "<p>None.</p>"
    rows = [(fault.graph, fault.stages, fault.entry, fault.member, fault.detail) for fault in report.faults]
    more = report.fault_count - len(report.faults)
    rest = f"<p>And {more} more, in the store.</p>" if more else ""
    return _plain_table(("graph", "k", "entry", "member", "what happened"), rows) + rest


def _conditions(report: StudyReport) -> str:
    data = report.data
    facts: list[tuple[str, str]] = [
        ("store", str(data.path.name)),
        ("code", ", ".join(data.codes)),
        ("left out", f"{counted(data.left_out, 'pair')} with more stages than nodes"),
    ]
    for name, figures in zip(data.devices, data.device_figures, strict=True):
        facts.append((f"device {name}", json.dumps(figures) if figures else "the graphs carry their own prices"))
    for environment in data.environments:
        facts.append(("environment", ", ".join(f"{key} {value}" for key, value in environment.items())))
    items = "".join(f"<dt>{html(name)}</dt><dd>{html(value)}</dd>" for name, value in facts)
    meanings = "".join(
        f"<dt>{html(column.heading)}</dt><dd>{html(column.explanation)}</dd>" for column in (*COLUMNS, *INTEGRALS)
    )
    return f"<dl>{items}</dl><details><summary>What the columns mean</summary><dl>{meanings}</dl></details>"


def _plain_table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    head = "".join(f'<th class="name">{html(heading)}</th>' for heading in headings)
    lines = "".join(
        "<tr>" + "".join(f'<td class="text">{html(str(cell))}</td>' for cell in row) + "</tr>" for row in rows
    )
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>'
