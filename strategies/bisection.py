"""`bisection`: bisects the bottleneck value with any decision formulation; the interval it reports is proven.

Validity: a refuted threshold T means that every partition costs at least T + 1, so [largest refuted T + 1, incumbent]
contains the optimum at every moment; a satisfied threshold comes with a partition. Undecided thresholds prove nothing:
they form a band, which later decisions with more time narrow from both ends. Source: bisection on the bottleneck is
standard. The exponential search upwards is this project's: refutations far below the optimum are cheap, and failed
decisions close to it are expensive.

The formulation decides T on the instance contracted at T (`framework.portfolio.context.contracted_decisions`). That
helps if transfers are expensive compared with the work of a stage: on inception_v2 with links of 1e8 bytes/s `cp-sat`
refutes .97 of the incumbent in 0.2 s for k = 4 and in 2.0 s for k = 8, and does not decide it in 10 s without
contraction (`scripts/benchmarks/methods/contraction.py`). On the reference device and on REGAL-like graphs almost
nothing is contracted.

Where it wins: it turns any decision formulation into an anytime bound. Over `spreading-metric` it has the best bounds
of all decompositions for two to eight stages on wide random graphs. Over `stage-cover` it is better than `lp` for eight
stages and more, but `stage-cover` by itself, `column-generation` and `lagrangian` reuse columns or multipliers from one
threshold to the next and have better bounds. Where not: a formulation that is slow near the optimum leaves a wide
undecided band (docs/measurements.md).

Hard limits are obeyed if the formulation obeys them; otherwise it gets the relaxation without limits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from framework.bounds import Limit, Outcome, Reason, Termination
from framework.contracts import Context, Decision, Feature, Undecided
from framework.model.problem import Problem
from framework.portfolio.context.child import ChildContext
from framework.portfolio.context.contracted_decisions import ContractedDecisions
from framework.portfolio.context.destructive_bound import DestructiveBound
from framework.portfolio.context.step_rules import Band, BandSteps
from framework.registry import DecisionName, register_strategy, registry

NAME = "bisection"
SMALLEST_STEP = 1e-3
"""Share of the way from the dual bound to the band below which nothing is tried until there is more time."""
TRIES_ABOVE = 2
"""Undecided thresholds above the band before the same is said of the other end."""


@register_strategy(
    NAME,
    features=[Feature.DUAL, Feature.PRIMAL, Feature.ANYTIME, Feature.WARM_START, Feature.LIMITS],
    summary="Bisection on the bottleneck, with any formulation that decides thresholds",
    reference="this project",
)
@dataclass(frozen=True, slots=True, kw_only=True)
class Bisection:
    """Decide thresholds between the two ends of the shared interval until they meet.

    Attributes
    ----------
    over
        Spec of the decision formulation, in brackets if it has parameters: ``bisection:over=[cp-sat:unit=1]``.
    first_seconds
        Time limit of the first decisions; doubled each time all open thresholds have been tried.
    max_rounds
        Give up after this many doublings without any decision.
    contract
        Whether nodes that share a stage in every partition within the threshold are one node for the formulation.
    """

    over: DecisionName = "cp-sat"
    first_seconds: float = 0.5
    max_rounds: int = 12
    contract: bool = True

    def __post_init__(self) -> None:
        if self.first_seconds <= 0:
            raise ValueError("first_seconds must be positive")
        if self.max_rounds < 1:
            raise ValueError("max_rounds must be at least 1")

    def run(self, problem: Problem, context: Context) -> Outcome:
        """Narrow the interval until it closes or the context says stop."""
        decider = registry.create_decision(self.over)
        posed = registry.problem_for(decider, problem)
        decisions = ContractedDecisions(decider, posed, contract=self.contract)
        search = ThresholdSearch(NAME, posed, context, decisions)
        limit = self.first_seconds
        rounds = 0
        while rounds < self.max_rounds and not search.over:
            progress = search.sweep(limit)
            if not progress:
                limit *= 2
                rounds += 1
        return search.outcome(self.over)


class ThresholdSearch(DestructiveBound):
    """A search by thresholds: the interval, and the band of those that stayed undecided since it last moved."""

    def __init__(self, name: str, problem: Problem, context: Context, decisions: ContractedDecisions) -> None:
        super().__init__(name, problem, context)
        self.decisions = decisions
        self.band = Band()

    @property
    def over(self) -> bool:
        """Whether nothing is left to do."""
        return self.closed or self.context.should_stop()

    def sweep(self, seconds: float) -> bool:
        """Decide thresholds with one time limit until both ends are stuck; return whether any was decided."""
        before = self.refuted + self.satisfied
        self.band = Band()
        steps = BandSteps(
            band=self.band, at_top=not (before or self.failed), smallest=SMALLEST_STEP, tries_above=TRIES_ABOVE
        )
        self.run(lambda threshold: self.decide(threshold, seconds), steps)
        return self.refuted + self.satisfied > before

    def decide(self, threshold: int, seconds: float) -> Decision:
        """Decide a threshold within a time limit, or until somebody else has."""

        def pointless() -> bool:
            dual, incumbent = self.context.dual, self.context.incumbent
            return (dual is not None and dual > threshold) or (incumbent is not None and incumbent <= threshold)

        answer = self.decisions.decide(threshold, ChildContext(self.context, seconds, pointless))
        # With more time all thresholds are tried again.
        return replace(answer, above=False) if isinstance(answer, Undecided) else answer

    def take(self, threshold: int, answer: Decision) -> None:
        """Count an answer, report what it shows, and widen the band if it shows nothing."""
        super().take(threshold, answer)
        if isinstance(answer, Undecided):
            self.band.undecided.append(threshold)

    def outcome(self, over: str) -> Outcome:
        """Say what is proven and why it ended; `over` is what decided."""
        counts = {"refuted": self.refuted, "satisfied": self.satisfied, "undecided": self.failed}
        details: dict[str, Any] = {"over": over, **counts, "contracted": self.decisions.contracted}
        self.band.prune(self.span())
        if self.band:
            details["undecided_band"] = [self.band.lowest, self.band.highest]
        if self.closed:
            termination = Termination(reason=Reason.OPTIMAL)
        elif self.context.should_stop():
            termination = Termination(reason=Reason.LIMIT, limit=Limit.TIME)
        else:
            detail = f"{over} decides nothing more: {self.reason}"
            termination = Termination(reason=Reason.LIMIT, limit=Limit.ITERATIONS, detail=detail)
        return Outcome(dual=self.proven, incumbent=self.incumbent(), termination=termination, details=details)
