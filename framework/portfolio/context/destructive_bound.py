"""The destructive improvement bound: refute a threshold, raise it, until the incumbent is near (Klein and Scholl 1999).

What `bound` of a formulation does that can only decide thresholds. It ends at a relative gap of `resolution`; the
strategy `bisection` goes on to the last tick, keeps the band of undecided thresholds, and tries them again with more
time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from framework.bounds import DualBound, Incumbent, Limit, Outcome, Reason, Soundness, Termination
from framework.contracts import Context, DecisionFormulation, Refuted, Satisfied, Undecided
from framework.errors import OutOfTimeError
from framework.model.problem import Problem, bottleneck
from framework.portfolio.context.child import ChildContext
from framework.portfolio.context.contracted_decisions import ContractedDecisions
from framework.structure.primal.initial_interval import balanced_partition, simple_bound

RESOLUTION = 1e-3
"""Relative gap below which another decision is not worth it, unless the caller says otherwise."""
FAILURES = 2
"""Undecided thresholds in a row after which it ends."""
SHARE = 3
"""A decision may use one part in so many of the time left."""


@dataclass(slots=True, kw_only=True)
class EffortSteps:
    """Step rule: where between dual bound and incumbent the next threshold lies, and with how much effort it is tried.

    Attributes
    ----------
    step, smallest
        Share of the interval by which the threshold lies above the dual bound. It is halved after a failure; a failure
        with less than the smallest, or at the dual bound itself, needs more effort.
    restart
        Share with which more effort begins.
    effort, most
        Effort of a try, and the most it may take; it grows fourfold.
    least
        Effort after the first growth, at least.
    """

    step: float
    smallest: float
    restart: float
    effort: int
    most: int
    least: int = 1

    def threshold(self, lower: int, upper: int) -> int:
        """Return the next threshold in ``[lower, upper)``, in ticks."""
        return min(upper - 1, lower + int(self.step * (upper - lower)))

    def after_failure(self, at_lower: bool) -> bool:
        """Take a smaller step or, where a threshold at the dual bound failed or steps are small, more effort.

        Returns
        -------
        bool
            False if neither is left.
        """
        if not at_lower and self.step >= self.smallest:
            self.step /= 2
        elif self.effort >= self.most:
            return False
        else:
            self.effort, self.step = min(self.most, max(self.least, 4 * self.effort)), self.restart
        return True


Refute: TypeAlias = Callable[[int, int], Refuted | Undecided]
"""Tries to refute a threshold (ticks) with an effort."""


class DestructiveBound:
    """Raises the dual bound with a method that refutes thresholds the better the more effort it may spend.

    Parameters
    ----------
    name
        Source of the bounds.
    value
        Bottleneck of a partition in hand, in ticks: thresholds from here on are of no interest.
    """

    def __init__(self, name: str, problem: Problem, context: Context, *, value: int) -> None:
        self._name, self._context = name, context
        self._floor, self._ceiling = simple_bound(problem), value
        self.best: DualBound | None = None
        self.refuted = self.failed = 0

    @property
    def lower(self) -> int:
        """Best dual bound known to anyone."""
        return max(self._floor, self._context.dual or 0, 0 if self.best is None else self.best.value)

    def run(self, refute: Refute, steps: EffortSteps) -> Termination:
        """Try one threshold after the other until nothing more can be refuted; report each bound.

        Raises
        ------
        OutOfTimeError
            If the context says stop.
        """
        while True:
            if self._context.should_stop():
                raise OutOfTimeError("stopped between thresholds")
            upper = min(self._ceiling, self._context.incumbent or self._ceiling)
            if self.lower >= upper:
                return Termination(reason=Reason.FINISHED)
            threshold = steps.threshold(self.lower, upper)
            answer = refute(threshold, steps.effort)
            if isinstance(answer, Refuted):
                self.refuted += 1
                self._record(threshold + 1, answer)
                continue
            self.failed += 1
            if answer.above:
                self._ceiling = threshold
            elif not steps.after_failure(threshold == self.lower):
                return Termination(reason=Reason.LIMIT, limit=Limit.ITERATIONS, detail=answer.reason)

    def _record(self, value: int, answer: Refuted) -> None:
        self.best = DualBound(
            value=value, source=self._name, soundness=answer.soundness, certificate=answer.certificate
        )
        self._context.report_dual(value, answer.soundness, answer.certificate)


def climb(
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
    dual, soundness = simple_bound(problem), Soundness.EXACT
    partition = context.best_partition() or balanced_partition(problem)
    value = bottleneck(problem, partition)
    decider = ContractedDecisions(formulation, problem, contract=contract)
    step, failures, decisions = 2, 0, 0
    while value - dual > resolution * value and failures < FAILURES and not context.should_stop():
        threshold = dual + (value - 1 - dual) // step
        child = ChildContext(context, context.remaining() / SHARE)
        answer = decider.decide(threshold, child)
        decisions += 1
        if isinstance(answer, Refuted):
            dual, soundness, failures = threshold + 1, answer.soundness, 0
            context.report_dual(dual, soundness, answer.certificate)
        elif isinstance(answer, Satisfied):
            partition, failures = answer.partition, 0
            value = bottleneck(problem, partition)
            context.report_partition(partition)
        else:
            failures += 1
            step *= 4
    if dual >= value:
        termination = Termination(reason=Reason.OPTIMAL)
    elif context.should_stop():
        termination = Termination(reason=Reason.LIMIT, limit=Limit.TIME)
    else:
        termination = Termination(reason=Reason.FINISHED)
    return Outcome(
        dual=DualBound(value=dual, source=name, soundness=soundness),
        incumbent=Incumbent(value=value, partition=partition, source=name),
        termination=termination,
        details={"decisions": decisions, "contracted": decider.contracted},
    )
