"""Summaries as Markdown tables, for pages of documentation."""

from __future__ import annotations

from collections.abc import Sequence

from framework.report.escape import markdown, markdown_code
from framework.report.study.columns import BRIEF, Column, columns_for, is_best
from framework.study.analysis.summary import Group


def markdown_table(groups: Sequence[Group], chosen: tuple[Column, ...] = BRIEF) -> str:
    """Return one table with a row an entry and group; the best of a group is bold."""
    columns = columns_for([row for group in groups for row in group.summaries], chosen)
    lines = [
        "| runs of | entry | " + " | ".join(column.heading for column in columns) + " |",
        "|---|---|" + "---:|" * len(columns),
    ]
    for group in groups:
        for i, row in enumerate(group.summaries):
            cells = [markdown(group.title) if i == 0 else "", markdown_code(row.label)]
            for column in columns:
                text = markdown(column.text(row))
                cells.append(f"**{text}**" if is_best(row, group.summaries, column) else text)
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def meanings(chosen: tuple[Column, ...] = BRIEF) -> str:
    """Return a list that says what the columns mean."""
    return "\n".join(f"- **{column.heading}**: {column.explanation}" for column in chosen)
