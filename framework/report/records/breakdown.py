"""How far groups of pairs are, as Markdown tables: by number of stages, task area, width and size of the graph."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence

from framework.bounds import PROVEN_WITHIN
from framework.report.numbers import ratio
from framework.report.records.rows import RecordRow, Standing, grouped
from framework.study.analysis.summary import SIZE_CLASSES
from framework.testbed.catalogue import bundled_graphs

WIDTH_CLASSES = (1, 4, 8, 16, 32, 64)
"""Largest widths of the classes but the last, which has no limit."""

_STANDING = ("pairs", "proven optimal", f"within {PROVEN_WITHIN}", "open", "without a record", "mean of bound / best")


def standing_table(heading: str, groups: Iterable[tuple[str, Sequence[RecordRow]]]) -> str:
    """Return a table with a row a group: its title, its graphs, and how far its pairs are."""
    lines = [f"| {heading} | graphs | {' | '.join(_STANDING)} |", f"|{' --- |' * (2 + len(_STANDING))}"]
    for title, rows in groups:
        standing = Standing.of(rows)
        counts = (
            len({row.graph for row in rows}),
            standing.pairs,
            standing.optimal,
            standing.nearly,
            standing.open,
            standing.missing,
        )
        lines.append(f"| {title} | {' | '.join(f'{count:,}' for count in counts)} | {ratio(standing.mean_ratio)} |")
    return "\n".join(lines)


def by_stages(rows: Iterable[RecordRow]) -> list[tuple[str, list[RecordRow]]]:
    """Group rows by number of stages."""
    groups = grouped(sorted(rows, key=lambda row: row.stages), "stages")
    return [(str(k), group) for k, group in groups.items()]


def by_area(rows: Iterable[RecordRow]) -> list[tuple[str, list[RecordRow]]]:
    """Group rows by the task area of their graphs."""
    return sorted(grouped(rows, "task").items())


def by_size(rows: Iterable[RecordRow]) -> list[tuple[str, list[RecordRow]]]:
    """Group rows by the number of nodes of their graphs."""
    return _by_class(((row.nodes, row) for row in rows), SIZE_CLASSES)


def by_width(rows: Iterable[RecordRow]) -> list[tuple[str, list[RecordRow]]]:
    """Group rows by the width of their graphs, which are those of the testbed."""
    widths: Mapping[str, int] = {row.name: row.width for row in bundled_graphs()}
    return _by_class(((widths[row.graph], row) for row in rows), WIDTH_CLASSES)


def _by_class(measured: Iterable[tuple[int, RecordRow]], limits: Sequence[int]) -> list[tuple[str, list[RecordRow]]]:
    """Group rows by the smallest limit that is no less than their measure; classes without rows are left out."""
    groups: list[list[RecordRow]] = [[] for _ in range(len(limits) + 1)]
    for measure, row in measured:
        groups[bisect_left(limits, measure)].append(row)
    lows = [1, *(limit + 1 for limit in limits)]
    titles = [f"{low:,} to {high:,}" if low < high else f"{low:,}" for low, high in zip(lows, limits, strict=False)]
    titles.append(f"{lows[-1]:,} and more")
    return [(title, group) for title, group in zip(titles, groups, strict=True) if group]
