"""The contracts a formulation or a strategy fulfils, and what it is given to work with.

A *formulation* bounds or solves a problem. A *decision formulation* answers whether a bottleneck at or below
a threshold is possible. A *strategy* drives formulations or searches. All three are frozen dataclasses whose
fields are their parameters, and all three work on any `Problem`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeAlias, runtime_checkable

from framework.bounds import Certificate, Outcome, Soundness
from framework.model.graph import BoolArray, FloatArray
from framework.model.problem import Partition, Problem


class Feature(StrEnum):
    """What an entry can do; a registry entry holds a frozenset of these."""

    DUAL = "dual"
    """Proves dual bounds."""
    PRIMAL = "primal"
    """Finds partitions."""
    EXACT = "exact"
    """Closes the gap given enough time."""
    DECISION = "decision"
    """Decides thresholds; `bisection` can lift it."""
    ANYTIME = "anytime"
    """Reports what it has before it ends."""
    WARM_START = "warm-start"
    """Starts from the interval in `Context`, and is better for it."""
    LIMITS = "limits"
    """Keeps to hard limits (`Instance.stage_limit`): partitions obey, and what it closes is closed with the limit.

    Others are given the relaxation without it: their dual bounds hold, their partitions may be turned down.
    """
    SHARED = "shared"
    """Counts shared parameters once per stage (`Instance.shared`).

    Others are given the relaxation in which one user of each pays for it: their dual bounds hold, and their partitions
    are priced in truth by whoever receives them.
    """
    WORKSETS = "worksets"
    """Counts the largest working set of a stage towards the fast memory (`Instance.working_cost`).

    Others are given the relaxation in which all working sets are the smallest: their dual bounds hold, and their
    partitions are priced in truth by whoever receives them.
    """
    UNEQUAL = "unequal"
    """Prices each stage on its own device (`Instance.unequal`), and keeps to a limit of its own if it has `LIMITS`.

    Others are given the relaxation in which all stages are as the cheapest device: their dual bounds hold, and their
    partitions are priced in truth by whoever receives them.
    """


class Context(Protocol):
    """What a running entry sees of the world: its limits, the shared interval, a place to report.

    Reports are cheap and are verified by the receiver; report each improvement as soon as it is proven, so
    that nothing is lost when the entry is ended.
    """

    @property
    def seed(self) -> int:
        """Seed for every random choice: same seed, same result, as long as no time limit is reached."""

    @property
    def threads(self) -> int:
        """Number of threads the entry may use."""

    @property
    def dual(self) -> int | None:
        """Best dual bound known to anyone, in ticks."""

    @property
    def incumbent(self) -> int | None:
        """Best incumbent value known to anyone, in ticks."""

    def best_partition(self) -> Partition | None:
        """Return a partition of this problem whose bottleneck is (or was a moment ago) the best known."""

    def remaining(self) -> float:
        """Return the seconds left until the deadline; never negative, ``inf`` without a deadline."""

    def should_stop(self) -> bool:
        """Whether to return now: deadline passed, cancelled, or the gap is closed."""

    def report_dual(self, value: int, soundness: Soundness, certificate: Certificate | None = None) -> None:
        """Report a proven lower bound in ticks."""

    def report_partition(self, partition: Partition) -> None:
        """Report a partition of this problem; the receiver prices it."""

    def progress(self, message: str) -> None:
        """Say in a few words what is going on, for a live display."""


@runtime_checkable
class Formulation(Protocol):
    """A way to bound or solve."""

    def bound(self, problem: Problem, context: Context) -> Outcome:
        """Prove and find what it can until ``context.should_stop()``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuted:
    """No partition has a bottleneck of at most the threshold: ``optimum >= threshold + 1``."""

    soundness: Soundness
    certificate: Certificate | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Satisfied:
    """`partition` has a bottleneck of at most the threshold."""

    partition: Partition


@dataclass(frozen=True, slots=True, kw_only=True)
class Undecided:
    """Neither was shown; `reason` says what struck.

    Attributes
    ----------
    above
        Whether no higher threshold can be refuted in this way either, however much effort is spent.
    """

    reason: str
    above: bool = False


Decision: TypeAlias = Refuted | Satisfied | Undecided


