"""A study's summary as a LaTeX table with booktabs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from framework.errors import UserError
from framework.report.escape import latex, latex_label
from framework.report.study.columns import BRIEF, Column, columns_for, is_best
from framework.study.analysis.report import StudyReport
from framework.study.analysis.summary import Group
from framework.wording import counted


def write_latex(report: StudyReport, path: Path) -> None:
    """Write the summary by number of stages; the document needs the package booktabs."""
    runs = counted(int(report.data.answered.sum()), "run")
    # A description may be of several lines.
    caption = f"{report.data.name}: {runs}. {' '.join(report.data.description.split())}"
    try:
        path.write_text(latex_table(report.stages, caption, f"tab:{report.data.name}"), encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write the table: {error.strerror}", where=str(path)) from error


def latex_table(groups: Sequence[Group], caption: str, label: str, chosen: tuple[Column, ...] = BRIEF) -> str:
    """Return a ``table`` environment with a rule between groups; the best of a group is bold."""
    columns = columns_for([row for group in groups for row in group.summaries], chosen)
    lines = [
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{latex(caption)}}}",
        rf"  \label{{{latex_label(label)}}}",
        rf"  \begin{{tabular}}{{ll{'r' * len(columns)}}}",
        r"    \toprule",
        "    runs of & entry & " + " & ".join(latex(column.heading) for column in columns) + r" \\",
    ]
    for group in groups:
        lines.append(r"    \midrule")
        for i, row in enumerate(group.summaries):
            cells = [latex(group.title) if i == 0 else "", latex(row.label)]
            for column in columns:
                text = latex(column.text(row))
                cells.append(rf"\textbf{{{text}}}" if is_best(row, group.summaries, column) else text)
            lines.append("    " + " & ".join(cells) + r" \\")
    lines += [r"    \bottomrule", r"  \end{tabular}", r"\end{table}", ""]
    return "\n".join(lines)
