"""The destructive improvement bound: refute a threshold, raise it, until nothing is refuted (Klein and Scholl 1999).

One driver, `DestructiveBound`, asks about one threshold after the other; a step rule
(`framework.portfolio.context.step_rules`) says which. A formulation that can only decide thresholds gets its `bound`
from `BoundByDeciding`. Who wants the last tick drives it by the strategy `bisection`, which keeps the band of undecided
thresholds, and tries them again with more time.

Validity: a refuted threshold T means that every partition costs at least T + 1, and a satisfied one comes with its
partition; undecided ones claim nothing. So [largest refuted T + 1, incumbent] holds the optimum at every moment,
whatever the rule.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from framework.bounds import Certificate, DualBound, Incumbent, Limit, Outcome, Reason, Soundness, Termination
from framework.contracts import Context, Decision, DecisionFormulation, Refuted, Satisfied, Undecided
from framework.errors import OutOfTimeError
from framework.model.problem import Partition, Problem, bottleneck
from framework.portfolio.context.child import ChildContext
from framework.portfolio.context.contracted_decisions import ContractedDecisions
from framework.portfolio.context.step_rules import ShrinkingSteps, Span, StepRule
from framework.registry import registry
from framework.structure.primal.initial_interval import known_partition, simple_bound

RESOLUTION = 1e-3
"""Relative gap below which another decision is not worth it, unless the caller says otherwise."""
FAILURES = 2
"""Undecided thresholds in a row after which it ends."""
SHARE = 3
"""A decision may use one part in so many of the time left."""

Ask: TypeAlias = Callable[[int], Decision]
"""Decides a threshold (ticks), or fails to."""


class DestructiveBound:
    """The interval of a run: raised from below by refuted thresholds, lowered by partitions; both are reported.

    Parameters
    ----------
    name
        Source of what it reports.

    Attributes
    ----------
    best
        The best dual bound of this run; None while it has proven none.
    found
        The best partition that this run has found; None while it has found none.
    partition
        The best partition of this run, or the one it began with.
    refuted, satisfied, failed
        Counts of decisions.
    reason
        Why the latest threshold stayed undecided.
    """

    def __init__(self, name: str, problem: Problem, context: Context) -> None:
        self.name, self.problem, self.context = name, problem, context
        self.floor = simple_bound(problem)
        self.partition, self._value = known_partition(problem, context.best_partition())
        self.best: DualBound | None = None
        self.found: Incumbent | None = None
        self.refuted = self.satisfied = self.failed = 0
        self.reason = ""

    @property
    def lower(self) -> int:
        """Best dual bound known to anyone, in ticks."""
        return max(self.floor, self.context.dual or 0, 0 if self.best is None else self.best.value)

    @property
    def value(self) -> int:
        """Bottleneck of the best partition known to anyone, in ticks."""
        incumbent = self.context.incumbent
        return self._value if incumbent is None else min(self._value, incumbent)

    @property
    def closed(self) -> bool:
        """Whether the incumbent is proven optimal."""
        return self.lower >= self.value

    @property
    def proven(self) -> DualBound:
        """The best dual bound of this run, or the simple one."""
        return self.best or DualBound(value=self.floor, source=self.name, soundness=Soundness.EXACT)

    def span(self, ceiling: int | None = None) -> Span:
        """Return the thresholds below a ceiling that are worth trying."""
        value = self.value
        return Span(lower=self.lower, ceiling=value if ceiling is None else min(ceiling, value), value=value)

    def run(self, ask: Ask, steps: StepRule, *, ceiling: int | None = None) -> Termination:
        """Ask about one threshold after the other, below a ceiling if one is given; report what that shows.

        Returns
        -------
        Termination
            What the rule says in the end; finished where no threshold is left; the limit of time if the context says
            stop, or `ask` raises `OutOfTimeError`.
        """
        try:
            while True:
                span = self.span(ceiling)
                if span.lower >= span.ceiling:
                    return Termination(reason=Reason.FINISHED)
                if self.context.should_stop():
                    return Termination(reason=Reason.LIMIT, limit=Limit.TIME)
                threshold = steps.next(span)
                if isinstance(threshold, Termination):
                    return threshold
                answer = ask(threshold)
                self.take(threshold, answer)
                if isinstance(answer, Undecided) and answer.above:
                    ceiling = threshold
                steps.note(threshold, answer, self.span(ceiling))
        except OutOfTimeError:
            return Termination(reason=Reason.LIMIT, limit=Limit.TIME)

    def take(self, threshold: int, answer: Decision) -> None:
        """Count an answer, and report what it proves or has found."""
        if isinstance(answer, Refuted):
            self.refuted += 1
            self.record(threshold + 1, answer.soundness, answer.certificate)
        elif isinstance(answer, Satisfied):
            self.satisfied += 1
            self.offer(answer.partition)
        else:
            self.failed += 1
            self.reason = answer.reason

    def record(self, value: int, soundness: Soundness, certificate: Certificate | None = None) -> None:
        """Keep and report a dual bound (ticks), unless this run has proven as much; one to be checked is more."""
        best = (-1, False) if self.best is None else (self.best.value, self.best.certificate is not None)
        if (value, certificate is not None) > best:
            self.best = DualBound(value=value, source=self.name, soundness=soundness, certificate=certificate)
            self.context.report_dual(value, soundness, certificate)

    def offer(self, partition: Partition) -> None:
        """Keep and report a partition, unless this run has found one as good."""
        value = bottleneck(self.problem, partition)
        if self.found is None or value < self.found.value:
            self.found = Incumbent(value=value, partition=partition, source=self.name)
            self.context.report_partition(partition)
        if value < self._value:
            self.partition, self._value = partition, value

    def incumbent(self) -> Incumbent | None:
        """Return the best partition of this run, or known to anyone by now; None if none obeys a hard limit."""
        if self.context.incumbent is not None and self.context.incumbent < self._value:
            other = self.context.best_partition()
            if other is not None and (value := bottleneck(self.problem, other)) < self._value:
                self.partition, self._value = other, value
        if self._value > self.problem.instance.largest_cost:
            return None
        return Incumbent(value=self._value, partition=self.partition, source=self.name)


def bound_by_deciding(
    name: str,
    formulation: DecisionFormulation,
    problem: Problem,
    context: Context,
    *,
    resolution: float = RESOLUTION,
    contract: bool = False,
) -> Outcome:
    """Refute thresholds from below: half of the way to the incumbent, and a quarter of that after each failure.

    With `contract`, each is decided on the instance contracted at it
    (`framework.portfolio.context.contracted_decisions`).
    """
    search = DestructiveBound(name, problem, context)
    decider = ContractedDecisions(formulation, problem, contract=contract)

    def ask(threshold: int) -> Decision:
        return decider.decide(threshold, ChildContext(context, context.remaining() / SHARE))

    termination = search.run(ask, ShrinkingSteps(resolution=resolution, patience=FAILURES))
    if search.closed:
        termination = Termination(reason=Reason.OPTIMAL)
    return Outcome(
        dual=search.proven,
        incumbent=search.incumbent(),
        termination=termination,
        details={
            "decisions": search.refuted + search.satisfied + search.failed,
            "contracted": decider.contracted,
        },
    )


class BoundByDeciding:
    """Gives a formulation that decides thresholds its `bound`; a field `contract` says whether to contract at them.

    Inherit from it, and write `decide` alone.
    """

    __slots__ = ()

    def decide(self, problem: Problem, threshold: int, context: Context) -> Decision:
        """Decide a threshold (ticks)."""
        raise NotImplementedError

    def bound(self, problem: Problem, context: Context) -> Outcome:
        """Refute thresholds from below."""
        entry = registry.entry_of(self)
        name = type(self).__name__ if entry is None else entry.name
        return bound_by_deciding(name, self, problem, context, contract=getattr(self, "contract", False))
