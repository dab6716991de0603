"""Entries side by side on one graph, as a table and as JSON."""

from __future__ import annotations

from typing import Any

from framework.bounds import Reason
from framework.portfolio.comparison import ComparedRun, Comparison
from framework.portfolio.result import Result
from framework.report.console import Console, open_console, styled
from framework.report.layout import FactTable
from framework.report.numbers import UNKNOWN, percent, quantity, ratio, scaled_unit, seconds
from framework.report.tables import notes, with_soundness

NOT_IMPROVED = "not improved (start)"
"""For a bound or partition that the run began with: it is the same for all entries."""


def bound_by(run: ComparedRun) -> str:
    """Say whose the run's dual bound is: the entry's or its member's, or what every run starts from."""
    bounds = run.result.bounds
    if not bounds:
        return UNKNOWN
    return with_soundness(bounds[0]) if run.is_own(bounds[0].source) else NOT_IMPROVED


def found_by(run: ComparedRun) -> str:
    """Say whose the run's partition is."""
    source = run.result.incumbent_source
    if source is None:
        return UNKNOWN
    return NOT_IMPROVED if run.found is None else source


def print_comparison(comparison: Comparison, console: Console | None = None) -> None:
    """Print a table of entries for each number of stages."""
    console, rows = console or open_console(), comparison.runs
    for k in dict.fromkeys(row.result.stages for row in rows):
        at_k = [row for row in rows if row.result.stages == k]
        unit, factor = scaled_unit(at_k[0].result.unit, at_k[0].result.cost_in_units(at_k[0].best) or 0.0)
        table = FactTable(f"{comparison.graph.name}, k = {k}, values in {unit}")
        table.texts("entry")
        table.numbers("dual bound", "ratio", "partition", "above best", "time")
        table.texts("bound by", "found by", "ended")
        for row in at_k:
            result = row.result
            dual, incumbent = result.dual_bound, result.incumbent
            table.row(
                row.entry,
                quantity(None if dual is None else dual * factor),
                styled(ratio(row.run_ratio), "red" if row.contradicted else ""),
                quantity(None if incumbent is None else incumbent * factor),
                percent(row.above_best),
                seconds(result.seconds),
                bound_by(row),
                found_by(row),
                _ending(result),
            )
        console.print(table)
    for line in notes([row.result for row in rows]):
        console.print(line, style="yellow")
    for row in rows:
        if row.contradicted:
            console.print(
                f"CONTRADICTION: {row.entry} claims {row.proved} ticks at k = {row.result.stages}, above {row.best}.",
                style="bold red",
            )


def comparison_document(comparison: Comparison) -> dict[str, Any]:
    """Return the comparison as JSON-compatible data."""
    return {
        "graph": {"name": comparison.graph.name, "sha256": comparison.graph.sha256},
        "runs": [
            {
                "entry": row.entry,
                "stages": row.result.stages,
                "dual_bound_ticks": row.proved,
                "dual_bound": row.result.dual_in_units(row.proved),
                "incumbent_ticks": row.found,
                "incumbent": row.result.cost_in_units(row.found),
                "best_incumbent_ticks": row.best,
                "ratio": row.ratio,
                "bound_by": bound_by(row),
                "found_by": found_by(row),
                "soundness": None if row.soundness is None else row.soundness.value,
                "status": row.result.status,
                "seconds": row.result.seconds,
                "contradicted": row.contradicted,
                "result": row.result.as_dict(),
            }
            for row in comparison.runs
        ],
    }


def _ending(result: Result) -> str:
    """How the run's one or last member ended; the run's status where there is no more to say."""
    members = [member for member in result.members if member.name != "presolve"]
    if len(members) == 1 and members[0].termination.reason is not Reason.FINISHED:
        ending = members[0].termination
        return ending.detail or ending.limit or ending.reason
    return result.status.replace("_", " ")