@runtime_checkable
class DecisionFormulation(Protocol):
    """A way to decide whether a bottleneck at or below a threshold is possible."""

    def decide(self, problem: Problem, threshold: int, context: Context) -> Decision:
        """Decide `threshold` (ticks); undecided is an honest answer."""


@runtime_checkable
class Strategy(Protocol):
    """A way to drive formulations, or to search."""

    def run(self, problem: Problem, context: Context) -> Outcome:
        """Prove and find what it can until ``context.should_stop()``."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RelaxedPoint:
    """What one evaluation of a Lagrangian relaxation shows.

    Attributes
    ----------
    bound
        A lower bound on the optimum that these multipliers prove, in ticks.
    value
        What the search climbs by, in ticks: the same before rounding, or what the multipliers promise.
    loads
        ``[multipliers]`` the dualised costs of the minimiser, in ticks: with multipliers that add up to 1 their
        weighted sum is at least `value`, and for any others at least what those can prove. A supergradient, then, up
        to the relaxation's own slack.
    soundness
        Why to believe the bound.
    partition
        A partition made of the minimiser, if there is one.
    restart
        Whether this value is of another function than those before, with which it does not compare.
    target
        The value to aim at, in ticks; None for the incumbent.
    """

    bound: int
    value: float
    loads: FloatArray
    soundness: Soundness
    partition: Partition | None = None
    restart: bool = False
    target: float | None = None


class Relaxation(Protocol):
    """A Lagrangian relaxation of one problem, evaluated at multipliers."""

    @property
    def multipliers(self) -> int:
        """Number of multipliers."""

    @property
    def start(self) -> FloatArray:
        """Multipliers to begin with, adding up to 1."""

    def evaluate(self, multipliers: FloatArray) -> RelaxedPoint:
        """Evaluate at multipliers that are not negative and not all 0; only their ratios matter.

        Raises
        ------
        OutOfTimeError
            If the context it was made with says stop.
        """


@runtime_checkable
class LagrangianFormulation(Protocol):
    """A formulation with a Lagrangian relaxation that strategies can drive."""

    def relax(self, problem: Problem, context: Context) -> Relaxation | None:
        """Return the relaxation; None if the problem is too small or too large for it.

        Raises
        ------
        OutOfTimeError
            If the context says stop while it is built.
        """


class Columns(Protocol):
    """A linear program over stages, as far as they are known; strategies drive it.

    Attributes
    ----------
    covered
        Lowest threshold, in ticks, at which stages hold all nodes fractionally: none from there on is refuted.
    """

    covered: int

    def add(self, partition: Partition) -> None:
        """Take the stages of a partition as columns."""

    def refute(self, threshold: int, *, effort: int) -> Refuted | Undecided:
        """Generate columns at a threshold (ticks), and try to refute it with this much effort.

        Raises
        ------
        OutOfTimeError
            If the context says stop.
        """

    def stages(self, threshold: int) -> BoolArray:
        """Return the most promising stages of cost at most a threshold, ``[stages, n]``."""


@runtime_checkable
class ColumnFormulation(Protocol):
    """A formulation that generates stages as columns."""

    def cover(self, problem: Problem, context: Context) -> Columns | None:
        """Return the program without columns yet; None if the problem is too large for it.

        Raises
        ------
        OutOfTimeError
            If the context says stop while it is built.
        """


@runtime_checkable
class HasExamples(Protocol):
    """An entry with kernels that the small problems do not need on which every entry is run to compile its kernels."""

    def examples(self) -> Sequence[Problem]:
        """Return small problems that need them."""


@runtime_checkable
class CertificateChecker(Protocol):
    """A formulation that can re-check its own certificates without repeating its search."""

    def check(self, problem: Problem, certificate: Certificate) -> int:
        """Return the dual bound in ticks that the certificate proves; ValueError if it proves none."""


def run_and_report(entry: Formulation | Strategy, problem: Problem, context: Context) -> Outcome:
    """Run an entry of either kind to its end, and report the dual bound and the incumbent of its outcome as well."""
    outcome = entry.run(problem, context) if isinstance(entry, Strategy) else entry.bound(problem, context)
    if outcome.dual is not None:
        context.report_dual(outcome.dual.value, outcome.dual.soundness, outcome.dual.certificate)
    if outcome.incumbent is not None:
        context.report_partition(outcome.incumbent.partition)
    return outcome
