"""The board: the best dual bound and incumbent of a run, monotone, verified, with their sources.

Every incumbent is priced by the board itself with the one evaluator. A dual bound above a verified incumbent
is a contradiction: its source is quarantined (all its bounds are dropped, later ones refused), the evidence
is kept, and the run fails loudly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from framework.bounds import Certificate, DualBound, Incumbent, Interval, Soundness
from framework.model.problem import Partition, Problem, bottleneck, obeys


@dataclass(frozen=True, slots=True, kw_only=True)
class TrajectoryPoint:
    """The interval from `seconds` on, and who moved it."""

    seconds: float
    dual: int | None
    incumbent: int | None
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Contradiction:
    """A claimed dual bound above a verified incumbent."""

    bound: DualBound
    incumbent: int
    incumbent_source: str


@dataclass(slots=True)
class Board:
    """What a run has proved so far.

    Parameters
    ----------
    problem
        The problem as the user sees it; all values are its ticks.
    clock
        Returns the seconds since the run began.
    """

    problem: Problem
    clock: Callable[[], float]
    dual: DualBound | None = None
    incumbent: Incumbent | None = None
    trajectory: list[TrajectoryPoint] = field(default_factory=list)
    contradictions: list[Contradiction] = field(default_factory=list)
    rejected: list[tuple[str, str]] = field(default_factory=list)
    over_limit: list[str] = field(default_factory=list)
    _duals: dict[str, list[DualBound]] = field(default_factory=dict)

    @property
    def interval(self) -> Interval:
        """The certified interval."""
        return Interval(
            dual=None if self.dual is None else self.dual.value,
            incumbent=None if self.incumbent is None else self.incumbent.value,
        )

    @property
    def bounds(self) -> list[DualBound]:
        """The best dual bound of every source that is not quarantined, best first.

        Of equal ones that with a certificate, which can be checked; the first where both have one, or none has.
        """
        best = [
            max(bounds, key=lambda bound: (bound.value, bound.certificate is not None))
            for bounds in self._duals.values()
            if bounds
        ]
        return sorted(best, key=lambda bound: (-bound.value, bound.seconds))

    @property
    def infeasible(self) -> bool:
        """Whether the dual bound says that no partition obeys the hard limits: it is above any cost."""
        instance = self.problem.instance
        return instance.stage_limit is not None and self.dual is not None and self.dual.value > instance.largest_cost

    @property
    def quarantined(self) -> frozenset[str]:
        """Sources that claimed a bound above a verified incumbent."""
        return frozenset(contradiction.bound.source for contradiction in self.contradictions)

    def report_dual(
        self, value: int, *, source: str, soundness: Soundness, certificate: Certificate | None = None
    ) -> bool:
        """Record a lower bound in ticks; return whether it improved the board's best."""
        if source in self.quarantined:
            return False
        bound = DualBound(
            value=int(value), source=source, soundness=soundness, certificate=certificate, seconds=self.clock()
        )
        self._duals.setdefault(source, []).append(bound)
        if self.incumbent is not None and bound.value > self.incumbent.value:
            self._quarantine(self.incumbent.value, self.incumbent.source)
            return False
        if self.dual is not None and bound.value <= self.dual.value:
            return False
        self.dual = bound
        self._mark(source)
        return True

    def report_partition(self, partition: Partition, *, source: str) -> bool:
        """Price a partition and record it; return whether it improved the board's best.

        A partition that breaks the rules of the problem is kept in `rejected` with the reason. One that breaks a hard
        limit is no mistake of an entry that solves the relaxation; its source is noted in `over_limit`.
        """
        try:
            value = bottleneck(self.problem, partition)
        except ValueError as error:
            self.rejected.append((source, str(error)))
            return False
        if not obeys(self.problem, partition):
            self.over_limit.append(source)
            return False
        if self.incumbent is not None and value >= self.incumbent.value:
            return False
        self.incumbent = Incumbent(value=value, partition=partition, source=source, seconds=self.clock())
        if self.dual is not None and self.dual.value > value:
            self._quarantine(value, source)
        self._mark(source)
        return True

    def _quarantine(self, incumbent: int, incumbent_source: str) -> None:
        for bounds in self._duals.values():
            offending = [bound for bound in bounds if bound.value > incumbent]
            if offending:
                worst = max(offending, key=lambda bound: bound.value)
                self.contradictions.append(
                    Contradiction(bound=worst, incumbent=incumbent, incumbent_source=incumbent_source)
                )
        for source in self.quarantined:
            self._duals.pop(source, None)
        remaining = self.bounds
        self.dual = remaining[0] if remaining else None

    def _mark(self, source: str) -> None:
        interval = self.interval
        self.trajectory.append(
            TrajectoryPoint(seconds=self.clock(), dual=interval.dual, incumbent=interval.incumbent, source=source)
        )
