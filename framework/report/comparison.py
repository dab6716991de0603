"""Entries side by side on one graph: every bound against every incumbent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

from framework.model.graph import ModelGraph
from framework.portfolio.result import GraphInput, Result
from framework.portfolio.settings import Session, Settings
from framework.portfolio.solve import Run, check_runs, solve
from framework.report.console import open_console, styled
from framework.report.layout import FactTable
from framework.report.live import Display, Quiet
from framework.report.numbers import UNKNOWN, percent, quantity, ratio, scaled_unit, seconds
from framework.report.tables import notes, with_soundness
from framework.signals import Interrupt

NOT_IMPROVED = "not improved (start)"
"""For a bound or partition that the run began with: it is the same for all entries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One entry at one number of stages, measured against the best partition of all entries.

    Attributes
    ----------
    best
        Best incumbent of all entries at this number of stages, in ticks.
    """

    entry: str
    result: Result
    best: int

    @property
    def proved(self) -> int | None:
        """The dual bound that the entry itself proved (ticks), without what every run starts from."""
        own = [row["ticks"] for row in self.result.document["bounds"] if self._is_own(row["source"])]
        return max(own, default=None)

    @property
    def soundness(self) -> str | None:
        """Soundness of that bound."""
        own = [row for row in self.result.document["bounds"] if self._is_own(row["source"])]
        return None if not own else str(max(own, key=lambda row: int(row["ticks"]))["soundness"])

    @property
    def bound_by(self) -> str:
        """Whose the run's dual bound is: the entry's or its member's, or what every run starts from."""
        bounds = self.result.document["bounds"]
        if not bounds:
            return UNKNOWN
        return with_soundness(bounds[0]) if self._is_own(bounds[0]["source"]) else NOT_IMPROVED

    @property
    def found_by(self) -> str:
        """Whose the run's partition is."""
        source = self.result.document["incumbent_source"]
        if source is None:
            return UNKNOWN
        return NOT_IMPROVED if self.found is None else str(source)

    @property
    def found(self) -> int | None:
        """The incumbent that the entry itself found (ticks)."""
        return self.result.incumbent_ticks if self.result.document["incumbent_source"] != "balanced" else None

    @property
    def ratio(self) -> float | None:
        """The entry's dual bound over the best incumbent of all entries."""
        return self._over_best(self.proved)

    @property
    def run_ratio(self) -> float | None:
        """The run's dual bound, whoever proved it, over the best incumbent of all entries."""
        return self._over_best(self.result.dual_ticks)

    @property
    def contradicted(self) -> bool:
        """Whether a dual bound stands above a verified partition: a bug."""
        return bool(self.result.contradictions) or (self.proved is not None and self.proved > self.best)

    def _over_best(self, bound: int | None) -> float | None:
        if bound is None:
            return None
        return bound / self.best if self.best else 1.0

    def _is_own(self, source: str) -> bool:
        # Every run starts from `simple`; only a run of `simple` itself may claim it.
        return source != "simple" or self.entry == "simple"


def run_comparison(
    graph: ModelGraph,
    entries: Sequence[str],
    stages: Sequence[int],
    *,
    settings: Settings,
    graph_input: GraphInput | None,
    interrupt: Interrupt,
    display: Callable[[str, int], AbstractContextManager[Quiet | Display]],
) -> list[Comparison]:
    """Run every entry for every number of stages, each with the whole budget, one after the other.

    Raises
    ------
    UserError
        For a mistake in any of them, before the first one runs.
    """
    checked = (Run(stages=k, entry=entry) for k in stages for entry in entries)
    priced = check_runs(graph, checked, settings=settings)
    runs: list[tuple[str, Result]] = []
    for k in stages:
        for entry in entries:
            if interrupt.happened:
                break
            with display(f"{graph.name} {entry}", k) as shown:
                session = Session(
                    graph_input=graph_input,
                    priced=priced,
                    on_change=shown,
                    on_compile=shown.on_compile,
                    interrupt=interrupt,
                )
                result = solve(graph, k, settings=replace(settings, entry=entry), session=session)
            runs.append((entry, result))
    best: dict[int, int] = {}
    for _, result in runs:
        if result.incumbent_ticks is not None:
            best[result.stages] = min(best.get(result.stages, result.incumbent_ticks), result.incumbent_ticks)
    return [Comparison(entry=entry, result=result, best=best[result.stages]) for entry, result in runs]


def print_comparison(graph: ModelGraph, rows: Sequence[Comparison]) -> None:
    """Print a table of entries for each number of stages."""
    console = open_console()
    for k in dict.fromkeys(row.result.stages for row in rows):
        at_k = [row for row in rows if row.result.stages == k]
        unit, factor = scaled_unit(at_k[0].result.unit, at_k[0].result.cost_in_units(at_k[0].best) or 0.0)
        table = FactTable(f"{graph.name}, k = {k}, values in {unit}")
        table.texts("entry")
        table.numbers("dual bound", "ratio", "partition", "above best", "time")
        table.texts("bound by", "found by", "ended")
        for row in at_k:
            result = row.result
            dual, incumbent = result.dual_bound, result.incumbent
            ticks = result.incumbent_ticks
            above = None if ticks is None else (ticks / row.best - 1 if row.best else 0.0)
            table.row(
                row.entry,
                quantity(None if dual is None else dual * factor),
                styled(ratio(row.run_ratio), "red" if row.contradicted else ""),
                quantity(None if incumbent is None else incumbent * factor),
                percent(above),
                seconds(result.seconds),
                row.bound_by,
                row.found_by,
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


def comparison_document(graph: ModelGraph, rows: Sequence[Comparison]) -> dict[str, Any]:
    """Return the comparison as JSON-compatible data."""
    return {
        "graph": {"name": graph.name, "sha256": graph.sha256()},
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
                "bound_by": row.bound_by,
                "found_by": row.found_by,
                "soundness": row.soundness,
                "status": row.result.status,
                "seconds": row.result.seconds,
                "contradicted": row.contradicted,
                "result": row.result.document,
            }
            for row in rows
        ],
    }


def _ending(result: Result) -> str:
    """How the run's one or last member ended; the run's status where there is no more to say."""
    members = [member for member in result.document["members"] if member["name"] != "presolve"]
    if len(members) == 1 and members[0]["reason"] != "finished":
        return str(members[0]["detail"] or members[0]["limit"] or members[0]["reason"])
    return result.status.replace("_", " ")
