"""The columns of summary tables, the same on the terminal, on the page and in LaTeX."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from framework.bounds import PROVEN_WITHIN
from framework.report.numbers import UNKNOWN, quantity, ratio
from framework.study.analysis.summary import Summary


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column.

    Attributes
    ----------
    heading, explanation
        What stands above it, and what it means.
    text
        The cell of a summary.
    best
        What is best in a group is set in bold by this: larger is better; None for columns without a winner.
    """

    heading: str
    explanation: str
    text: Callable[[Summary], str]
    best: Callable[[Summary], float | None] | None = None


def factor(value: float | None) -> str:
    """Write a closing factor."""
    if value is None:
        return UNKNOWN
    if math.isinf(value):
        return "closed"
    return f"{value:.2f}" if value < 100 else f"{value:.0f}"


def share(value: float | None) -> str:
    """Write a share as whole percent, and 100% only where it is all."""
    if value is None:
        return UNKNOWN
    text = f"{100 * value:.0f}%"
    return "99.9%" if text == "100%" and value < 1 else text


def time(value: float | None) -> str:
    """Write seconds with three digits."""
    return quantity(value, 3)


def minus(value: float | None) -> float | None:
    """Turn smaller-is-better round."""
    return None if value is None else -value


COLUMNS = (
    Column(heading="runs", explanation="runs with a result", text=lambda row: str(row.runs)),
    Column(
        heading="bound / best",
        explanation="geometric mean of dual bound / virtual best incumbent, the best partition of any run",
        text=lambda row: ratio(row.ratio),
        best=lambda row: row.ratio,
    ),
    Column(
        heading="simple",
        explanation="the same for the simple bound, which every run starts from",
        text=lambda row: ratio(row.simple_ratio),
    ),
    Column(
        heading="closing",
        explanation="(1 - simple) / (1 - bound / best): how many times smaller the gap became",
        text=lambda row: factor(row.closing),
        best=lambda row: row.closing,
    ),
    Column(
        heading="own",
        explanation="share of runs in which the entry proved more than simple",
        text=lambda row: share(row.own),
    ),
    Column(
        heading="proven",
        explanation=f"share of runs that proved their own partition optimal within {PROVEN_WITHIN}",
        text=lambda row: share(row.proven),
        best=lambda row: row.proven,
    ),
    Column(
        heading="found / best",
        explanation="geometric mean of the run's partition / virtual best incumbent",
        text=lambda row: quantity(row.quality, 5),
        best=lambda row: minus(row.quality),
    ),
    Column(heading="median s", explanation="median time", text=lambda row: time(row.median_seconds)),
    Column(
        heading="mean s",
        explanation="shifted geometric mean of times, shift 1 s",
        text=lambda row: time(row.mean_seconds),
        best=lambda row: minus(row.mean_seconds),
    ),
    Column(heading="max s", explanation="largest time", text=lambda row: time(row.largest_seconds)),
    Column(
        heading="won : lost",
        explanation="comparisons of dual bounds with every other entry on the same problem; ties are neither",
        text=lambda row: f"{row.wins} : {row.losses}",
    ),
)
INTEGRALS = (
    Column(
        heading="dual integral",
        explanation="mean integral over the budget of the dual gap to the virtual best, in seconds",
        text=lambda row: time(row.dual_integral),
        best=lambda row: minus(row.dual_integral),
    ),
    Column(
        heading="primal integral",
        explanation="the same for the gap of the partition",
        text=lambda row: time(row.primal_integral),
        best=lambda row: minus(row.primal_integral),
    ),
)
FAILED = Column(
    heading="failed", explanation="runs without a result, left out of every mean", text=lambda row: str(row.failed)
)
BRIEF = tuple(column for column in COLUMNS if column.heading not in ("own", "median s", "max s"))
"""For breakdowns and documents."""
NARROW = tuple(
    column for column in COLUMNS if column.heading in ("runs", "bound / best", "closing", "proven", "mean s")
)
"""For terminals of 80 columns."""


def columns_for(summaries: list[Summary], chosen: tuple[Column, ...]) -> tuple[Column, ...]:
    """Return the chosen columns, with failures where there are any, and integrals where they were computed."""
    failures = (FAILED,) if any(row.failed for row in summaries) else ()
    integrals = INTEGRALS if chosen is COLUMNS and any(row.dual_integral is not None for row in summaries) else ()
    return (*chosen, *integrals, *failures)


def is_best(row: Summary, rows: tuple[Summary, ...], column: Column) -> bool:
    """Whether a cell is the best of its group, among at least two."""
    if column.best is None or len(rows) < 2:
        return False
    values = [value for value in map(column.best, rows) if value is not None]
    own = column.best(row)
    return own is not None and bool(values) and own == max(values) and min(values) < own
