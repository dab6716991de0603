"""What a solver may claim: dual bounds with their soundness, incumbents, and why it stopped.

The problem minimises. A *dual bound* is a number that no partition can beat, so ``dual <= optimum``; an
*incumbent* is a partition in hand, so ``optimum <= incumbent``. An unknown bound is None, never 0 or infinity.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from numbers import Integral
from typing import Any

from framework.model.problem import Partition

PROVEN_WITHIN = "1e-4"
"""Relative gap from which down reports count a partition as proven optimal, as people read it."""
PROVEN_GAP = float(PROVEN_WITHIN)


SIMPLE = "simple"
"""Source of the bound that every run begins with, and the kind of its certificate."""


class Soundness(StrEnum):
    """Why a dual bound may be believed, strongest first."""

    EXACT = "exact"
    """Integer arithmetic of our own or an integer max-flow; nothing to trust but the code."""
    CERTIFIED = "certified"
    """A floating solver found it, and an exact check of its certificate confirmed it."""
    SOLVER = "solver"
    """The claim of a solver that works in exact integers (CP-SAT)."""
    TOLERANCE = "tolerance"
    """The claim of a floating solver, discounted by a stated safety margin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What is needed to check a bound again without the method that found it.

    Attributes
    ----------
    kind
        Name of the checker: the registered formulation whose `check` understands `data`.
    data
        JSON-compatible values; node indices refer to the instance the bound was proved on.
    instance
        ``sha256`` of that instance (the original one, or one reduced from it by presolve).
    """

    kind: str
    data: Mapping[str, Any]
    instance: str = ""

    def whole_data(self, *fields: str) -> Mapping[str, Any]:
        """Return `data` of a checker that writes these fields and no others, of whole numbers only.

        Raises
        ------
        ValueError
            If it holds anything else: rounding a number off would accept a certificate that nobody wrote.
        """
        if set(self.data) != set(fields):
            raise ValueError(
                f"it holds {', '.join(sorted(self.data)) or 'nothing'}, not {', '.join(fields) or 'nothing'}"
            )
        values = list(self.data.values())
        while values:
            value = values.pop()
            if isinstance(value, Mapping):
                values += value.values()
            elif isinstance(value, list | tuple):
                values += value
            elif isinstance(value, bool) or not isinstance(value, Integral):
                raise ValueError("it holds something else than whole numbers")
        return self.data


@dataclass(frozen=True, slots=True, kw_only=True)
class DualBound:
    """A lower bound on the optimal bottleneck.

    Attributes
    ----------
    value
        Ticks.
    source
        Registered name of what proved it.
    soundness
        Why to believe it.
    certificate
        What to check it again with, if anything.
    seconds
        Time since the run began.
    """

    value: int
    source: str
    soundness: Soundness
    certificate: Certificate | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Incumbent:
    """A partition in hand and its bottleneck in ticks."""

    value: int
    partition: Partition
    source: str
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """``[dual, incumbent]`` in ticks, either side None while unknown."""

    dual: int | None = None
    incumbent: int | None = None

    def __repr__(self) -> str:
        low, high = ("-" if side is None else str(side) for side in (self.dual, self.incumbent))
        gap = "" if self.relative_gap is None else f", gap {100 * self.relative_gap:.3g}%"
        return f"<Interval [{low}, {high}] ticks{gap}>"

    @property
    def closed(self) -> bool:
        """Whether the incumbent is proven optimal."""
        return self.dual is not None and self.incumbent is not None and self.dual >= self.incumbent

    @property
    def relative_gap(self) -> float | None:
        """``(incumbent - dual) / incumbent``, at least 0; None while a side is unknown."""
        if self.dual is None or self.incumbent is None:
            return None
        return relative_gap(self.dual, self.incumbent)

    @property
    def ratio(self) -> float | None:
        """``dual / incumbent``; None while a side is unknown."""
        if self.dual is None or self.incumbent is None:
            return None
        return ratio(self.dual, self.incumbent)


def relative_gap(dual: float, incumbent: float) -> float:
    """Return ``(incumbent - dual) / incumbent``, at least 0; 0 where nothing costs anything."""
    return 0.0 if incumbent <= 0 else max(0.0, (incumbent - dual) / incumbent)


def ratio(dual: float, incumbent: float) -> float:
    """Return ``dual / incumbent``; 1 where nothing costs anything."""
    return 1.0 if incumbent <= 0 else dual / incumbent


class Reason(StrEnum):
    """Why a method or a run ended."""

    OPTIMAL = "optimal"
    """Dual bound and incumbent met."""
    FINISHED = "finished"
    """The method did all that it can do; running it longer changes nothing."""
    LIMIT = "limit"
    """A limit stopped it early; `Termination.limit` says which."""
    INFEASIBLE = "infeasible"
    """It proved that no partition obeys the hard limits."""
    UNSUPPORTED = "unsupported"
    """The method does not apply to this problem; `Termination.detail` says why."""
    INTERRUPTED = "interrupted"
    """The user, or the run it was part of, cancelled it."""
    FAULT = "fault"
    """It crashed, hung, was killed, or claimed something false; `Termination.detail` says which."""


class Limit(StrEnum):
    """Which limit stopped a method early."""

    TIME = "time"
    MEMORY = "memory"
    SIZE = "size"
    ITERATIONS = "iterations"
    GAP = "gap"
    CUTOFF = "cutoff"


@dataclass(frozen=True, slots=True, kw_only=True)
class Termination:
    """Why it stopped; a limit is given exactly when it stopped early because of one."""

    reason: Reason
    limit: Limit | None = None
    detail: str = ""

    def __post_init__(self) -> None:
        if (self.reason is Reason.LIMIT) != (self.limit is not None):
            raise ValueError("a limit is given exactly when the reason is 'limit'")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcome:
    """What a formulation or strategy returns: what it proved, what it found, why it stopped.

    Attributes
    ----------
    dual, incumbent
        The best it has itself, None where it has nothing.
    termination
        Why it stopped.
    details
        JSON-compatible facts about the run (sizes, iterations), for tables and studies.
    """

    dual: DualBound | None = None
    incumbent: Incumbent | None = None
    termination: Termination
    details: Mapping[str, Any] = field(default_factory=dict)
