"""What binds the slowest stage of a result, what its bound rests on, and what would help, as tables."""

from __future__ import annotations

from collections.abc import Sequence

from framework.layouts.explain import MOST_PARTS, Explanation, Part
from framework.report.console import Console, open_console
from framework.report.layout import FactTable
from framework.report.numbers import UNKNOWN, percent, quantity, scaled_unit
from framework.report.splits.judgement import at_least, at_most
from framework.wording import counted


def print_explanation(explanation: Explanation, console: Console | None = None) -> None:
    """Print the parts of the slowest stage, a sentence on the bound, and the what-if rows."""
    console = console or open_console()
    result, cost = explanation.result, explanation.cost
    unit, factor = scaled_unit(result.unit, cost.total)
    table = FactTable(f"what binds stage {explanation.stage}, in {unit}")
    table.texts("part")
    table.numbers("cost", "of the stage")
    table.texts("of which", most=70)
    parts = (
        ("work", cost.work, _named(explanation.work, factor)),
        ("in", cost.inbound, _named(explanation.inbound, factor, "from")),
        ("out", cost.outbound, _named(explanation.outbound, factor, "to")),
        ("streaming", cost.overflow, _streamed(explanation)),
    )
    for name, value, words in parts:
        share = percent(value / cost.total) if cost.total else UNKNOWN
        table.row(name, quantity(value * factor, 5), share, words if value else "")
    console.print(table)
    if (support := explanation.support) is not None:
        named = ", ".join(support.nodes[:MOST_PARTS])
        more = len(support.nodes) - MOST_PARTS
        told = f" {named}{f' and {more:,} more' if more > 0 else ''}:" if support.nodes else ""
        console.print(f"The bound of {support.source} rests on{told or ' all nodes:'} {support.words}.")
    if explanation.what_if:
        _print_what_if(explanation, console)


def _print_what_if(explanation: Explanation, console: Console) -> None:
    result = explanation.result
    unit, factor = scaled_unit(result.unit, result.incumbent or 0.0)
    table = FactTable(f"what if, in {unit}")
    table.texts("change")
    table.numbers("k", "dual bound", "incumbent", "gain at most", "gain found")
    for row in explanation.what_if:
        found = row.result
        table.row(
            row.name,
            str(found.stages),
            quantity(None if found.dual_bound is None else found.dual_bound * factor),
            quantity(None if found.incumbent is None else found.incumbent * factor),
            UNKNOWN if row.gain_at_most is None else at_most(row.gain_at_most),
            UNKNOWN if row.gain_found is None else at_least(row.gain_found),
        )
    console.print(table)


def _named(parts: Sequence[Part], factor: float, preposition: str = "") -> str:
    """Name the dearest parts, and count the others."""
    told = []
    for part in parts[:MOST_PARTS]:
        ends = f" {preposition} {', '.join(map(str, part.other))}" if part.other else ""
        told.append(f"{part.name}{ends} ({quantity(part.cost * factor, 4)})")
    if len(parts) > MOST_PARTS:
        rest = sum(part.cost for part in parts[MOST_PARTS:])
        told.append(f"{len(parts) - MOST_PARTS:,} more ({quantity(rest * factor, 4)})")
    return ", ".join(told)


def _streamed(explanation: Explanation) -> str:
    """Say how much does not fit, and whose parameters are largest."""
    if explanation.held is None or explanation.fast_memory is None:
        sizes = [f"{part.name} ({quantity(part.cost, 4)})" for part in explanation.parameters[:3]]
        return f"parameters beyond the capacity; the largest are those of {', '.join(sizes)}"
    sizes = [f"{part.name} ({quantity((part.size or 0) / 1e6, 4)} MB)" for part in explanation.parameters[:3]]
    held, fast = explanation.held / 1e6, explanation.fast_memory / 1e6
    stage = counted(len(explanation.parameters), "node")
    return (
        f"{quantity(held, 4)} MB of parameters of {stage}, of which {quantity(fast, 4)} MB fit: {', '.join(sizes)}"
        f"{', ...' if len(explanation.parameters) > 3 else ''}"
    )
