"""Entries side by side on one graph: every bound against every partition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from framework.bounds import SIMPLE, Soundness
from framework.model.graph import ModelGraph
from framework.portfolio.records import BoundRecord, GraphInput, GraphRecord
from framework.portfolio.result import Result
from framework.portfolio.settings import Session, Settings, Watch
from framework.portfolio.solve import Run, check_runs, solve
from framework.shown import Shown
from framework.signals import Interrupt


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedRun:
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
    def own_bound(self) -> BoundRecord | None:
        """The best dual bound that the entry itself proved, without what every run starts from."""
        own = [bound for bound in self.result.bounds if self.is_own(bound.source)]
        return max(own, key=lambda bound: bound.ticks, default=None)

    @property
    def proved(self) -> int | None:
        """The dual bound that the entry itself proved (ticks)."""
        own = self.own_bound
        return None if own is None else own.ticks

    @property
    def soundness(self) -> Soundness | None:
        """Soundness of that bound."""
        own = self.own_bound
        return None if own is None else own.soundness

    @property
    def found(self) -> int | None:
        """The incumbent that the entry itself found (ticks)."""
        return self.result.incumbent_ticks if self.result.incumbent_source != "balanced" else None

    @property
    def ratio(self) -> float | None:
        """The entry's dual bound over the best incumbent of all entries."""
        return self._over_best(self.proved)

    @property
    def run_ratio(self) -> float | None:
        """The run's dual bound, whoever proved it, over the best incumbent of all entries."""
        return self._over_best(self.result.dual_ticks)

    @property
    def above_best(self) -> float | None:
        """By which share the run's partition is above the best; None without a partition."""
        ticks = self.result.incumbent_ticks
        return None if ticks is None else (ticks / self.best - 1 if self.best else 0.0)

    @property
    def contradicted(self) -> bool:
        """Whether a dual bound stands above a verified partition: a bug."""
        return bool(self.result.contradictions) or (self.proved is not None and self.proved > self.best)

    def is_own(self, source: str) -> bool:
        """Whether a bound of this source is the entry's: every run starts from `simple`."""
        return source != SIMPLE or self.entry == SIMPLE

    def _over_best(self, bound: int | None) -> float | None:
        if bound is None:
            return None
        return bound / self.best if self.best else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison(Shown):
    """Runs of several entries on one graph, by number of stages and then by entry."""

    graph: GraphRecord
    runs: tuple[ComparedRun, ...]

    def __repr__(self) -> str:
        entries = ", ".join(dict.fromkeys(run.entry for run in self.runs))
        return f"<Comparison {self.graph.name}: {entries}; {len(self.runs)} runs>"

    @property
    def contradicted(self) -> bool:
        """Whether a dual bound stands above a verified partition: a bug."""
        return any(run.contradicted for run in self.runs)


def run_comparison(
    graph: ModelGraph,
    entries: Sequence[str],
    stages: Sequence[int],
    *,
    settings: Settings,
    graph_input: GraphInput | None,
    interrupt: Interrupt,
    watch: Watch,
) -> Comparison:
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
            with watch(f"{graph.name} {entry}", k) as watcher:
                session = Session(
                    graph_input=graph_input,
                    priced=priced,
                    on_change=watcher,
                    on_compile=watcher.on_compile,
                    interrupt=interrupt,
                )
                result = solve(graph, k, settings=replace(settings, entry=entry), session=session)
            runs.append((entry, result))
    best: dict[int, int] = {}
    for _, result in runs:
        if result.incumbent_ticks is not None:
            best[result.stages] = min(best.get(result.stages, result.incumbent_ticks), result.incumbent_ticks)
    return Comparison(
        graph=GraphRecord(name=graph.name, sha256=graph.sha256(), nodes=graph.topology.n, input=graph_input),
        runs=tuple(ComparedRun(entry=entry, result=result, best=best[result.stages]) for entry, result in runs),
    )
