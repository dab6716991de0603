"""Splits beside the proven bound, as a table and in one sentence each."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal

from framework.layouts.judge import JudgedSplit, Judgement
from framework.portfolio.records import NOTEWORTHY
from framework.report.console import Console, open_console, styled
from framework.report.layout import FactTable
from framework.report.numbers import UNKNOWN, quantity, scaled_unit
from framework.report.tables import notes, shown_gap, with_soundness
from framework.wording import counted


def print_judgement(judgement: Judgement, console: Console | None = None) -> None:
    """Print the splits, the best known first, and what may be said of each."""
    console, result = console or open_console(), judgement.result
    unit, factor = scaled_unit(result.unit, max(split.bottleneck for split in judgement.splits))
    into = counted(result.stages, "stage")
    table = FactTable(f"{result.graph.name}: splits into {into}, values in {unit}")
    table.texts("split")
    table.numbers("bottleneck", "in stage", "from the best possible", "above the best known")
    dual, incumbent = result.dual_bound, result.incumbent
    if dual is not None:
        table.row(styled("proven bound", "bold"), quantity(dual * factor), "", "", "")
    if incumbent is not None:
        same = "0%" if shown_gap(result) == 0 else at_most((incumbent - dual) / dual) if dual else UNKNOWN
        table.row(styled("found here", "bold"), quantity(incumbent * factor), _slowest(None, judgement), same, "")
    for split in sorted(judgement.splits, key=lambda split: split.bottleneck):
        table.row(
            split.name,
            quantity(split.bottleneck * factor),
            _slowest(split, judgement),
            UNKNOWN if split.from_best is None else at_most(split.from_best),
            UNKNOWN if split.from_found is None else at_least(split.from_found),
        )
    console.print(table)
    for split in judgement.splits:
        console.print(said_of(split, judgement))
    if dual is not None and result.bounds:
        said = f"no partition into {into} gets below {quantity(dual * factor)} {unit}"
        console.print(f"The bound: {said}, proved by {with_soundness(result.bounds[0])}.")
    for line in notes([result]):
        console.print(line, style="yellow")


def said_of(split: JudgedSplit, judgement: Judgement) -> str:
    """Say in one sentence how far a split is from the best possible."""
    if split.breaks:
        return f"{split.name} breaks a constraint: {split.breaks}."
    if split.from_best is None:
        return f"{split.name}: nothing can be said, since no bound above 0 is proved."
    if split.from_best <= NOTEWORTHY:
        return f"{split.name} is the best possible."
    said = f"{split.name} is at most {at_most(split.from_best)} from the best possible"
    if not split.from_found:
        return f"{said}; no better split is known."
    return f"{said}, and a split is known that it is {at_least(split.from_found)} above."


def at_most(share: float) -> str:
    """Write a share as a percentage that is not below it."""
    return _percent(share, ROUND_CEILING)


def at_least(share: float) -> str:
    """Write a share as a percentage that is not above it; 0% only where it is 0."""
    return _percent(share, ROUND_FLOOR)


def _percent(share: float, rounding: str) -> str:
    exact = 100 * Decimal(share)
    if exact == 0:
        return "0%"
    if abs(exact) >= 1:
        return f"{exact.quantize(Decimal('0.1'), rounding=rounding):f}%"
    short = Context(prec=2, rounding=rounding).create_decimal(exact)
    return f"{short:f}%" if abs(short) >= Decimal("0.001") else f"{short:.1e}%"


def _slowest(split: JudgedSplit | None, judgement: Judgement) -> str:
    rows = judgement.result.stage_costs if split is None else split.stage_costs
    return str(max(range(len(rows)), key=lambda b: rows[b].total)) if rows else UNKNOWN
